package codec

import "strconv"

// Type is the type of a TLV. All 256 may appear in a message; those without a name here are carried along.
type Type uint8

// The types that have a name. 33-39, 50-59, 73-79, 91-99, 109 and 113-119 were reserved, 120-199 never given out, and
// 206-249 and 251-254 are free for vendors. Messages with a purpose of their own, such as the bus's control messages,
// use
// 200-254 in a namespace of their own.
const (
	// Market data.
	TypeTrade                   Type = 1
	TypeQuote                   Type = 2
	TypeOrderBook               Type = 3
	TypeInstrumentMeta          Type = 4
	TypeL2Snapshot              Type = 5
	TypeL2Delta                 Type = 6
	TypeL2Reset                 Type = 7
	TypePriceUpdate             Type = 8
	TypeVolumeUpdate            Type = 9
	TypePoolLiquidity           Type = 10
	TypePoolSwap                Type = 11
	TypePoolMint                Type = 12
	TypePoolBurn                Type = 13
	TypePoolTick                Type = 14
	TypePoolState               Type = 15
	TypePoolSync                Type = 16
	TypeQuoteUpdate             Type = 17 // a Quote
	TypeGasPrice                Type = 18
	TypeStateInvalidationReason Type = 19

	// Signal.
	TypeSignalIdentity     Type = 20
	TypeAssetCorrelation   Type = 21
	TypeEconomics          Type = 22
	TypeExecutionAddresses Type = 23
	TypeVenueMetadata      Type = 24
	TypeStateReference     Type = 25
	TypeExecutionControl   Type = 26
	TypePoolAddresses      Type = 27
	TypeMEVBundle          Type = 28
	TypeTertiaryVenue      Type = 29
	TypeRiskParameters     Type = 30
	TypePerformanceMetrics Type = 31
	TypeArbitrageSignal    Type = 32

	// Execution.
	TypeOrderRequest      Type = 40
	TypeOrderStatus       Type = 41
	TypeFill              Type = 42
	TypeOrderCancel       Type = 43
	TypeOrderModify       Type = 44
	TypeExecutionReport   Type = 45
	TypePortfolio         Type = 46
	TypePosition          Type = 47
	TypeBalance           Type = 48
	TypeTradeConfirmation Type = 49

	// Portfolio and risk: signal or execution, see Domains.
	TypeRiskDecision         Type = 60
	TypePositionUpdate       Type = 61
	TypeRiskAlert            Type = 62
	TypeCollateralUpdate     Type = 63
	TypeExposureReport       Type = 64
	TypePortfolioEvent       Type = 65
	TypeRiskThreshold        Type = 66
	TypeFlashLoanResult      Type = 67
	TypePostTradeAnalytics   Type = 68
	TypePositionQuery        Type = 69
	TypeRiskMetrics          Type = 70
	TypeCircuitBreaker       Type = 71
	TypeStrategyRegistration Type = 72

	// System: compliance.
	TypeComplianceCheck       Type = 80
	TypeAuditTrail            Type = 81
	TypeRegulatoryReport      Type = 82
	TypeTradeBreakdown        Type = 83
	TypeSettlementInstruction Type = 84
	TypeClearingReport        Type = 85
	TypeMarginCall            Type = 86
	TypeCustodyEvent          Type = 87
	TypeVenueConnectivity     Type = 88
	TypeCrossVenueSpread      Type = 89
	TypeArbitrageExecution    Type = 90

	// System.
	TypeHeartbeat         Type = 100
	TypeSnapshot          Type = 101
	TypeError             Type = 102
	TypeConfigUpdate      Type = 103
	TypeServiceDiscovery  Type = 104
	TypeResourceUsage     Type = 105
	TypeStateInvalidation Type = 106 // travels with market data
	TypeSystemHealth      Type = 107
	TypeTraceContext      Type = 108
	TypeRecoveryRequest   Type = 110 // travels in the domain it asks about
	TypeRecoveryResponse  Type = 111
	TypeSequenceSync      Type = 112

	// Vendor.
	TypePoolInfo           Type = 200
	TypePoolCacheHeader    Type = 201
	TypeProprietaryData    Type = 202
	TypeCustomMetrics      Type = 203
	TypeExperimentalSignal Type = 204
	TypeEventPosition      Type = 205 // where on its chain the event before it stands
	TypeText               Type = 250 // UTF-8

	// The mark of the extended form, not a type of its own.
	TypeExtended Type = 255
)

// String returns the type's name, or its number in decimal if it has none.
func (t Type) String() string {
	if name := registry[t].Name; name != "" {
		return name
	}
	return strconv.Itoa(int(t))
}

// Info returns what the registry knows of the type, and whether it has a name there.
func (t Type) Info() (TypeInfo, bool) {
	i := registry[t]
	return i, i.Name != ""
}
