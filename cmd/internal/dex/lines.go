package dex

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds the memory of an open file, whatever the file holds: a longer line is skipped, not read. The largest
// log of a Uniswap pool has 7 words and is below 1 KiB as text; a Mint with its proxy's log is below 3 KiB.
const maxLine = 256 << 10

// lineReader reads lines of bounded length and counts them. Lines end in \n or \r\n; the last needs no end.
type lineReader struct {
	r    *bufio.Reader
	line int // number of the line that was returned last, from 1
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, maxLine)}
}

// next returns the next line without its end; it is the caller's, to change as well, until the next call. A line
// that is too long is passed over, and errLineTooLong returned for it. At the end it returns io.EOF.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.line++
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.r.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		return nil, errLineTooLong
	}
	if err != nil && (err != io.EOF || len(line) == 0) {
		return nil, err // what a broken file holds of a line is not a row
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	return line, nil
}

// splitCSV cuts a line at its commas as RFC 4180 says, appending to fields. It unquotes in place, so the fields are
// parts of line. A quoted field must end on its line: none of the known files has line breaks in fields, and a stray
// quote must not swallow the rest of a file.
func splitCSV(line []byte, fields [][]byte) ([][]byte, error) {
	for {
		if len(line) == 0 || line[0] != '"' {
			end := bytes.IndexByte(line, ',')
			if end < 0 {
				return append(fields, line), nil
			}
			fields = append(fields, line[:end])
			line = line[end+1:]
			continue
		}
		field, rest, err := unquote(line)
		if err != nil {
			return fields, err
		}
		fields = append(fields, field)
		if len(rest) == 0 {
			return fields, nil
		}
		line = rest[1:]
	}
}

// unquote takes a field that begins with a quote off the line; rest is empty or begins with the comma after it.
func unquote(line []byte) (field, rest []byte, err error) {
	w := 0
	for i := 1; i < len(line); i++ {
		if line[i] != '"' {
			line[w] = line[i]
			w++
			continue
		}
		if i+1 < len(line) && line[i+1] == '"' {
			line[w] = '"'
			w++
			i++
			continue
		}
		rest = line[i+1:]
		if len(rest) > 0 && rest[0] != ',' {
			return nil, nil, fmt.Errorf("%q after the end of a quoted field", clip(string(rest)))
		}
		return line[:w], rest, nil
	}
	return nil, nil, errOpenQuote
}
