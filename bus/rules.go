package bus

import (
	"fmt"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
)

// rules are what a topic takes, kept by the publishing library: the broker never sees a message. Topics that take anything
// have none, and their publishers spend nothing on it.
type rules struct {
	topic    string
	types    topic.TypeSet
	checksum bool // it must be there and be right
}

// check says what of the message the topic does not take. It does not allocate unless it fails.
func (r *rules) check(message []byte) error {
	m, err := codec.Parse(message)
	if err != nil {
		return fmt.Errorf("%w: topic %q takes TLV messages: %w", ErrRefused, r.topic, err)
	}
	if !r.types.All() {
		for c := m.Cursor(); c.Next(); {
			if !r.types.Contains(uint8(c.Type)) {
				return fmt.Errorf("%w: topic %q does not take TLV type %d (%s)", ErrRefused, r.topic, uint8(c.Type), c.Type)
			}
		}
	}
	if !r.checksum {
		return nil
	}
	if !m.HasChecksum() {
		return fmt.Errorf("%w: topic %q requires a checksum, the message has none", ErrRefused, r.topic)
	}
	if err := m.VerifyChecksum(); err != nil {
		return fmt.Errorf("%w: topic %q: %w", ErrRefused, r.topic, err)
	}
	return nil
}
