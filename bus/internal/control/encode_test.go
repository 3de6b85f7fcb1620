package control

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/mycelium-bus/mycelium/codec"
)

// samples holds a message of each type, with no field left at zero.
var samples = []Message{
	&Hello{MinVersion: 1, MaxVersion: 2, Features: 3, Required: 4, Name: "polygon-adapter", Software: "v1"},
	&Welcome{MinVersion: 1, MaxVersion: 2, Features: 3, Required: 4, Session: 5, PID: 6, Software: "v1", Dir: "/dev/shm/myc"},
	&Error{Code: CodeNoTopic, Text: `no topic "x"`, Hint: "create it"},
	&OK{},
	&CreateTopic{Config: []byte(`{"name":"x"}`)},
	&DeleteTopic{Topic: "x"},
	&ListTopics{After: "a"},
	&Topics{More: true, Topics: []Topic{
		{Name: "a", State: TopicActive, Nonce: 1 << 63, CreatedNs: 2, Rights: MayPublish | MayBlock, Config: []byte("{}")},
		{Name: "b", State: TopicDamaged, Fault: "corrupt: ring: magic"},
	}},
	&AttachProducer{Topic: "x"},
	&AttachConsumer{Topic: "x", Slow: SlowDrop, Credit: 1 << 20, PatienceNs: 1e9, Group: "arb", Fanout: true},
	&AttachInspect{Topic: "x"},
	&Attached{Topic: "x", Role: RoleConsumer, Slot: 7, Nonce: 1, Slow: SlowBlock, Credit: 2, PatienceNs: 3, Config: []byte("{}")},
	&Detach{Topic: "x", Role: RoleProducer, Slot: 3},
	&ListClients{From: 9, Skip: 1},
	&Clients{More: true, Next: 4, NextSkip: 2, Clients: []Client{{Session: 4, Name: "n", Software: "v", PID: 1, UID: 2, GID: 3,
		SinceNs: 4, Slots: []Slot{{"x", RoleProducer, 0}, {"y", RoleConsumer, 1}}}}},
	&TopicDeleted{Topic: "x", Nonce: 5},
	&Detached{Topic: "x", Role: RoleConsumer, Slot: 2, Reason: "evicted"},
	&ShuttingDown{Reason: "terminated"},
	&Register{Topic: "x", Nonce: 6, Role: RoleProducer, Slot: 1, Generation: 2},
	&Evict{Session: 8, Topic: "x", Kill: true, Reason: "in the way"},
	&Reload{},
	&Reloaded{File: "/f", Changed: []string{"a", "b"}, Refused: []string{"c"}, Kept: []string{"d"}},
}

func TestEveryMessageComesBackAsItWas(t *testing.T) {
	seen := map[Type]bool{}
	for _, m := range samples {
		seen[m.Type()] = true
		b, err := Encode(77, m)
		if err != nil {
			t.Fatal(err)
		}
		id, got, err := Decode(b)
		if err != nil || id != 77 || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: id %d, %+v, %v, want %+v", m.Type(), id, got, err, m)
		}
		if again, err := Encode(id, got); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s does not encode back to its bytes: %v", m.Type(), err)
		}
	}
	for typ, create := range known {
		if !seen[typ] || typ.String() == Type(0).String() || create().Type() != typ || typ < 200 || typ > 254 {
			t.Errorf("type %d (%s): a sample, a name, a number from 200 to 254, and itself are wanted", typ, typ)
		}
	}
}

// TestOneByteChanged changes, cuts and lengthens every message: each result is refused or is another message that encodes
// back to it.
func TestOneByteChanged(t *testing.T) {
	for _, m := range samples {
		b, _ := Encode(77, m)
		for i := range b {
			if _, _, err := Decode(b[:i]); !errors.Is(err, ErrMessage) {
				t.Errorf("%s cut to %d bytes: %v, want %v", m.Type(), i, err, ErrMessage)
			}
			for _, v := range []byte{b[i] ^ 1, b[i] ^ 0x80, 0, 0xff} {
				changed := bytes.Clone(b)
				changed[i] = v
				checkRoundTrip(t, changed)
			}
		}
		if _, _, err := Decode(append(bytes.Clone(b), 0)); !errors.Is(err, ErrMessage) {
			t.Errorf("%s with a byte more: %v, want %v", m.Type(), err, ErrMessage)
		}
	}
}

func checkRoundTrip(t *testing.T, b []byte) {
	t.Helper()
	id, m, err := Decode(b)
	if err != nil {
		if !errors.Is(err, ErrMessage) || m != nil {
			t.Errorf("Decode(%x) = %v, %v, want nil and %v", b, m, err, ErrMessage)
		}
		return
	}
	if again, err := Encode(id, m); err != nil || !bytes.Equal(again, b) {
		t.Errorf("%x decodes to %+v, which encodes to %x (%v)", b, m, again, err)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	raw := func(h codec.Header, tlvs ...[]byte) []byte {
		var b codec.Builder
		buf := make([]byte, 1000)
		b.Reset(buf, h)
		for _, v := range tlvs {
			b.Append(codec.Type(v[0]), v[1:])
		}
		n, _ := b.FinishUnchecked()
		return buf[:n]
	}
	extended := func(t Type, value ...byte) []byte {
		var b codec.Builder
		buf := make([]byte, 1000)
		b.Reset(buf, header(1))
		b.AppendExtended(codec.Type(t), value)
		n, _ := b.FinishUnchecked()
		return buf[:n]
	}
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", nil, "message cut short"},
		{"no magic", make([]byte, 40), "magic"},
		{"too long", make([]byte, MaxMessage+1), "65537 bytes, at most 65536"},
		{"no TLV", raw(header(1)), "no TLV"},
		{"two TLVs", raw(header(1), []byte{203}, []byte{203}), "a second TLV, of type 203"},
		{"an unknown type", raw(header(1), []byte{240}), "unknown type 240"},
		{"market data's type", raw(header(1), []byte{1}), "unknown type 1"},
		{"another domain", raw(codec.Header{Version: 1, Sequence: 1}, []byte{203}), "header"},
		{"a timestamp", raw(codec.Header{Domain: codec.DomainSystem, TimestampNs: 5}, []byte{203}), "header"},
		{"the long form for a short value", extended(TypeOK), "extended form"},
		{"a field cut", raw(header(1), []byte{205, 5, 0, 'a'}), "DeleteTopic: not a control message: field topic: 1 bytes are left, want 5"},
		{"a field too long", raw(header(1), append([]byte{205, 65, 0}, make([]byte, 65)...)), "field topic: 65 bytes, at most 64"},
		{"bytes after the fields", raw(header(1), []byte{203, 0}), "1 bytes after the last field"},
		{"not UTF-8", raw(header(1), []byte{205, 1, 0, 0xff}), "field topic: not UTF-8"},
		{"a flag of 2", raw(header(1), []byte{207, 0, 0, 2}), "field more: 2 is not 0 or 1"},
		{"an enum beyond", raw(header(1), []byte{212, 1, 0, 'a', 3, 0, 0, 0, 0}), "field role: 3 is not between 1 and 2"},
		{"a list of nothing", raw(header(1), []byte{207, 0xff, 0xff}), "field name: 0 bytes are left, want 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, m, err := Decode(c.b)
			if m != nil || !errors.Is(err, ErrMessage) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Decode = %v, %v, want %v with %q", m, err, ErrMessage, c.want)
			}
		})
	}
}

func TestWhatDoesNotFitIsNotEncoded(t *testing.T) {
	for _, m := range []Message{
		&DeleteTopic{Topic: strings.Repeat("a", MaxName+1)},
		&DeleteTopic{Topic: "\xff"},
		&CreateTopic{Config: make([]byte, MaxConfig+1)},
		&CreateTopic{Config: make([]byte, 1<<16)},
		&Attached{Role: 0},
		&AttachConsumer{Slow: 5},
		&Topics{Topics: make([]Topic, 1<<16)},
		&Topics{Topics: []Topic{
			{State: 1, Config: make([]byte, MaxConfig)}, {State: 1, Config: make([]byte, MaxConfig)},
			{State: 1, Config: make([]byte, MaxConfig)}, {State: 1, Config: make([]byte, MaxConfig)},
		}},
	} {
		if b, err := Encode(1, m); !errors.Is(err, ErrMessage) {
			t.Errorf("Encode(%s) = %d bytes, %v, want %v", m.Type(), len(b), err, ErrMessage)
		}
	}
}

func TestErrorsAreCutToFit(t *testing.T) {
	long := Error{Code: CodeInternal, Text: "\xff" + strings.Repeat("ä", MaxText), Hint: "b"}
	cut := long.Cut()
	if _, err := Encode(1, cut); err != nil || len(cut.Text) < MaxText-1 {
		t.Errorf("cut to %d bytes: %v", len(cut.Text), err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples {
		b, err := Encode(3, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkRoundTrip(t, b) })
}

// FuzzFields puts arbitrary values behind a good header, where the fuzzer gets deeper.
func FuzzFields(f *testing.F) {
	for _, m := range samples {
		b, err := Encode(3, m)
		if err != nil {
			f.Fatal(err)
		}
		view, _ := codec.Parse(b)
		c := view.Cursor()
		c.Next()
		f.Add(byte(m.Type()), c.Value)
	}
	f.Fuzz(func(t *testing.T, typ byte, value []byte) {
		if len(value) > codec.MaxValue || codec.Size(len(value)) > MaxMessage {
			t.Skip()
		}
		buf := make([]byte, MaxMessage)
		var b codec.Builder
		b.Reset(buf, header(3))
		b.Append(codec.Type(typ), value)
		n, err := b.FinishUnchecked()
		if err != nil {
			t.Skip()
		}
		checkRoundTrip(t, buf[:n])
	})
}
