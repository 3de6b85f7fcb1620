package tools

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Record is what a dump says of one frame. Its JSON keys are stable.
type Record struct {
	Position uint64   `json:"position"` // in the ring, in bytes; names the message within its topic
	Length   int      `json:"length"`   // payload bytes
	Producer int      `json:"producer"` // slot
	Kind     string   `json:"kind"`     // "data": padding is not shown
	Message  *Message `json:"message"`  // nil if the payload is not a message
	Hex      string   `json:"hex,omitempty"`
	Error    string   `json:"error,omitempty"` // why it is not
}

// Message is a decoded message. Domain and Source are names in the numbering of the programs that wrote them (the old relays
// counted otherwise), and the bytes beside them.
type Message struct {
	Domain      string `json:"domain"`
	DomainByte  uint8  `json:"domain_byte"`
	Source      string `json:"source"`
	SourceByte  uint8  `json:"source_byte"`
	Version     uint8  `json:"version"`
	Flags       uint8  `json:"flags"`
	Sequence    uint64 `json:"sequence"`
	TimestampNs uint64 `json:"timestamp_ns"`
	Checksum    string `json:"checksum"` // absent, ok or wrong
	TLVs        []TLV  `json:"tlvs"`
}

// TLV is one of a message's TLVs. Fields is nil for a type that has no struct, or a value that does not fit it; the value is
// then in Hex.
type TLV struct {
	Type     uint8         `json:"type"`
	Name     string        `json:"name"` // the number again, if the type has no name
	Length   int           `json:"length"`
	Extended bool          `json:"extended,omitempty"` // it has the long form
	Fields   *codec.Fields `json:"fields"`
	Hex      string        `json:"hex,omitempty"`
	Error    string        `json:"error,omitempty"`
}

// NewRecord decodes a frame that the producer in a slot wrote. The record holds nothing of the frame's bytes.
func NewRecord(f shmring.Frame, producer int) Record {
	r := Record{Position: f.Position, Length: len(f.Payload), Producer: producer, Kind: "data"}
	m, err := codec.Parse(f.Payload)
	if err != nil {
		r.Hex, r.Error = hex.EncodeToString(f.Payload), err.Error()
		return r
	}
	h := m.Header()
	r.Message = &Message{
		Domain: h.Domain.String(), DomainByte: uint8(h.Domain), Source: h.Source.String(), SourceByte: uint8(h.Source),
		Version: h.Version, Flags: h.Flags, Sequence: h.Sequence, TimestampNs: h.TimestampNs, Checksum: checksum(m), TLVs: []TLV{},
	}
	for c := m.Cursor(); c.Next(); {
		r.Message.TLVs = append(r.Message.TLVs, newTLV(&c))
	}
	return r
}

func newTLV(c *codec.Cursor) TLV {
	t := TLV{Type: uint8(c.Type), Name: c.Type.String(), Length: len(c.Value), Extended: c.Extended}
	fields, err := codec.FieldsOf(c.Type, c.Value)
	if err != nil {
		t.Error = err.Error()
	}
	if fields != nil {
		t.Fields = &fields
	} else {
		t.Hex = hex.EncodeToString(c.Value)
	}
	return t
}

func checksum(m codec.Message) string {
	switch {
	case !m.HasChecksum():
		return "absent"
	case m.VerifyChecksum() != nil:
		return "wrong"
	}
	return "ok"
}

// String is the record on one line.
func (r Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d p%d", r.Position, r.Producer)
	m := r.Message
	if m == nil {
		fmt.Fprintf(&b, " %d bytes, not a message (%s): %s", r.Length, r.Error, r.Hex)
		return b.String()
	}
	fmt.Fprintf(&b, " %s %s #%d %s", m.Domain, m.Source, m.Sequence,
		time.Unix(0, int64(m.TimestampNs)).UTC().Format("2006-01-02T15:04:05.000000000Z"))
	if m.Checksum == "wrong" {
		b.WriteString(" CHECKSUM WRONG")
	}
	for _, t := range m.TLVs {
		switch {
		case t.Error != "":
			fmt.Fprintf(&b, " %s{%d bytes, %s: %s}", t.Name, t.Length, t.Error, t.Hex)
		case t.Fields == nil:
			fmt.Fprintf(&b, " %s{%s}", t.Name, t.Hex)
		default:
			fmt.Fprintf(&b, " %s{%s}", t.Name, t.Fields)
		}
	}
	return b.String()
}
