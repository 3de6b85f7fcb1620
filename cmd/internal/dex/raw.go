package dex

import "fmt"

// rawForms are the columns of the two header forms that recorders use, in the same order. The second has proxy_ columns
// too, which repeat the log of the position manager's contract through which the pool was called; they are not the
// pool's own and are not read.
var rawForms = [2][7]string{
	{"block_number", "block_timestamp", "transaction_hash", "transaction_index", "log_index", "topics", "data"},
	{"block_number", "block_timestamp", "transaction_hash", "pool_tx_index", "pool_log_index", "pool_topics", "pool_data"},
}

// rawRows reads logs as a node returns them, of one pool.
type rawRows struct {
	pool Pool

	block, time, hash, tx, log, topics, data int

	topicBuf []topic
	dataBuf  []byte
}

func newRawRows(form *[7]string, col func(string) int) *rawRows {
	return &rawRows{
		block: col(form[0]), time: col(form[1]), hash: col(form[2]),
		tx: col(form[3]), log: col(form[4]), topics: col(form[5]), data: col(form[6]),
	}
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
	e.ChainID, e.Pool = r.pool.ChainID, r.pool.Address
	e.Block = f.number(r.block, "block_number", 64)
	e.TimeNS = f.time(r.time, "block_timestamp")
	e.TxIndex = uint32(f.number(r.tx, "transaction_index", 32))
	e.LogIndex = uint32(f.number(r.log, "log_index", 32))
	e.TxHash = f.hash(r.hash, "transaction_hash")
	return ok && f.err == nil, f.err
}
