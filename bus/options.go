package bus

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Options are a connection's. The zero value is good.
type Options struct {
	// Name is what people read where clients and handles are listed; 32 bytes of it are kept. Default: the program's name.
	Name string

	// Socket is the path of the broker's socket, for [Dial]. Default: $MYC_SOCKET, else /run/myc/broker.sock if it is there or
	// the process is root's, else myc/broker.sock in $XDG_RUNTIME_DIR (/run/user/UID where that is not set).
	Socket string
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = filepath.Base(os.Args[0])
	}
	if o.Socket == "" {
		o.Socket = defaultSocket()
	}
	return o
}

func defaultSocket() string {
	const system = "/run/myc/broker.sock"
	if path := os.Getenv("MYC_SOCKET"); path != "" {
		return path
	}
	if _, err := os.Stat(system); err == nil || os.Getuid() == 0 {
		return system
	}
	run := os.Getenv("XDG_RUNTIME_DIR")
	if run == "" {
		run = filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(run, "myc", "broker.sock")
}

// SubscribeOption is one choice of a subscription: [From], [Group], [Fanout], [Slow], [Lossy], [Credit], [Patience],
// [Filter], [Latest], [InPlace], [Idle]. Where two say something about the same, the later one counts.
type SubscribeOption interface{ apply(*subscribeOptions) }

// option is a SubscribeOption that is nothing else.
type option func(*subscribeOptions)

func (f option) apply(o *subscribeOptions) { f(o) }

type subscribeOptions struct {
	attachOptions

	start    Start
	started  bool         // it was said
	slow     shmring.Slow // 0: the topic's
	credit   uint64       // 0: the topic's
	patience time.Duration
	group    string // "": the default one of a queue topic
	fanout   bool
	filter   *filter // nil: all messages
	latest   bool
	inPlace  bool
	retrier  bool // takes nothing
	idle     IdleStrategy
	fault    error // of an option; told by Subscribe
}

// What happens to a subscription that holds publishers up, for [Slow].
const (
	// Block lets publishers wait for the subscription as long as its process lives. Its messages are lent in the ring itself.
	Block = topic.Block
	// Drop lets the subscription go on without holding them up after its patience; what it misses it is told ([LappedError]).
	Drop = topic.Drop
	// Evict ends the subscription after its patience ([ErrEvicted]).
	Evict = topic.Evict
)

// Slow says what happens if the subscription holds publishers up; the default is the topic's. Block needs the right to,
// which the topic's blockers have. Drop and Evict subscriptions read copies, since publishers may come round under them; which
// publisher finds that the patience is over decides, with or without a broker.
func Slow(policy topic.Slow) SubscribeOption {
	return option(func(o *subscribeOptions) {
		switch policy {
		case Block, Drop, Evict:
			o.slow = ringSlow(policy)
		default:
			o.fault = fmt.Errorf("%w: slow policy %d is not one of block, drop, evict", ErrInvalid, policy)
		}
	})
}

// Lossy makes a subscription that holds nobody up: publishers overwrite what it has not read, and it is told how many bytes
// it missed ([LappedError]). It reads copies, or with [InPlace] the ring itself.
func Lossy() SubscribeOption { return option(func(o *subscribeOptions) { o.slow = shmring.Lossy }) }

// Credit is the most bytes that the subscription may lag before publishers wait for it: from two of the topic's largest claims
// to the topic's credit, rounded up to 16; 0 is the topic's. Subscribe refuses others.
func Credit(bytes int) SubscribeOption {
	return option(func(o *subscribeOptions) {
		if bytes < 0 {
			o.fault = fmt.Errorf("%w: credit %d is negative", ErrInvalid, bytes)
		}
		o.credit = (uint64(bytes) + 15) &^ 15
	})
}

// Patience is how long a subscription with policy Drop or Evict may hold publishers up; 0 is the topic's.
func Patience(d time.Duration) SubscribeOption {
	return option(func(o *subscribeOptions) {
		if d < 0 {
			o.fault = fmt.Errorf("%w: patience %v is negative", ErrInvalid, d)
		}
		o.patience = d
	})
}

// Idle says what Wait and Messages do while there is no message; the default is a [Backoff] of its own.
func Idle(strategy IdleStrategy) SubscribeOption {
	return option(func(o *subscribeOptions) { o.idle = strategy })
}

// Fanout observes a topic whose routing is queue: the subscription sees every message, and takes none from the queue's
// members. On other topics it changes nothing.
func Fanout() SubscribeOption { return option(func(o *subscribeOptions) { o.fanout = true }) }

// Group makes the subscription a member of a queue group: each message of the topic goes to one of the group's members, whatever
// subscribers and groups there are beside it. On a topic with routing queue a subscription without Group, Fanout and Lossy is a member of
// the group "default".
//
// A group that the topic's configuration does not list begins with its first member, where [From] says, and lives as long as it has
// members, or messages that one left behind. A durable one is there from the topic's creation and keeps what comes while it has no
// member, up to its keep.
//
// A message is handled once as long as members live, and at least once when they die, return an error or panic: then it comes again,
// with [Message.Redelivered], to this member or, when this one is closed or dead, to another. After max_deliver deliveries (5 unless
// configured) it is parked: listed, published to the group's dead-letter topic if it has one, and passed over. The member that parks
// publishes it, in Poll, so its user needs the right to; an error of that keeps the message, and Poll returns it.
//
// A group always blocks, within the topic's credit; members read in place. [Slow] with another policy than Block, [Lossy], [Credit],
// [Patience], [Filter] and [Latest] do not go with it: Subscribe returns [ErrInvalid]. A name has 1 to 32 of the characters a-z, 0-9, _, - and ., and does
// not begin with a dot.
func Group(name string) SubscribeOption {
	return option(func(o *subscribeOptions) {
		if err := topic.CheckGroupName(name); err != nil {
			o.fault = fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		o.group = name
	})
}

// groupOf returns the group that the subscription is a member of, or "".
func (o subscribeOptions) groupOf(routing topic.Routing) string {
	switch {
	case o.group != "":
		return o.group
	case routing == topic.Queue && !o.fanout && o.slow != shmring.Lossy:
		return topic.DefaultGroup
	}
	return ""
}

// checkGroup refuses what does not go with a group.
func (o subscribeOptions) checkGroup(name string) error {
	problem := ""
	switch {
	case o.filter != nil:
		problem = "what a member's filter passed over no other member would get"
	case o.latest:
		problem = "what bus.Latest() passed over no other member would get"
	case o.fanout:
		problem = "bus.Fanout() is for who is in none"
	case o.slow != 0 && o.slow != shmring.Block:
		problem = fmt.Sprintf("a group blocks, it cannot have policy %s", o.slow)
	case o.credit != 0:
		problem = "its credit is the topic's"
	case o.patience != 0:
		problem = "a group blocks without end, it has no patience"
	default:
		return nil
	}
	return fmt.Errorf("%w: group %q: %s; bus.Fanout() without a group observes a queue", ErrInvalid, name, problem)
}

func ringSlow(s topic.Slow) shmring.Slow {
	switch s {
	case topic.Drop:
		return shmring.Drop
	case topic.Evict:
		return shmring.Evict
	}
	return shmring.Block
}

// check refuses options that do not go together, whatever the topic.
func (o subscribeOptions) check() error {
	if o.fault != nil {
		return o.fault
	}
	if o.group != "" {
		return o.checkGroup(o.group)
	}
	if o.latest && (o.slow != shmring.Lossy || o.credit != 0 || o.patience != 0) {
		return fmt.Errorf("%w: bus.Latest() holds nobody up, it has no other slow policy, no credit and no patience", ErrInvalid)
	}
	return nil
}

// policy fills in what the subscription left to the topic.
func (o subscribeOptions) policy(c topic.Config) (shmring.Policy, error) {
	p := shmring.Policy{Slow: o.slow, Credit: o.credit, Patience: o.patience, UID: uint32(os.Geteuid())}
	if p.Slow == 0 {
		p.Slow = ringSlow(c.Slow)
	}
	if p.Credit == 0 {
		p.Credit = uint64(c.Credit)
	} else if least := 2 * c.MaxClaim; p.Credit < uint64(least) || p.Credit > uint64(c.Credit) {
		return p, fmt.Errorf("%w: credit %d is not between %d, twice max_claim, and the topic's, %d", ErrInvalid, p.Credit, least, c.Credit)
	}
	if p.Patience == 0 {
		p.Patience = time.Duration(c.Patience)
	}
	return p, nil
}
