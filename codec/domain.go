package codec

import "strconv"

// Domain is the domain byte of a header. The constants have the values that the old builders wrote (counted from 0);
// the
// old relays compared them with values counted from 1, see [Numbering].
type Domain uint8

// The four domains.
const (
	DomainMarketData Domain = 0
	DomainSignal     Domain = 1
	DomainExecution  Domain = 2
	DomainSystem     Domain = 3
)

var domainNames = [...]string{"market_data", "signal", "execution", "system"}

// String returns "market_data", "signal", "execution" or "system", and other values in decimal.
func (d Domain) String() string {
	if int(d) < len(domainNames) {
		return domainNames[d]
	}
	return strconv.Itoa(int(d))
}

// Numbering is what a party takes the domain byte to mean. The old builders counted the domains from 0, the old relays
// and their configuration from 1, so 1, 2 and 3 are ambiguous: where a message was found says more than this byte.
type Numbering uint8

const (
	// NumberingEither accepts both; what it writes is counted from 0.
	NumberingEither Numbering = iota
	// NumberingZero is the builders': market data 0, signal 1, execution 2, system 3.
	NumberingZero
	// NumberingOne is the relays': market data 1, signal 2, execution 3, system 4.
	NumberingOne
)

// Wire returns the byte that a party of this numbering writes for the domain d.
func (n Numbering) Wire(d Domain) Domain {
	if n == NumberingOne {
		return d + 1
	}
	return d
}

// Matches reports whether a party of this numbering takes the byte wire for the domain d.
func (n Numbering) Matches(wire, d Domain) bool {
	switch n {
	case NumberingZero:
		return wire == d
	case NumberingOne:
		return wire == d+1
	}
	return wire == d || wire == d+1
}

// Domain returns the domain that a party of this numbering takes the byte wire for, and whether there is exactly one.
func (n Numbering) Domain(wire Domain) (Domain, bool) {
	switch {
	case n == NumberingZero && wire <= DomainSystem:
		return wire, true
	case n == NumberingOne && wire >= 1 && wire <= DomainSystem+1:
		return wire - 1, true
	case n == NumberingEither && wire == 0:
		return DomainMarketData, true
	case n == NumberingEither && wire == DomainSystem+1:
		return DomainSystem, true
	}
	return 0, false
}

// Source is the source byte of a header: which program sent the message. The constants are the numbers that the old
// programs wrote; the old topic table had others, which [Source.TopicTableName] gives. Nothing ever checked the byte.
type Source uint8

// The sources.
const (
	SourceUnknown           Source = 0
	SourceBinanceCollector  Source = 1
	SourceCoinbaseCollector Source = 2
	SourceKrakenCollector   Source = 3
	SourcePolygonCollector  Source = 4
	SourceGeminiCollector   Source = 5
	SourceArbitrageStrategy Source = 10
	SourceStateManager      Source = 15
	SourceExecutionEngine   Source = 20
	SourceDashboard         Source = 30
	SourceTestClient        Source = 99
)

var sourceNames = map[Source]string{
	SourceUnknown: "Unknown", SourceBinanceCollector: "BinanceCollector", SourceCoinbaseCollector: "CoinbaseCollector",
	SourceKrakenCollector: "KrakenCollector", SourcePolygonCollector: "PolygonCollector",
	SourceGeminiCollector: "GeminiCollector", SourceArbitrageStrategy: "ArbitrageStrategy",
	SourceStateManager: "StateManager", SourceExecutionEngine: "ExecutionEngine", SourceDashboard: "Dashboard",
	SourceTestClient: "TestClient",
}

var topicTableNames = map[Source]string{
	1: "BinanceCollector", 2: "KrakenCollector", 3: "CoinbaseCollector", 4: "PolygonCollector", 5: "GeminiCollector",
	20: "ArbitrageStrategy", 21: "MarketMaker", 22: "TrendFollower", 23: "KrakenSignalStrategy",
	40: "PortfolioManager", 41: "RiskManager", 42: "ExecutionEngine",
	60: "Dashboard", 61: "MetricsCollector", 62: "StateManager",
	80: "MarketDataRelay", 81: "SignalRelay", 82: "ExecutionRelay",
}

// String returns the name of the source in the numbering of the constants, and other values in decimal.
func (s Source) String() string {
	if name, ok := sourceNames[s]; ok {
		return name
	}
	return strconv.Itoa(int(s))
}

// TopicTableName returns the name of the source in the numbering of the old relays' topic table, or "" if it has none.
// It is not what the programs wrote: 2 and 3 are exchanged there, and 10 to 30 mean something else.
func (s Source) TopicTableName() string { return topicTableNames[s] }
