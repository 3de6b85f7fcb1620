package bus

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/codec"
)

// Condition is what a [Filter] asks of a message: [Types], [Sources], [Instruments] or [Pools].
type Condition struct{ set func(*filter) }

// Filter has the subscription pass over the messages that do not meet all of the conditions; of several conditions of one kind each
// widens what is wanted. What is asked of TLVs one and the same TLV must meet: Types(codec.TypeTrade) with Instruments(btc) is a trade of
// that instrument. Messages that are none of package codec's are passed over.
//
// A message that is passed over is acknowledged, held up by nobody, and counted ([SubscriptionStats]). The look at it costs about as much
// as a walk over its TLVs, and does not allocate. Poll passes over some thousands of messages at most before it returns, and may
// then return 0 although more are there; Wait and Messages go on.
//
// A group's messages are shared, so what one member passed over no other would get: members have no filter, Subscribe returns
// [ErrInvalid].
func Filter(conditions ...Condition) SubscribeOption {
	return option(func(o *subscribeOptions) {
		f := new(filter)
		for _, c := range conditions {
			if c.set != nil {
				c.set(f)
			}
		}
		if !f.bySource && !f.byTLV() {
			o.fault = errors.Join(o.fault, fmt.Errorf("%w: a filter without a condition", ErrInvalid))
		}
		o.filter = f
	})
}

// Types wants messages with a TLV of one of these types.
func Types(types ...codec.Type) Condition {
	return Condition{func(f *filter) {
		for _, t := range types {
			f.types[t/64] |= 1 << (t % 64)
		}
	}}
}

// Sources wants messages whose header names one of these senders.
func Sources(sources ...codec.Source) Condition {
	return Condition{func(f *filter) {
		f.bySource = f.bySource || len(sources) != 0
		for _, s := range sources {
			f.sources[s/64] |= 1 << (s % 64)
		}
	}}
}

// Instruments wants messages with a TLV about one of these instruments, as [codec.InstrumentAt] finds them. Together with [Pools] it is
// one of these or one of those.
func Instruments(instruments ...codec.Instrument) Condition {
	return Condition{func(f *filter) {
		if f.instruments == nil {
			f.instruments = map[codec.Instrument]struct{}{}
		}
		for _, i := range instruments {
			f.instruments[i] = struct{}{}
		}
	}}
}

// Pools wants messages with a TLV about one of these pools, as [codec.PoolAt] finds them. Together with [Instruments] it is one of these
// or one of those.
func Pools(pools ...codec.Address) Condition {
	return Condition{func(f *filter) {
		if f.pools == nil {
			f.pools = map[codec.Address]struct{}{}
		}
		for _, p := range pools {
			f.pools[p] = struct{}{}
		}
	}}
}

// filter is what a subscription wants. It does not change once it is in use.
type filter struct {
	types       topic.TypeSet // all where none is named
	sources     [4]uint64     // a bit each
	bySource    bool
	instruments map[codec.Instrument]struct{}
	pools       map[codec.Address]struct{}
}

func (f *filter) byTLV() bool { return !f.types.All() || f.bySubject() }

func (f *filter) bySubject() bool { return len(f.instruments) != 0 || len(f.pools) != 0 }

// wants looks at a message's header, and at its TLVs as far as it has to. The bytes may be anything.
func (f *filter) wants(message []byte) bool {
	if len(message) < codec.HeaderSize || binary.LittleEndian.Uint32(message) != codec.Magic {
		return false
	}
	if f.bySource {
		m := message[sourceAt]
		if f.sources[m/64]>>(m%64)&1 == 0 {
			return false
		}
	}
	if !f.byTLV() {
		return true
	}
	all, bySubject := f.types.All(), f.bySubject()
	for c := codec.Walk(message[codec.HeaderSize:]); c.Next(); {
		if t := c.Type; (all || f.types[t/64]>>(t%64)&1 != 0) && (!bySubject || f.about(t, c.Value)) {
			return true
		}
	}
	return false
}

// sourceAt is where the header has its source byte.
const sourceAt = 6

// about tells whether a TLV is about one of the subjects that are wanted.
func (f *filter) about(t codec.Type, value []byte) bool {
	if len(f.instruments) != 0 {
		for i := 0; ; i++ {
			in, ok := codec.InstrumentAt(t, value, i)
			if !ok {
				break
			}
			if _, wanted := f.instruments[in]; wanted {
				return true
			}
		}
	}
	if len(f.pools) != 0 {
		for i := 0; ; i++ {
			pool, ok := codec.PoolAt(t, value, i)
			if !ok {
				break
			}
			if _, wanted := f.pools[pool]; wanted {
				return true
			}
		}
	}
	return false
}
