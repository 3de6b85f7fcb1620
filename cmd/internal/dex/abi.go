package dex

import (
	"encoding/hex"
	"fmt"

	"github.com/holiman/uint256"
)

// topic is one 32-byte topic of a log. The first one is the Keccak-256 hash of the event's signature.
type topic [32]byte

func mustTopic(s string) (t topic) {
	if n, err := hex.Decode(t[:], []byte(s)); err != nil || n != len(t) {
		panic("dex: bad topic constant " + s)
	}
	return t
}

// Signatures are those of the contracts' sources (Uniswap v3-core IUniswapV3PoolEvents.sol, v2-core
// IUniswapV2Pair.sol); the test hashes them.
var (
	topicV3Swap    = mustTopic("c42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67")
	topicV3Mint    = mustTopic("7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde")
	topicV3Burn    = mustTopic("0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c")
	topicV3Collect = mustTopic("70935338e69775456a85ddef226c395fb668b63fa0115f5f20610b388e6ca9c0")
	topicV2Swap    = mustTopic("d78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822")
	topicV2Mint    = mustTopic("4c209b5fc8ad50758f13e2e1088ba56a560dff690a1c6fef26394f4c03821c4f")
	topicV2Burn    = mustTopic("dccd412f0b1252819cb1fd330b93224ca42612892bb3f4f789976e6d81936496")
	topicV2Sync    = mustTopic("1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1")
)

// Logs of Aave v3's lending pool, which are recorded in the same columns as a DEX pool's.
var aaveTopics = map[topic]string{
	mustTopic("804c9b842b2748a22bb64b345453a3de7ca54a6ca45ce00d415894979e22897a"): "ReserveDataUpdated",
	mustTopic("2b627736bca15cd5381dcf80b0bf11fd197d01a037c52b927a881a10fb73ba61"): "Supply",
	mustTopic("3115d1449a7b732c986cba18244e897a450f61e1bb8d589cd2e69e6c8924f9f7"): "Withdraw",
	mustTopic("b3d084820fb1a9decffb176436bd02558d15fac9b0ddfed8c465bc7359d7dce0"): "Borrow",
	mustTopic("a534c8dbe71f871f9f3530e97a74601fea17b426cae02e1c5aee42c96c784051"): "Repay",
	mustTopic("e413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286"): "LiquidationCall",
}

// rawLog is a log as a node returns it; the slices are the reader's buffers.
type rawLog struct {
	topics []topic
	data   []byte
}

// decodeLog fills in what the log says: kind, version, amounts, prices, accounts. It leaves position, time, pool and
// hash alone, and returns false without an error for an event that is not published (another signature, or none).
// Words are checked as strictly as Solidity's decoder does: unused bits must be zero, or copies of the sign.
func decodeLog(log rawLog, e *Event) (bool, error) {
	if len(log.topics) == 0 {
		return false, nil // an anonymous event: no pool's
	}
	d := decoder{log: log}
	switch log.topics[0] {
	case topicV3Swap: // Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1,
		// uint160 sqrtPriceX96, uint128 liquidity, int24 tick)
		d.shape(3, 5)
		e.Kind, e.Version = Swap, V3
		e.Sender, e.Recipient = d.topicAddress(1), d.topicAddress(2)
		e.Amount0, e.Amount1 = Signed(d.word(0)), Signed(d.word(1))
		e.SqrtPriceX96, e.Liquidity, e.Tick = d.uint(2, 160), d.uint(3, 128), d.tick(d.word(4))
	case topicV3Mint: // Mint(address sender, address indexed owner, int24 indexed tickLower, int24 indexed tickUpper,
		// uint128 amount, uint256 amount0, uint256 amount1)
		d.shape(4, 4)
		e.Kind, e.Version = Mint, V3
		e.Sender, e.Recipient = d.address(d.word(0)), d.topicAddress(1)
		e.TickLower, e.TickUpper = d.tick(d.topic(2)), d.tick(d.topic(3))
		e.Liquidity, e.Amount0, e.Amount1 = d.uint(1, 128), Unsigned(d.word(2)), Unsigned(d.word(3))
	case topicV3Burn: // Burn(address indexed owner, int24 indexed tickLower, int24 indexed tickUpper, uint128 amount,
		// uint256 amount0, uint256 amount1)
		d.shape(4, 3)
		e.Kind, e.Version = Burn, V3
		e.Sender = d.topicAddress(1)
		e.TickLower, e.TickUpper = d.tick(d.topic(2)), d.tick(d.topic(3))
		e.Liquidity, e.Amount0, e.Amount1 = d.uint(0, 128), Unsigned(d.word(1)), Unsigned(d.word(2))
	case topicV2Swap: // Swap(address indexed sender, uint amount0In, uint amount1In, uint amount0Out, uint amount1Out,
		// address indexed to)
		d.shape(3, 4)
		e.Kind, e.Version = Swap, V2
		e.Sender, e.Recipient = d.topicAddress(1), d.topicAddress(2)
		in0, in1, out0, out1 := d.word(0), d.word(1), d.word(2), d.word(3)
		e.Amount0, e.Amount1 = Difference(&in0, &out0), Difference(&in1, &out1)
	case topicV2Mint: // Mint(address indexed sender, uint amount0, uint amount1)
		d.shape(2, 2)
		e.Kind, e.Version = Mint, V2
		e.Sender = d.topicAddress(1)
		e.Amount0, e.Amount1 = Unsigned(d.word(0)), Unsigned(d.word(1))
	case topicV2Burn: // Burn(address indexed sender, uint amount0, uint amount1, address indexed to)
		d.shape(3, 2)
		e.Kind, e.Version = Burn, V2
		e.Sender, e.Recipient = d.topicAddress(1), d.topicAddress(2)
		e.Amount0, e.Amount1 = Unsigned(d.word(0)), Unsigned(d.word(1))
	case topicV2Sync: // Sync(uint112 reserve0, uint112 reserve1)
		d.shape(1, 2)
		e.Kind, e.Version, e.HasReserves = Sync, V2, true
		e.Reserve0, e.Reserve1 = d.uint(0, 112), d.uint(1, 112)
	default:
		return false, nil
	}
	return d.err == nil, d.err
}

// decoder keeps the first error; after one its reads return zero.
type decoder struct {
	log rawLog
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) shape(topics, words int) {
	if len(d.log.topics) != topics {
		d.fail("log has %d topics, its signature asks for %d", len(d.log.topics), topics)
	}
	if len(d.log.data) != 32*words {
		d.fail("log data has %d bytes, its signature asks for %d", len(d.log.data), 32*words)
	}
}

func (d *decoder) word(i int) (w uint256.Int) {
	if d.err == nil {
		w.SetBytes32(d.log.data[32*i:])
	}
	return w
}

func (d *decoder) topic(i int) (w uint256.Int) {
	if d.err == nil {
		w.SetBytes32(d.log.topics[i][:])
	}
	return w
}

func (d *decoder) uint(i, bits int) uint256.Int {
	w := d.word(i)
	if w.BitLen() > bits {
		d.fail("word %d of the data needs %d bits, uint%d has no more than %d", i, w.BitLen(), bits, bits)
	}
	return w
}

func (d *decoder) tick(w uint256.Int) int32 {
	v := int64(w[0])
	high := uint64(v >> 63)
	if v < -1<<23 || v >= 1<<23 || w[1] != high || w[2] != high || w[3] != high {
		d.fail("tick %s is not an int24", Signed(w))
		return 0
	}
	return int32(v)
}

func (d *decoder) address(w uint256.Int) Address {
	if w.BitLen() > 160 {
		d.fail("address word %s has more than 20 bytes", w.Hex())
		return Address{}
	}
	return w.Bytes20()
}

func (d *decoder) topicAddress(i int) Address { return d.address(d.topic(i)) }
