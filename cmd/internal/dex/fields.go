package dex

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/holiman/uint256"
)

// fieldReader reads a row's fields by column and keeps the first error, with the column's name.
type fieldReader struct {
	fields [][]byte
	err    error
}

func (r *fieldReader) fail(column string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %w", column, err)
	}
}

func (r *fieldReader) text(at int) string {
	if at < 0 {
		return ""
	}
	return string(r.fields[at])
}

func (r *fieldReader) number(at int, column string, bits int) uint64 {
	v, err := strconv.ParseUint(r.text(at), 10, bits)
	if err != nil {
		r.fail(column, fmt.Errorf("%q is not a number of %d bits", clip(r.text(at)), bits))
		return 0
	}
	return v
}

func (r *fieldReader) address(at int, column string) Address {
	a, err := ParseAddress(r.text(at))
	if err != nil {
		r.fail(column, err)
	}
	return a
}

// optionalAddress takes an empty field for the zero address.
func (r *fieldReader) optionalAddress(at int, column string) Address {
	if r.text(at) == "" {
		return Address{}
	}
	return r.address(at, column)
}

func (r *fieldReader) hash(at int, column string) (h [32]byte) {
	s := r.text(at)
	if len(s) != 66 || s[:2] != "0x" {
		r.fail(column, fmt.Errorf("%q is not 0x and 64 hex digits", clip(s)))
		return h
	}
	if _, err := hex.Decode(h[:], []byte(s[2:])); err != nil {
		r.fail(column, fmt.Errorf("%q is not 0x and 64 hex digits", clip(s)))
	}
	return h
}

func (r *fieldReader) amount(at int, column string) Amount {
	a, err := ParseAmount(r.text(at))
	if err != nil {
		r.fail(column, err)
	}
	return a
}

func (r *fieldReader) uint(at int, column string, bits int) uint256.Int {
	v, err := parseUint256(r.text(at))
	if err != nil {
		r.fail(column, fmt.Errorf("%q: %w", clip(r.text(at)), err))
	} else if v.BitLen() > bits {
		r.fail(column, fmt.Errorf("%s needs %d bits, there are %d", v.Dec(), v.BitLen(), bits))
	}
	return v
}

func (r *fieldReader) tick(at int, column string) int32 {
	v, err := strconv.ParseInt(r.text(at), 10, 32)
	if err != nil || v < -1<<23 || v >= 1<<23 {
		r.fail(column, fmt.Errorf("%q is not an int24", clip(r.text(at))))
	}
	return int32(v)
}

func (r *fieldReader) time(at int, column string) uint64 {
	ns, err := parseTime(r.text(at))
	if err != nil {
		r.fail(column, err)
	}
	return ns
}

// The forms in which the recorders write a block's time, always with seconds; without a zone it is UTC.
var timeLayouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", time.RFC3339, "2006-01-02T15:04:05"}

// parseTime reads a block's time, as text or in seconds since 1970, and returns ns since 1970.
func parseTime(s string) (uint64, error) {
	if sec, err := strconv.ParseUint(s, 10, 64); err == nil {
		if sec > maxUnixSeconds {
			return 0, fmt.Errorf("time %q is beyond the year 2500", s)
		}
		return sec * 1e9, nil
	}
	for _, layout := range timeLayouts {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if sec := t.Unix(); sec < 0 || uint64(sec) > maxUnixSeconds {
			return 0, fmt.Errorf("time %q is not between 1970 and 2500", clip(s))
		}
		return uint64(t.UnixNano()), nil
	}
	return 0, fmt.Errorf("time %q is neither seconds nor like 2024-01-05 00:00:23", clip(s))
}

// maxUnixSeconds is the end of the year 2500: ns since 1970 overflow 63 bits in 2262, 64 bits in 2554.
const maxUnixSeconds = 16756761599

var errNotList = errors.New("not a list of topics")

// parseTopics reads a list of topics as Python or JSON writes it: ['0x...', "0x..."]. A log has at most four.
func parseTopics(s []byte, topics []topic) ([]topic, error) {
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' {
		return nil, fmt.Errorf("%w: %q", errNotList, clip(string(s)))
	}
	s = trimSpace(s[1 : len(s)-1])
	for len(s) > 0 {
		if len(topics) > 0 {
			if s[0] != ',' {
				return nil, fmt.Errorf("%w: %q where a comma should be", errNotList, clip(string(s)))
			}
			s = trimSpace(s[1:])
		}
		const quoted = 1 + 2 + 64 + 1
		if len(s) < quoted || (s[0] != '\'' && s[0] != '"') || s[quoted-1] != s[0] || s[1] != '0' || s[2] != 'x' {
			return nil, fmt.Errorf("topic %q is not 0x and 64 hex digits in quotes", clip(string(s)))
		}
		var t topic
		if _, err := hex.Decode(t[:], s[3:quoted-1]); err != nil {
			return nil, fmt.Errorf("topic %q: %w", clip(string(s)), err)
		}
		if topics = append(topics, t); len(topics) > 4 {
			return nil, errors.New("more than 4 topics")
		}
		s = trimSpace(s[quoted:])
	}
	return topics, nil
}

func trimSpace(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// parseData reads 0x and an even number of hex digits, appending the bytes to buf. No bytes at all is 0x or nothing.
func parseData(s, buf []byte) ([]byte, error) {
	if len(s) == 0 {
		return buf, nil
	}
	if len(s) < 2 || s[0] != '0' || s[1] != 'x' {
		return nil, fmt.Errorf("data %q does not begin with 0x", clip(string(s)))
	}
	out, err := hex.AppendDecode(buf, s[2:])
	if err != nil {
		return nil, fmt.Errorf("data %q: %w", clip(string(s)), err)
	}
	return out, nil
}
