package bus

import (
	"testing"

	"github.com/mycelium-bus/mycelium/shmring"
)

// A mapping's end rings the alarms of the calls that sleep on it, and a stir has all of a connection's look again.
func TestAlarms(t *testing.T) {
	var asleep, awake, elsewhere shmring.Alarm
	m, other := &mapping{}, &mapping{}
	m.alert(&asleep)
	m.alert(&awake)
	other.alert(&elsewhere)
	m.calm(&awake)
	m.finish(&ending{err: ErrClosed})
	m.finish(&ending{err: ErrEvicted})
	if !asleep.Rung() || awake.Rung() || elsewhere.Rung() || m.ended().err != ErrClosed || other.ended() != nil {
		t.Errorf("rung: %v, %v, %v; ended by %v", asleep.Rung(), awake.Rung(), elsewhere.Rung(), m.ended().err)
	}
	r := rings{open: map[ringKey]*mapping{{topic: "a"}: m, {topic: "b"}: other}}
	if r.stir(); !elsewhere.Rung() || other.ended() != nil {
		t.Error("a call that sleeps elsewhere does not look again")
	}
}
