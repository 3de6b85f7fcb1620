package codec

// A Class says how the registry bounds a type's length. The zero Class is that of types without a name.
type Class uint8

const (
	Unregistered Class = iota
	Fixed              // one length
	Bounded            // between two lengths
	Variable           // any length
)

var classNames = [...]string{"unregistered", "fixed", "bounded", "variable"}

// String returns the class's name.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "invalid"
}

// TypeInfo is what the registry knows of a type. Min and Max are the lengths in bytes that the old registry declared;
// they contradict the structs that the old programs sent for types 2, 11, 12, 13, 16, 17 and 41. StructSize is what
// this
// package encodes and decodes, and the only one that the lenient [Rules] check.
type TypeInfo struct {
	Type       Type
	Name       string
	Class      Class
	Min, Max   int
	StructSize int // length of the type's struct, 0 where it has none; Snapshot's body comes on top
}

// Types returns what is known of every type that has a name, in the order of their numbers.
func Types() []TypeInfo {
	var all []TypeInfo
	for _, i := range registry {
		if i.Name != "" {
			all = append(all, i)
		}
	}
	return all
}

// Domains is how a domain is derived from a type. The old code had two answers for 60-79.
type Domains uint8

const (
	// DomainsEither takes 60-79 for both signal and execution.
	DomainsEither Domains = iota
	// DomainsTypes takes 60-79 for signal, as the table of types did.
	DomainsTypes
	// DomainsRelays takes 60-79 for execution, as the relays' validators did.
	DomainsRelays
)

// Admits reports whether type t may travel in domain d. StateInvalidation is a system type that travels with market
// data, and RecoveryRequest travels in the domain that it asks about; both are admitted there. Types that belong
// nowhere
// (0, 120-255) are admitted everywhere.
func (r Domains) Admits(t Type, d Domain) bool {
	switch {
	case t == 0 || t >= 120 || t == TypeRecoveryRequest:
		return true
	case t == TypeStateInvalidation && d == DomainMarketData:
		return true
	case t < 20:
		return d == DomainMarketData
	case t < 40:
		return d == DomainSignal
	case t < 60:
		return d == DomainExecution
	case t < 80:
		return d == DomainSignal && r != DomainsRelays || d == DomainExecution && r != DomainsTypes
	}
	return d == DomainSystem
}

// registry has one entry for each type. Lengths are those of the old declarations, not of the structs.
var registry = [256]TypeInfo{
	TypeTrade:                   {TypeTrade, "Trade", Fixed, 40, 40, TradeSize},
	TypeQuote:                   {TypeQuote, "Quote", Fixed, 52, 52, QuoteSize},
	TypeOrderBook:               {TypeOrderBook, "OrderBook", Variable, 0, MaxValue, OrderBookSize},
	TypeInstrumentMeta:          {TypeInstrumentMeta, "InstrumentMeta", Variable, 0, MaxValue, 0},
	TypeL2Snapshot:              {TypeL2Snapshot, "L2Snapshot", Variable, 0, MaxValue, 0},
	TypeL2Delta:                 {TypeL2Delta, "L2Delta", Variable, 0, MaxValue, 0},
	TypeL2Reset:                 {TypeL2Reset, "L2Reset", Variable, 0, MaxValue, 0},
	TypePriceUpdate:             {TypePriceUpdate, "PriceUpdate", Variable, 0, MaxValue, 0},
	TypeVolumeUpdate:            {TypeVolumeUpdate, "VolumeUpdate", Variable, 0, MaxValue, 0},
	TypePoolLiquidity:           {TypePoolLiquidity, "PoolLiquidity", Bounded, 20, 300, PoolLiquiditySize},
	TypePoolSwap:                {TypePoolSwap, "PoolSwap", Bounded, 60, 200, PoolSwapSize},
	TypePoolMint:                {TypePoolMint, "PoolMint", Bounded, 50, 180, PoolMintSize},
	TypePoolBurn:                {TypePoolBurn, "PoolBurn", Bounded, 50, 180, PoolBurnSize},
	TypePoolTick:                {TypePoolTick, "PoolTick", Bounded, 30, 120, PoolTickSize},
	TypePoolState:               {TypePoolState, "PoolState", Bounded, 60, 200, PoolStateSize},
	TypePoolSync:                {TypePoolSync, "PoolSync", Bounded, 40, 150, PoolSyncSize},
	TypeQuoteUpdate:             {TypeQuoteUpdate, "QuoteUpdate", Fixed, 52, 52, QuoteSize},
	TypeGasPrice:                {TypeGasPrice, "GasPrice", Fixed, 32, 32, GasPriceSize},
	TypeStateInvalidationReason: {TypeStateInvalidationReason, "StateInvalidationReason", Fixed, 1, 1, StateInvalidationReasonSize},
	TypeSignalIdentity:          {TypeSignalIdentity, "SignalIdentity", Fixed, 16, 16, SignalIdentitySize},
	TypeAssetCorrelation:        {TypeAssetCorrelation, "AssetCorrelation", Fixed, 24, 24, 0},
	TypeEconomics:               {TypeEconomics, "Economics", Fixed, 32, 32, 0},
	TypeExecutionAddresses:      {TypeExecutionAddresses, "ExecutionAddresses", Fixed, 84, 84, 0},
	TypeVenueMetadata:           {TypeVenueMetadata, "VenueMetadata", Fixed, 12, 12, 0},
	TypeStateReference:          {TypeStateReference, "StateReference", Fixed, 24, 24, 0},
	TypeExecutionControl:        {TypeExecutionControl, "ExecutionControl", Fixed, 16, 16, 0},
	TypePoolAddresses:           {TypePoolAddresses, "PoolAddresses", Fixed, 44, 44, 0},
	TypeMEVBundle:               {TypeMEVBundle, "MEVBundle", Fixed, 40, 40, 0},
	TypeTertiaryVenue:           {TypeTertiaryVenue, "TertiaryVenue", Fixed, 24, 24, 0},
	TypeRiskParameters:          {TypeRiskParameters, "RiskParameters", Bounded, 24, 512, 0},
	TypePerformanceMetrics:      {TypePerformanceMetrics, "PerformanceMetrics", Bounded, 32, 1024, 0},
	TypeArbitrageSignal:         {TypeArbitrageSignal, "ArbitrageSignal", Fixed, 170, 170, ArbitrageSignalSize},
	TypeOrderRequest:            {TypeOrderRequest, "OrderRequest", Fixed, 32, 32, OrderRequestSize},
	TypeOrderStatus:             {TypeOrderStatus, "OrderStatus", Fixed, 24, 24, OrderStatusSize},
	TypeFill:                    {TypeFill, "Fill", Fixed, 32, 32, 0},
	TypeOrderCancel:             {TypeOrderCancel, "OrderCancel", Fixed, 16, 16, 0},
	TypeOrderModify:             {TypeOrderModify, "OrderModify", Fixed, 24, 24, 0},
	TypeExecutionReport:         {TypeExecutionReport, "ExecutionReport", Fixed, 48, 48, 0},
	TypePortfolio:               {TypePortfolio, "Portfolio", Bounded, 32, 2048, 0},
	TypePosition:                {TypePosition, "Position", Bounded, 24, 512, 0},
	TypeBalance:                 {TypeBalance, "Balance", Bounded, 16, 256, 0},
	TypeTradeConfirmation:       {TypeTradeConfirmation, "TradeConfirmation", Bounded, 32, 256, 0},
	TypeRiskDecision:            {TypeRiskDecision, "RiskDecision", Fixed, 32, 32, 0},
	TypePositionUpdate:          {TypePositionUpdate, "PositionUpdate", Bounded, 40, 512, 0},
	TypeRiskAlert:               {TypeRiskAlert, "RiskAlert", Bounded, 24, 256, 0},
	TypeCollateralUpdate:        {TypeCollateralUpdate, "CollateralUpdate", Fixed, 48, 48, 0},
	TypeExposureReport:          {TypeExposureReport, "ExposureReport", Bounded, 32, 1024, 0},
	TypePortfolioEvent:          {TypePortfolioEvent, "PortfolioEvent", Bounded, 32, 512, 0},
	TypeRiskThreshold:           {TypeRiskThreshold, "RiskThreshold", Fixed, 40, 40, 0},
	TypeFlashLoanResult:         {TypeFlashLoanResult, "FlashLoanResult", Bounded, 48, 256, 0},
	TypePostTradeAnalytics:      {TypePostTradeAnalytics, "PostTradeAnalytics", Bounded, 64, 512, 0},
	TypePositionQuery:           {TypePositionQuery, "PositionQuery", Fixed, 32, 32, 0},
	TypeRiskMetrics:             {TypeRiskMetrics, "RiskMetrics", Bounded, 48, 1024, 0},
	TypeCircuitBreaker:          {TypeCircuitBreaker, "CircuitBreaker", Fixed, 24, 24, 0},
	TypeStrategyRegistration:    {TypeStrategyRegistration, "StrategyRegistration", Bounded, 32, 256, 0},
	TypeComplianceCheck:         {TypeComplianceCheck, "ComplianceCheck", Bounded, 32, 512, 0},
	TypeAuditTrail:              {TypeAuditTrail, "AuditTrail", Bounded, 48, 2048, 0},
	TypeRegulatoryReport:        {TypeRegulatoryReport, "RegulatoryReport", Bounded, 64, 4096, 0},
	TypeTradeBreakdown:          {TypeTradeBreakdown, "TradeBreakdown", Bounded, 48, 1024, 0},
	TypeSettlementInstruction:   {TypeSettlementInstruction, "SettlementInstruction", Bounded, 40, 512, 0},
	TypeClearingReport:          {TypeClearingReport, "ClearingReport", Bounded, 32, 512, 0},
	TypeMarginCall:              {TypeMarginCall, "MarginCall", Fixed, 48, 48, 0},
	TypeCustodyEvent:            {TypeCustodyEvent, "CustodyEvent", Bounded, 40, 256, 0},
	TypeVenueConnectivity:       {TypeVenueConnectivity, "VenueConnectivity", Fixed, 32, 32, 0},
	TypeCrossVenueSpread:        {TypeCrossVenueSpread, "CrossVenueSpread", Fixed, 40, 40, 0},
	TypeArbitrageExecution:      {TypeArbitrageExecution, "ArbitrageExecution", Bounded, 48, 256, 0},
	TypeHeartbeat:               {TypeHeartbeat, "Heartbeat", Fixed, 16, 16, HeartbeatSize},
	TypeSnapshot:                {TypeSnapshot, "Snapshot", Bounded, 32, 1024, SnapshotHeaderSize},
	TypeError:                   {TypeError, "Error", Bounded, 16, 512, 0},
	TypeConfigUpdate:            {TypeConfigUpdate, "ConfigUpdate", Bounded, 20, 2048, 0},
	TypeServiceDiscovery:        {TypeServiceDiscovery, "ServiceDiscovery", Bounded, 24, 512, 0},
	TypeResourceUsage:           {TypeResourceUsage, "ResourceUsage", Fixed, 64, 64, 0},
	TypeStateInvalidation:       {TypeStateInvalidation, "StateInvalidation", Bounded, 16, 512, StateInvalidationSize},
	TypeSystemHealth:            {TypeSystemHealth, "SystemHealth", Fixed, 48, 48, SystemHealthSize},
	TypeTraceContext:            {TypeTraceContext, "TraceContext", Bounded, 32, 256, TraceContextSize},
	TypeRecoveryRequest:         {TypeRecoveryRequest, "RecoveryRequest", Fixed, 24, 24, RecoveryRequestSize},
	TypeRecoveryResponse:        {TypeRecoveryResponse, "RecoveryResponse", Bounded, 20, 1024, 0},
	TypeSequenceSync:            {TypeSequenceSync, "SequenceSync", Bounded, 16, 256, 0},
	TypePoolInfo:                {TypePoolInfo, "PoolInfo", Variable, 0, MaxValue, 0},
	TypePoolCacheHeader:         {TypePoolCacheHeader, "PoolCacheHeader", Variable, 0, MaxValue, 0},
	TypeProprietaryData:         {TypeProprietaryData, "ProprietaryData", Variable, 0, MaxValue, 0},
	TypeCustomMetrics:           {TypeCustomMetrics, "CustomMetrics", Variable, 0, MaxValue, 0},
	TypeExperimentalSignal:      {TypeExperimentalSignal, "ExperimentalSignal", Variable, 0, MaxValue, 0},
	TypeEventPosition:           {TypeEventPosition, "EventPosition", Fixed, 32, 32, EventPositionSize},
	TypeText:                    {TypeText, "Text", Variable, 0, MaxValue, 0},
	TypeExtended:                {TypeExtended, "Extended", Variable, 0, MaxValue, 0},
}
