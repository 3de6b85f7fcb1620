package dex

import (
	"fmt"
)

// traceRows reads what was taken from the traces of Ethereum blocks rather than from their logs:
//
//		block_number,tx_index,trace_seq,tx_hash,event,pool,kind,token0,token1,reserve0_before,reserve1_before,pre_source,
//		amount0_in,amount1_in,amount0_out,amount1_out,reserve0_after,reserve1_after
//
//	  - state: a call of getReserves answered with reserve0_after and reserve1_after; read as a Sync.
//	  - swap of a v2 pair: amounts, and the reserves that the swap left (HasReserves); no Sync stands beside it.
//	  - swap of a v3 pool: amounts alone, neither price nor liquidity.
//
// Traces have no log index and the file no time: the trace's number in the block takes the one's place, the other is
// unknown. Rows name tokens and generation of their pools, which are added to the pools known; a v2 pair's fee is 0.3 %,
// a v3 pool's is unknown unless it was known before.
type traceRows struct {
	pools *Pools

	block, tx, seq, hash, event, pool, kind, token0, token1 int
	in0, in1, out0, out1, res0, res1                        int
}

func newTraceRows(col func(string) int, pools *Pools) *traceRows {
	return &traceRows{
		pools: pools,
		block: col("block_number"), tx: col("tx_index"), seq: col("trace_seq"), hash: col("tx_hash"),
		event: col("event"), pool: col("pool"), kind: col("kind"), token0: col("token0"), token1: col("token1"),
		in0: col("amount0_in"), in1: col("amount1_in"), out0: col("amount0_out"), out1: col("amount1_out"),
		res0: col("reserve0_after"), res1: col("reserve1_after"),
	}
}

func (r *traceRows) read(fields [][]byte, e *Event) (bool, error) {
	f := fieldReader{fields: fields}
	e.ChainID = chainEthereum
	e.Pool = f.address(r.pool, "pool")
	e.Block = f.number(r.block, "block_number", 64)
	e.TxIndex = uint32(f.number(r.tx, "tx_index", 32))
	e.LogIndex = uint32(f.number(r.seq, "trace_seq", 32))
	if f.text(r.hash) != "" {
		e.TxHash = f.hash(r.hash, "tx_hash")
	}
	pool := Pool{ChainID: chainEthereum, Address: e.Pool,
		Token0: f.address(r.token0, "token0"), Token1: f.address(r.token1, "token1")}
	switch f.text(r.kind) {
	case "v2":
		e.Version, pool.Protocol, pool.FeePips = V2, UniswapV2, 3000
	case "v3":
		e.Version, pool.Protocol = V3, UniswapV3
	default:
		return false, fmt.Errorf("kind: %q is neither v2 nor v3", clip(f.text(r.kind)))
	}
	switch f.text(r.event) {
	case "state":
		if e.Version != V2 {
			return false, f.err
		}
		e.Kind = Sync
		r.reserves(&f, e)
	case "swap":
		e.Kind = Swap
		in0, out0 := f.uint(r.in0, "amount0_in", 256), f.uint(r.out0, "amount0_out", 256)
		in1, out1 := f.uint(r.in1, "amount1_in", 256), f.uint(r.out1, "amount1_out", 256)
		e.Amount0, e.Amount1 = Difference(&in0, &out0), Difference(&in1, &out1)
		if e.Version == V2 && f.text(r.res0) != "" {
			r.reserves(&f, e)
		}
	default:
		return false, f.err
	}
	if f.err != nil {
		return false, f.err
	}
	r.pools.addIfUnknown(pool)
	return true, nil
}

func (r *traceRows) reserves(f *fieldReader, e *Event) {
	e.HasReserves = true
	e.Reserve0, e.Reserve1 = f.uint(r.res0, "reserve0_after", 112), f.uint(r.res1, "reserve1_after", 112)
}
