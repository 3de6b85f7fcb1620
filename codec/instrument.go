package codec

import "strconv"

// InstrumentSize is the length in bytes of an Instrument where it stands by itself.
const InstrumentSize = 12

// Instrument says what is traded and where. It is comparable. In structs its parts stand apart; in lists it is packed:
// asset u64, venue u16, asset type u8, reserved u8.
type Instrument struct {
	AssetID   uint64    // see SymbolAsset, TokenAsset and PoolAsset
	VenueID   Venue     //
	AssetType AssetType //
	Reserved  uint8     // 1 marks a pool of three tokens, else 0
}

// decode and encode have the packed form.
func (i *Instrument) decode(b []byte) {
	d := (*[InstrumentSize]byte)(b)
	i.AssetID = le.Uint64(d[0:])
	i.VenueID = Venue(le.Uint16(d[8:]))
	i.AssetType = AssetType(d[10])
	i.Reserved = d[11]
}

func (i *Instrument) encode(b []byte) {
	d := (*[InstrumentSize]byte)(b)
	le.PutUint64(d[0:], i.AssetID)
	le.PutUint16(d[8:], uint16(i.VenueID))
	d[10] = byte(i.AssetType)
	d[11] = i.Reserved
}

// SymbolAsset is the asset id of a symbol: its first 8 bytes as a big-endian number, filled with zeros at the end.
// In the little-endian message the text is reversed.
func SymbolAsset(symbol string) uint64 {
	var id uint64
	for i := range 8 {
		id <<= 8
		if i < len(symbol) {
			id |= uint64(symbol[i])
		}
	}
	return id
}

// AssetSymbol is the symbol whose asset id is given, and whether it can be one: 1 to 8 printable ASCII characters, with
// nothing but zeros after them. The id of a token or a pool may pass by chance.
func AssetSymbol(id uint64) (string, bool) {
	var b [8]byte
	n := 0
	for ; id != 0; id <<= 8 {
		c := byte(id >> 56)
		if c <= ' ' || c > '~' {
			return "", false
		}
		b[n] = c
		n++
	}
	return string(b[:n]), n > 0
}

// TokenAsset is the asset id of an EVM token: the first 8 bytes of its address as a big-endian number.
func TokenAsset(token Address) uint64 {
	var id uint64
	for _, c := range token[:8] {
		id = id<<8 | uint64(c)
	}
	return id
}

// PoolAsset is the asset id of a pool of two tokens, whose asset ids may come in any order. An LP token has its pool's
// id.
func PoolAsset(a, b uint64) uint64 { return min(a, b)*31 + max(a, b) }

// PoolAsset3 is the asset id of a pool of three tokens, in any order. Its Instrument has Reserved 1.
func PoolAsset3(a, b, c uint64) uint64 {
	lo, hi := min(a, b, c), max(a, b, c)
	mid := a ^ b ^ c ^ lo ^ hi
	return lo*31 + mid*17 + hi
}

// Venue is where something is traded: an exchange, a chain, or a protocol on a chain.
type Venue uint16

// The venues that this project's programs write. String knows the names of all.
const (
	VenueGeneric          Venue = 0
	VenueBinance          Venue = 100
	VenueKraken           Venue = 101
	VenueCoinbase         Venue = 102
	VenueGemini           Venue = 108
	VenueEthereum         Venue = 200
	VenuePolygon          Venue = 202
	VenueUniswapV2        Venue = 300
	VenueUniswapV3        Venue = 301
	VenueSushiSwap        Venue = 302
	VenueQuickSwap        Venue = 400
	VenueSushiSwapPolygon Venue = 401
	VenueTest             Venue = 65000
)

var venueNames = map[Venue]string{
	0: "Generic", 1: "NYSE", 2: "NASDAQ", 3: "LSE", 4: "TSE", 5: "HKEX",
	100: "Binance", 101: "Kraken", 102: "Coinbase", 103: "Huobi", 104: "OKEx", 105: "FTX", 106: "Bybit", 107: "KuCoin",
	108: "Gemini",
	200: "Ethereum", 201: "Bitcoin", 202: "Polygon", 203: "BSC", 204: "Avalanche", 205: "Fantom", 206: "Arbitrum",
	207: "Optimism", 208: "Solana", 209: "Cardano", 210: "Polkadot", 211: "Cosmos",
	300: "UniswapV2", 301: "UniswapV3", 302: "SushiSwap", 303: "Curve", 304: "Balancer", 305: "Aave", 306: "Compound",
	307: "MakerDAO", 308: "Yearn", 309: "Synthetix", 310: "DYdX",
	400: "QuickSwap", 401: "SushiSwapPolygon", 402: "CurvePolygon", 403: "AavePolygon", 404: "BalancerPolygon",
	500: "PancakeSwap", 501: "VenusProtocol",
	600: "UniswapV3Arbitrum", 601: "SushiSwapArbitrum", 602: "CurveArbitrum",
	700: "Deribit", 701: "BybitDerivatives", 702: "Opyn", 703: "Hegic",
	800: "COMEX", 801: "CME", 802: "ICE", 803: "ForexCom",
	65000: "TestVenue", 65001: "MockExchange",
}

// String returns the venue's name, or its number if it has none. It does not know the other numbering that the old
// topic
// code used for chains (201 Polygon, 202 BSC, 203 Arbitrum).
func (v Venue) String() string {
	if name, ok := venueNames[v]; ok {
		return name
	}
	return strconv.Itoa(int(v))
}

// AssetType is the sort of thing that is traded.
type AssetType uint8

// The asset types that this project's programs write. String knows the names of all.
const (
	AssetCurrency   AssetType = 5
	AssetToken      AssetType = 50
	AssetCoin       AssetType = 51
	AssetStableCoin AssetType = 53
	AssetPool       AssetType = 100
	AssetLPToken    AssetType = 101
)

var assetTypeNames = map[AssetType]string{
	1: "Stock", 2: "Bond", 3: "ETF", 4: "Commodity", 5: "Currency", 6: "Index",
	50: "Token", 51: "Coin", 52: "NFT", 53: "StableCoin", 54: "WrappedToken",
	100: "Pool", 101: "LPToken", 102: "YieldToken", 103: "Synthetic", 104: "DerivativeToken", 105: "Governance",
	150: "Option", 151: "Future", 152: "Swap", 153: "Forward", 154: "CDS",
	200: "StructuredNote", 201: "ConvertibleBond", 250: "Test", 251: "Mock",
}

// String returns the asset type's name, or its number if it has none. The old topic code numbered some of them
// otherwise
// (4 Currency, 5 Commodity, 52 StableCoin, 53 Wrapped, 54 NFT, 103 Governance).
func (a AssetType) String() string {
	if name, ok := assetTypeNames[a]; ok {
		return name
	}
	return strconv.Itoa(int(a))
}
