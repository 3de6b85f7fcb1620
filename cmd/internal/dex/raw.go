package dex

import "fmt"

// rawRows reads logs as a node returns them, in the two forms that recorders use:
//
//	block_number,block_timestamp,transaction_hash,transaction_index,log_index,topics,data
//	block_number,block_timestamp,transaction_hash,pool_tx_index,pool_log_index,pool_topics,pool_data,proxy_...
//
// The proxy columns repeat the log of the position manager's contract, through which the pool was called; they are not
// the pool's own and are not read.
type rawRows struct {
	chain uint32
	pool  Address

	block, time, hash, tx, log, topics, data int

	topicBuf []topic
	dataBuf  []byte
}

func newRawRows(path string, col func(string) int, opt OpenOptions) (*rawRows, error) {
	pool, err := poolOf(path, opt)
	if err != nil {
		return nil, err
	}
	r := &rawRows{
		chain: pool.ChainID, pool: pool.Address,
		block: col("block_number"), time: col("block_timestamp"), hash: col("transaction_hash"),
		tx: col("transaction_index"), log: col("log_index"), topics: col("topics"), data: col("data"),
	}
	if r.topics < 0 {
		r.tx, r.log, r.topics, r.data = col("pool_tx_index"), col("pool_log_index"), col("pool_topics"), col("pool_data")
	}
	return r, nil
}

func (r *rawRows) read(fields [][]byte, e *Event) (bool, error) {
	var err error
	if r.topicBuf, err = parseTopics(fields[r.topics], r.topicBuf[:0]); err != nil {
		return false, err
	}
	if r.dataBuf, err = parseData(fields[r.data], r.dataBuf[:0]); err != nil {
		return false, err
	}
	ok, err := decodeLog(rawLog{topics: r.topicBuf, data: r.dataBuf}, e)
	if err != nil {
		return false, fmt.Errorf("%s: %w", e.Kind, err)
	}
	f := fieldReader{fields: fields}
	e.ChainID, e.Pool = r.chain, r.pool
	e.Block = f.number(r.block, "block_number", 64)
	e.TimeNS = f.time(r.time, "block_timestamp")
	e.TxIndex = uint32(f.number(r.tx, "transaction_index", 32))
	e.LogIndex = uint32(f.number(r.log, "log_index", 32))
	e.TxHash = f.hash(r.hash, "transaction_hash")
	return ok && f.err == nil, f.err
}
