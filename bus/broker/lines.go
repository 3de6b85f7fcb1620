package broker

import (
	"strconv"
	"strings"
)

// keyLines returns the line of every table and key of a TOML document that has been parsed without a fault: "broker" and
// "broker.socket", "topic.0.credit", "topic.0.group.1.keep" (arrays of tables are counted from 0). The library that parses
// the values does not tell where they stood. Keys inside of inline tables stand on the line of what holds them.
func keyLines(doc string) map[string]int {
	s := &lineScanner{doc: doc, line: 1, lines: map[string]int{}, count: map[string]int{}}
	for s.skipSpace() {
		if s.doc[s.i] == '[' {
			s.header()
		} else {
			s.assignment()
		}
	}
	return s.lines
}

type lineScanner struct {
	doc   string
	i     int // next byte
	line  int
	table string // path of the current table, with a dot at its end; "" at the top
	lines map[string]int
	count map[string]int // tables so far of each array of tables
}

// skipSpace goes to the next statement, past spaces, empty lines and comments; false at the end.
func (s *lineScanner) skipSpace() bool {
	for s.i < len(s.doc) {
		switch c := s.doc[s.i]; {
		case c == '#':
			s.skipLine()
		case c == '\n':
			s.line++
			s.i++
		case c == ' ' || c == '\t' || c == '\r':
			s.i++
		default:
			return true
		}
	}
	return false
}

func (s *lineScanner) skipLine() {
	for s.i < len(s.doc) && s.doc[s.i] != '\n' {
		s.i++
	}
}

// header takes [a.b] or [[a.b]].
func (s *lineScanner) header() {
	array := strings.HasPrefix(s.doc[s.i:], "[[")
	s.i++
	if array {
		s.i++
	}
	parts := s.key(']')
	path := ""
	for n, part := range parts {
		if path != "" {
			path += "."
		}
		path += part
		last := n == len(parts)-1
		if array && last {
			s.count[path]++
		}
		if tables := s.count[path]; tables > 0 {
			path += "." + strconv.Itoa(tables-1)
		}
	}
	s.lines[path] = s.line
	s.table = path + "."
	s.skipLine()
}

// assignment takes a key and skips its value.
func (s *lineScanner) assignment() {
	path := s.table + strings.Join(s.key('='), ".")
	s.lines[path] = s.line
	for depth := 0; s.i < len(s.doc); {
		switch c := s.doc[s.i]; c {
		case '\n':
			if depth == 0 {
				return
			}
			s.line++
			s.i++
		case '#':
			s.skipLine()
		case '"', '\'':
			s.text()
		case '[', '{':
			depth++
			s.i++
		case ']', '}':
			depth--
			s.i++
		default:
			s.i++
		}
	}
}

// key reads the parts of a dotted key up to the character that ends it.
func (s *lineScanner) key(end byte) []string {
	var parts []string
	part := ""
	for s.i < len(s.doc) && s.doc[s.i] != end && s.doc[s.i] != '\n' {
		switch c := s.doc[s.i]; c {
		case '"', '\'':
			part += strings.Trim(s.text(), `"'`)
		case '.':
			parts, part = append(parts, part), ""
			s.i++
		case ' ', '\t':
			s.i++
		default:
			part += string(c)
			s.i++
		}
	}
	return append(parts, part)
}

// text reads a string of any of the four forms, and returns it with its quotes.
func (s *lineScanner) text() string {
	from := s.i
	quote := s.doc[s.i : s.i+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(s.doc[s.i:], long) {
		quote = long
	}
	s.i += len(quote)
	for s.i < len(s.doc) && !strings.HasPrefix(s.doc[s.i:], quote) {
		if s.doc[s.i] == '\\' && quote[0] == '"' {
			s.i++
		}
		if s.i < len(s.doc) && s.doc[s.i] == '\n' {
			s.line++
		}
		s.i++
	}
	s.i = min(s.i+len(quote), len(s.doc))
	// A long string may end in one or two quotes of its own: """a""""" is a"".
	for len(quote) == 3 && s.i < len(s.doc) && s.doc[s.i] == quote[0] {
		s.i++
	}
	return s.doc[from:s.i]
}
