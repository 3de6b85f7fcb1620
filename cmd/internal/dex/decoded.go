package dex

import (
	"fmt"
	"strings"

	"github.com/holiman/uint256"
)

// decodedRows reads logs that were decoded to columns, of any number of pools:
//
//	chain_id,pool,block_number,block_time,tx_index,log_index,tx_hash,event,sender,recipient,
//	amount0,amount1,sqrt_price_x96,liquidity,tick,tick_lower,tick_upper,liquidity_delta
//
// and reserve0,reserve1 where there are Syncs. A Burn's liquidity_delta is negative. A Swap without a price is a v2
// pair's, as are a Mint or Burn without a range; their amounts are net, and negative where the pool paid.
type decodedRows struct {
	chain, pool, block, time, tx, log, hash, event, sender, recipient         int
	amount0, amount1, price, liquidity, tick, lower, upper, delta, res0, res1 int
}

func newDecodedRows(col func(string) int) *decodedRows {
	return &decodedRows{
		chain: col("chain_id"), pool: col("pool"), block: col("block_number"), time: col("block_time"),
		tx: col("tx_index"), log: col("log_index"), hash: col("tx_hash"), event: col("event"),
		sender: col("sender"), recipient: col("recipient"), amount0: col("amount0"), amount1: col("amount1"),
		price: col("sqrt_price_x96"), liquidity: col("liquidity"), tick: col("tick"), lower: col("tick_lower"),
		upper: col("tick_upper"), delta: col("liquidity_delta"), res0: col("reserve0"), res1: col("reserve1"),
	}
}

func (r *decodedRows) read(fields [][]byte, e *Event) (bool, error) {
	f := fieldReader{fields: fields}
	e.Pool = f.address(r.pool, "pool")
	e.ChainID = uint32(f.number(r.chain, "chain_id", 32))
	e.Block = f.number(r.block, "block_number", 64)
	e.TimeNS = f.time(r.time, "block_time")
	e.TxIndex = uint32(f.number(r.tx, "tx_index", 32))
	e.LogIndex = uint32(f.number(r.log, "log_index", 32))
	if f.text(r.hash) != "" {
		e.TxHash = f.hash(r.hash, "tx_hash")
	}
	e.Sender = f.optionalAddress(r.sender, "sender")
	e.Recipient = f.optionalAddress(r.recipient, "recipient")
	switch f.text(r.event) {
	case "Swap":
		r.swap(&f, e)
	case "Mint":
		r.provision(&f, e, Mint)
	case "Burn":
		r.provision(&f, e, Burn)
	case "Sync":
		e.Kind, e.Version, e.HasReserves = Sync, V2, true
		e.Reserve0, e.Reserve1 = f.uint(r.res0, "reserve0", 112), f.uint(r.res1, "reserve1", 112)
	case "":
		return false, fmt.Errorf("event: no name")
	default: // Collect and others
		return false, f.err
	}
	return f.err == nil, f.err
}

func (r *decodedRows) swap(f *fieldReader, e *Event) {
	e.Kind, e.Version = Swap, V2
	e.Amount0, e.Amount1 = f.amount(r.amount0, "amount0"), f.amount(r.amount1, "amount1")
	if f.text(r.price) == "" {
		return
	}
	e.Version = V3
	e.SqrtPriceX96 = f.uint(r.price, "sqrt_price_x96", 160)
	e.Liquidity = f.uint(r.liquidity, "liquidity", 128)
	e.Tick = f.tick(r.tick, "tick")
	// The columns hold what the log holds: int256.
	checkInt256(f, e.Amount0, "amount0")
	checkInt256(f, e.Amount1, "amount1")
}

func (r *decodedRows) provision(f *fieldReader, e *Event, kind Kind) {
	e.Kind, e.Version = kind, V2
	amount0, amount1 := f.uint(r.amount0, "amount0", 256), f.uint(r.amount1, "amount1", 256)
	e.Amount0, e.Amount1 = Unsigned(amount0), Unsigned(amount1)
	if f.text(r.lower) == "" {
		return
	}
	e.Version = V3
	e.TickLower, e.TickUpper = f.tick(r.lower, "tick_lower"), f.tick(r.upper, "tick_upper")
	delta := f.text(r.delta)
	if minus := strings.HasPrefix(delta, "-"); minus && kind == Mint || !minus && kind == Burn && strings.Trim(delta, "0") != "" {
		f.fail("liquidity_delta", fmt.Errorf("%q has the wrong sign for a %s", clip(delta), kind))
		return
	}
	liquidity, err := ParseAmount(delta)
	if err != nil {
		f.fail("liquidity_delta", err)
	} else if liquidity.Abs.BitLen() > 128 {
		f.fail("liquidity_delta", fmt.Errorf("%s needs more than 128 bits", liquidity))
	}
	e.Liquidity = liquidity.Abs
}

func checkInt256(f *fieldReader, a Amount, column string) {
	limit := new(uint256.Int).Lsh(uint256.NewInt(1), 255) // the magnitude of the least int256; one less is the greatest
	if c := a.Abs.Cmp(limit); c > 0 || c == 0 && !a.Neg {
		f.fail(column, fmt.Errorf("%s is not an int256", a))
	}
}
