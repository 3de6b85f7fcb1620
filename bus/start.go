package bus

import (
	"encoding/binary"
	"time"

	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Start is where in the ring a subscription begins. It is an option by itself, and stands in [From] as well. The zero value is [Newest].
type Start struct{ from shmring.From }

func (s Start) apply(o *subscribeOptions) { o.start, o.started = s, true }

var (
	// Newest begins with the next message to be published. It is the default.
	Newest = Start{shmring.Newest()}
	// Oldest begins with the oldest message that is still safe from being overwritten: about three quarters of the ring lie
	// before the newest. What was overwritten before is not told about.
	Oldest = Start{shmring.Oldest()}
)

// Position begins with the message at position p, as [Message.Position] told it; Subscribe returns [ErrPosition] if there is
// none any more, or never was.
func Position(p uint64) Start { return Start{shmring.At(p)} }

// At begins with the first message, in the topic's order, whose header says that it was built at t or later (package codec,
// Header.TimestampNs). The messages that follow come as they are: where publishers' clocks differ, or a message was built earlier than it
// was published, some of them bear an earlier time. Messages without the codec's header have no time and are not begun with.
//
// It is found by a scan from [Oldest] on, some 50 ns a message: a t that is older than what the ring holds begins at the first message
// that has a time. Where no message is as young as t the subscription begins with the next one, whatever its time. The scan ends
// at the first message that is still being written: where its publisher is stopped in it, what others have published behind it follows,
// older than t or not. Publishers go on while a subscription scans that they have to wait for: it takes up to a second where a ring of
// 64 MiB is full of small messages, and where they come round to it in that time they wait for it as for one that reads. Members that join a
// group while its first one scans may get [ErrInUse].
func At(t time.Time) Start {
	ns := uint64(0)
	if t.After(time.Unix(0, 0)) {
		ns = uint64(t.UnixNano())
	}
	return Start{shmring.First(codec.HeaderSize, func(head []byte) bool {
		if len(head) < codec.HeaderSize || binary.LittleEndian.Uint32(head) != codec.Magic {
			return false
		}
		h, err := codec.ParseHeader(head)
		return err == nil && h.TimestampNs >= ns
	})}
}

// From says where the subscription begins: [Newest], [Oldest], [At] a time, or a [Position].
func From(start Start) SubscribeOption { return start }
