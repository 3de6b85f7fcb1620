package dex

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Source yields events one by one. Sources are for one goroutine.
type Source interface {
	// Next overwrites *e with the next event. It returns a *RowError for a row that cannot be read, after which the
	// next call goes on with the next row; io.EOF at the end; anything else ends the source.
	Next(e *Event) error
	// Name is the file's path, or what the source is.
	Name() string
	// Line is the line of the event that came last; 0 where there are no lines.
	Line() int
	// Counts says what was read so far.
	Counts() Counts
	// Close frees the file.
	Close() error
}

// Counts is what became of a source's rows: Rows = events + Malformed + Other.
type Counts struct {
	Rows      uint64 // lines after the header
	Malformed uint64 // could not be read, and were reported as RowError
	Other     uint64 // logs that are not published: Collect, Flash, Initialize, a proxy's own, ...
}

// rowReader reads the rows of one header form.
type rowReader interface {
	// read fills in e from the fields of a row, which are lent; false without an error for what is not published.
	read(fields [][]byte, e *Event) (bool, error)
}

// file is a Source over a CSV file, packed with gzip or not (its first bytes tell, not its name).
type file struct {
	path    string
	f       *os.File
	lines   *lineReader
	columns int
	rows    rowReader
	fields  [][]byte
	counts  Counts
	ahead   ahead
	err     error // what ended the file
}

// maxHeader is how much of a line without an end is looked at to tell what a file is.
const maxHeader = 1 << 10

// ahead is the first row, when it was looked at to tell what the file is.
type ahead struct {
	set  bool
	line []byte
	err  error
}

// OpenOptions is what a file of events does not say itself.
type OpenOptions struct {
	// Pool is the pool of a raw file. Zero: found by the file's name in Pools.
	Pool Address
	// Pools knows tokens, fees and chains. Nil knows nothing. Pools that trace files describe are added to it.
	Pools *Pools
}

// OpenFile opens a file of DEX events: raw logs in either header form, or decoded events. Anything else is an
// ErrNotEvents that says what the file holds instead. Memory is bounded (maxLine a file) whatever the file holds.
func OpenFile(path string, opt OpenOptions) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s, err := newFile(path, f, opt)
	if err != nil {
		f.Close()
		return nil, err
	}
	s.f = f
	return s, nil
}

func newFile(path string, r io.Reader, opt OpenOptions) (*file, error) {
	head := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := head.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(head)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		r = z
	} else {
		r = head
	}
	if opt.Pools == nil {
		opt.Pools = NewPools()
	}
	s := &file{path: path, lines: newLineReader(r)}
	beginning, _ := s.lines.r.Peek(maxHeader)
	long := string(beginning)
	header, err := s.lines.next()
	switch {
	case err == io.EOF:
		return nil, fmt.Errorf("%s: %w: it is empty", path, ErrNotEvents)
	case errors.Is(err, errLineTooLong):
		header = []byte(long) // no header of ours, but describe can tell what it is
	case err != nil:
		return nil, fmt.Errorf("%s:1: %w", path, err)
	}
	if err := s.choose(string(bytes.TrimPrefix(header, []byte("\xef\xbb\xbf"))), opt); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// choose finds the reader for a header.
func (s *file) choose(header string, opt OpenOptions) error {
	names := strings.Split(header, ",")
	for i := range names {
		names[i] = strings.ToLower(strings.Trim(names[i], " \""))
	}
	s.columns = len(names)
	col := func(name string) int {
		for i, n := range names {
			if n == name {
				return i
			}
		}
		return -1
	}
	has := func(want ...string) bool {
		for _, n := range want {
			if col(n) < 0 {
				return false
			}
		}
		return true
	}
	var err error
	switch {
	case has(rawForms[0][:]...), has(rawForms[1][:]...):
		form := &rawForms[0]
		if !has(form[:]...) {
			form = &rawForms[1]
		}
		raw := newRawRows(form, col)
		if err = s.refuseLending(raw.topics); err != nil {
			return err
		}
		raw.pool, err = poolOf(s.path, opt)
		s.rows = raw
	case has("chain_id", "pool", "block_number", "block_time", "tx_index", "log_index", "event", "amount0", "amount1"):
		s.rows = newDecodedRows(col)
	case has("block_number", "tx_index", "trace_seq", "event", "pool", "kind", "token0", "token1"):
		s.rows = newTraceRows(col, opt.Pools)
	default:
		return fmt.Errorf("%w: it is %s", ErrNotEvents, describe(header, has))
	}
	return err
}

// describe names what a file is that holds no events, as well as its first line tells.
func describe(header string, has func(...string) bool) string {
	switch {
	case has("gas_price"):
		return "a table of gas prices"
	case has("tx_type"):
		return "a tick table, which another decoder made from the raw logs; give the *.raw.csv or *.events.csv of the pool"
	case strings.HasPrefix(header, "{"), strings.HasPrefix(header, "["):
		return "JSON"
	case strings.Contains(header, "wss://"), strings.Contains(header, ": {"), strings.Contains(header, ": ["):
		return "a recorded exchange WebSocket (kraken-collector reads those)"
	}
	return fmt.Sprintf("of another kind, its first line is %q", clip(header))
}

// refuseLending looks at the first row's topic: Aave's logs are recorded in the columns of a DEX pool's.
func (s *file) refuseLending(topicsColumn int) error {
	line, err := s.lines.next()
	s.ahead = ahead{set: true, line: append([]byte(nil), line...), err: err} // splitting changes the line
	if err != nil {
		return nil // Next reports it
	}
	fields, err := splitCSV(line, nil)
	if err != nil || topicsColumn >= len(fields) {
		return nil // a malformed row, which Next reports
	}
	topics, err := parseTopics(fields[topicsColumn], nil)
	if err != nil || len(topics) == 0 {
		return nil
	}
	if event, ok := aaveTopics[topics[0]]; ok {
		return fmt.Errorf("%w: it holds logs of the Aave v3 lending pool (the first is %s), not of a DEX pool",
			ErrNotEvents, event)
	}
	return nil
}

func (s *file) Name() string   { return s.path }
func (s *file) Line() int      { return s.lines.line }
func (s *file) Counts() Counts { return s.counts }

func (s *file) Close() error {
	if s.f == nil {
		return nil
	}
	return s.f.Close()
}

func (s *file) Next(e *Event) error {
	for {
		line, err := s.nextLine()
		if err == io.EOF {
			return io.EOF
		}
		if err != nil && !errors.Is(err, errLineTooLong) {
			return err
		}
		if err == nil && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		s.counts.Rows++
		ok := false
		if err == nil {
			ok, err = s.readRow(line, e)
		}
		if err != nil {
			s.counts.Malformed++
			return &RowError{File: s.path, Line: s.lines.line, Err: err}
		}
		if ok {
			return nil
		}
		s.counts.Other++
	}
}

func (s *file) nextLine() ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	if a := s.ahead; a.set {
		s.ahead = ahead{}
		return a.line, s.keep(a.err)
	}
	line, err := s.lines.next()
	return line, s.keep(err)
}

// keep makes what ends the file last.
func (s *file) keep(err error) error {
	if err == nil || errors.Is(err, errLineTooLong) {
		return err
	}
	if s.err = err; err != io.EOF {
		s.err = fmt.Errorf("%s: broken off after line %d: %w", s.path, s.lines.line-1, err)
	}
	return s.err
}

func (s *file) readRow(line []byte, e *Event) (bool, error) {
	var err error
	s.fields, err = splitCSV(line, s.fields[:0])
	if err != nil {
		return false, err
	}
	if len(s.fields) != s.columns {
		return false, fmt.Errorf("row has %d columns, the header %d", len(s.fields), s.columns)
	}
	*e = Event{}
	return s.rows.read(s.fields, e)
}
