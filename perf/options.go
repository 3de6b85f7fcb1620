package perf

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mycelium-bus/mycelium/shmring"
)

// Options say what is measured. The zero value measures one run with the defaults that each field names.
type Options struct {
	Layer string `json:"layer"` // "bus", what users call (the default), or "shmring", the ring below it
	Kind  string `json:"kind"`  // spsc (default), spmc, mpsc, mpmc
	Size  int    `json:"size"`  // payload bytes, a multiple of 8; default 64; from 24 one way, else from 8
	Send  string `json:"send"`  // "publish" (copy, the default), "claim" or "write" (in place)
	Batch int    `json:"batch"` // messages committed together, for Throughput; default 1; 2 and more are written in place
	Ring  int64  `json:"ring"`  // bytes of a ring, a power of two; default 4 MiB
	Idle  Idle   `json:"idle"`  // what a reader does when nothing is there; default spin/128

	// Count is how many messages (round trips, for a latency) a run has, warm-up included. Default: what takes
	// half a second or so.
	Count int `json:"count"`
	// Duration replaces Count by what a short run beforehand says fits into it.
	Duration time.Duration `json:"-"`

	OneWay bool    `json:"one_way"` // Latency: from the intended time of sending to the arrival, sent at Rate
	Rate   float64 `json:"rate"`    // messages a second, one way; default 100,000; 1 to 10 million

	// Realtime runs the workers under SCHED_RR, for figures that a busy machine's other programs do not disturb. It takes both
	// CPUs away from them meanwhile; in runs of more than a second the kernel gives them 50 ms of each back (sched(7), real-time
	// throttling). It needs CAP_SYS_NICE, else the error is [ErrRealtime].
	Realtime bool `json:"realtime"`

	// Socket is that of a broker: the topics are then made by it, and the workers attach through it. Default: no broker, the bus
	// directory belongs to the run. For the layer bus. Frames go the same way in both.
	Socket string `json:"socket"`

	CPUs   []int     `json:"cpus"` // two CPUs; default the first two that this process may use; one named Unpinned: none
	Repeat int       `json:"-"`    // runs, each with new processes and files; default 1
	Worker []string  `json:"-"`    // the command that calls [Worker]; default this program with the argument "worker"
	Stderr io.Writer `json:"-"`    // where workers' complaints go; default nowhere
}

// Unpinned stands in CPUs alone and leaves the workers to the scheduler.
const Unpinned = -1

const (
	defaultSize = 64
	defaultRing = 4 << 20
	defaultRate = 100_000
	maxRate     = 10_000_000
	minTimed    = 24 // payload bytes: sequence, time, time again
	frameHeader = 16
)

// withDefaults returns the options with all defaults filled in, or every fault that they have.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Layer, "bus")
	setDefault(&o.Kind, "spsc")
	setDefault(&o.Size, defaultSize)
	setDefault(&o.Send, "publish")
	setDefault(&o.Batch, 1)
	setDefault(&o.Ring, defaultRing)
	setDefault(&o.Repeat, 1)
	if o.OneWay {
		setDefault(&o.Rate, defaultRate)
	}
	if o.Idle == (Idle{}) {
		o.Idle = Idle{Strategy: "spin", Pause: BusySpin, Burst: 128}
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if _, ok := layers[o.Layer]; !ok {
		fault("layer %q: want bus or shmring", o.Layer)
	}
	if o.Socket != "" && o.Layer != "bus" {
		fault("layer %q through a broker's socket: want bus", o.Layer)
	}
	if _, err := parseKind(o.Kind); err != nil {
		faults = append(faults, err)
	}
	if !slices.Contains([]string{"publish", "claim", "write"}, o.Send) {
		fault("send %q: want publish, claim or write", o.Send)
	}
	if o.Ring < 64<<10 || o.Ring > 32<<30 || o.Ring&(o.Ring-1) != 0 {
		fault("ring of %d bytes: want a power of two from 64 KiB to 32 GiB", o.Ring)
	}
	least := 8
	if o.OneWay {
		least = minTimed
	}
	if most := int(min(64<<10, o.Ring/32-frameHeader)); o.Size < least || o.Size > most || o.Size%8 != 0 {
		fault("size of %d bytes: want a multiple of 8 from %d to %d (this ring's max_frame)", o.Size, least, most&^7)
	}
	if o.Batch < 1 || int64(o.Batch)*int64(frameSize(o.Size)) > o.Ring/32 {
		fault("batch of %d: want 1 to %d messages of %d bytes (this ring's max_claim)", o.Batch, max(1, o.Ring/32/int64(frameSize(o.Size))), o.Size)
	}
	if o.Count < 0 || o.Count > 0 && o.Duration > 0 {
		fault("count %d and duration %v: want one of them", o.Count, o.Duration)
	}
	if o.OneWay && (o.Rate < 1 || o.Rate > maxRate) {
		fault("rate of %g a second: want 1 to %d", o.Rate, maxRate)
	}
	if o.Repeat < 1 {
		fault("repeat %d: want at least 1", o.Repeat)
	}
	if len(faults) > 0 {
		return o, fmt.Errorf("%w: %w", ErrOptions, errors.Join(faults...))
	}
	var err error
	o.CPUs, err = chooseCPUs(o.CPUs)
	return o, err
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func frameSize(payload int) int { return (frameHeader + payload + 15) &^ 15 }

// lines is how many cache lines a frame of this payload has at least.
func lines(payload int) int { return (frameHeader + payload + 63) / 64 }

func parseKind(s string) (shmring.Kind, error) {
	for _, k := range []shmring.Kind{shmring.SPSC, shmring.SPMC, shmring.MPSC, shmring.MPMC} {
		if k.String() == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("kind %q: want spsc, spmc, mpsc or mpmc", s)
}

// Idle says what a reader does between two looks that find nothing.
type Idle struct {
	Strategy string `json:"strategy"` // spin, yield, backoff
	Pause    int    `json:"pause"`    // spin: PAUSE instructions between looks; -1: as the library's BusySpin
	Burst    int    `json:"burst"`    // spin: that many instead, once, right after a burst of [BurstOf] messages or more; 0: as Pause
}

// BurstOf is how many messages in a row make a burst.
const BurstOf = 4

// BusySpin as an [Idle].Pause: 1 or 6 PAUSE between looks, as [shmring.Spin] has them.
const BusySpin = -1

// ParseIdle reads "spin", "spin/BURST", "spin:N", "spin:N/BURST", "yield" or "backoff".
func ParseIdle(s string) (Idle, error) {
	if s == "yield" || s == "backoff" {
		return Idle{Strategy: s}, nil
	}
	before, burst, hasBurst := strings.Cut(s, "/")
	name, pause, hasPause := strings.Cut(before, ":")
	i := Idle{Strategy: name, Pause: BusySpin}
	ok := name == "spin"
	number := func(s string, into *int) {
		n, err := strconv.Atoi(s)
		ok = ok && err == nil && n >= 0 && n <= 1000
		*into = n
	}
	if hasPause {
		number(pause, &i.Pause)
	}
	if hasBurst {
		number(burst, &i.Burst)
	}
	if !ok {
		return Idle{}, fmt.Errorf("%w: idle %q: want spin, spin:N, spin/BURST, spin:N/BURST (numbers of PAUSE, at most 1000), yield or backoff", ErrOptions, s)
	}
	return i, nil
}

// String is what ParseIdle reads.
func (i Idle) String() string {
	if i.Strategy != "spin" {
		return i.Strategy
	}
	s := "spin"
	if i.Pause != BusySpin {
		s += ":" + strconv.Itoa(i.Pause)
	}
	if i.Burst != 0 {
		s += "/" + strconv.Itoa(i.Burst)
	}
	return s
}

// MarshalText and UnmarshalText make it one word in JSON and flags.
func (i Idle) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText reads what [ParseIdle] reads.
func (i *Idle) UnmarshalText(text []byte) (err error) {
	*i, err = ParseIdle(string(text))
	return err
}
