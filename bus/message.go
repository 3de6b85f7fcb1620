package bus

import (
	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Message is one message of a topic, as it is handed to the callback of [Subscription.Poll] or the body of a loop over
// [Subscription.Messages]. It is a small value, four words, so that it travels in registers; its bytes are lent.
type Message struct {
	frame shmring.Frame // of a group's message the position bears the deliveries before this one in its low bits
}

// Bytes returns the message's bytes. They are lent until the callback returns, or until the loop's next iteration; who
// keeps them copies them. In a subscription with policy block and in a group they lie in the ring itself and cannot be written to: a
// store faults.
func (m Message) Bytes() []byte { return m.frame.Payload }

// Position returns where in the ring the message begins. Positions grow along the topic, in bytes, with gaps of the
// message's size; one names the message for [Position] as long as it is in the ring.
func (m Message) Position() uint64 { return m.frame.Position &^ earlier }

// Delivery returns how often the message was delivered to its group, this time included: 1 for the first time, and at most 16, which
// stands for more, too. Without a group it is 1.
func (m Message) Delivery() int { return int(m.frame.Position&earlier) + 1 }

// Redelivered reports whether the message was delivered to its group before: a callback returned an error for it or panicked, or a member
// died with it in its hands or gave it back. What that one did with it is not known. Without a group it is false.
func (m Message) Redelivered() bool { return m.frame.Position&earlier != 0 }

// earlier is where a message's position, a multiple of 16, has room for how often it was delivered before.
const earlier = 15

// TLV views the message by package codec, in place: what it returns lives as long as Bytes does. It does not allocate
// unless it fails, with the errors of [codec.Parse].
func (m Message) TLV() (codec.Message, error) { return codec.Parse(m.frame.Payload) }
