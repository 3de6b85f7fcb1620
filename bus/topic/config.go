package topic

import "slices"

// Defaults and limits of a [Config].
const (
	DefaultSize      = 16 * MiB
	MinSize          = 64 * KiB
	MaxSize          = 32 * GiB // the length in a frame's header has 32 bits, and padding may fill a segment
	DefaultMaxFrame  = 64 * KiB
	DefaultPatience  = Duration(1e9)
	MaxPatience      = Duration(24 * 3600e9)
	DefaultProducers = 64
	MaxProducers     = 1024
	DefaultConsumers = 1000
	MaxConsumers     = 1023 // consumer number 1,023 means nobody
	DefaultGroups    = 32
	MaxGroups        = 256
	DefaultDeliver   = 5
	MaxDeliver       = 1000 // deliveries are counted in 10 bits

	// DefaultGroup is the group that a subscriber of a queue topic joins when it names none.
	DefaultGroup = "default"
)

// Config is everything that can be said about a topic: one [[topic]] table of the configuration. A zero field means its
// default. Only Name has none. Fields marked fixed belong to the topic's files and never change while it lives.
type Config struct {
	Name string `toml:"name" json:"name"` // see CheckName

	Kind    Kind    `toml:"kind" json:"kind"`       // fixed; default mpmc
	Routing Routing `toml:"routing" json:"routing"` // fixed; default fanout

	Size     Size `toml:"size" json:"size"`           // fixed; bytes of frames, a power of two, 64KiB to 32GiB; default 16MiB
	MaxFrame Size `toml:"max_frame" json:"max_frame"` // fixed; bytes of a message, 1 to size/32 - 16; default that, at most 64KiB
	// MaxClaim is the most bytes of one frame or batch, headers included; fixed; from the largest frame with its header
	// to size/16, rounded up to 16; default size/32.
	MaxClaim Size `toml:"max_claim" json:"max_claim"`

	Types    TypeSet  `toml:"tlv_types" json:"tlv_types"` // what may be published; default anything
	Checksum Checksum `toml:"checksum" json:"checksum"`   // default present

	// Credit is the most bytes that a reliable subscriber may lag behind before it holds producers up: from 2 max_claim
	// to size, rounded up to 16; default size/2.
	Credit   Size     `toml:"credit" json:"credit"`
	Slow     Slow     `toml:"slow" json:"slow"`         // what happens to who holds producers up; default block
	Patience Duration `toml:"patience" json:"patience"` // how long it may, until drop or evict; 1ns to 24h; default 1s

	Sleep Sleep `toml:"sleep" json:"sleep"` // fixed; default auto

	// Who may publish, subscribe, and subscribe with block: entries as in ParsePrincipal. Empty is the broker's user.
	Publish   []string `toml:"publish" json:"publish"`
	Subscribe []string `toml:"subscribe" json:"subscribe"`
	Blockers  []string `toml:"blockers" json:"blockers"`

	// Slots, fixed: how many may be attached at once. Producers 1 to 1,024, default 64, in the single-producer kinds 1.
	// Consumers 1 to 1,023, default 1,000; 1,024 is taken as 1,023, since number 1,023 means nobody. Groups 1 to 256,
	// default 32.
	Producers int `toml:"producers" json:"producers"`
	Consumers int `toml:"consumers" json:"consumers"`
	Groups    int `toml:"groups" json:"groups"`

	// Group lists the groups that exist without a member. A queue topic always has one named "default".
	Group []Group `toml:"group" json:"group"`
}

// Group is one [[topic.group]] table: a group that shares a topic's messages among its members.
type Group struct {
	Name string `toml:"name" json:"name"` // see CheckGroupName

	// Durable says whether the group stays when its last member has gone, and keeps what came meanwhile. nil means true.
	Durable *bool `toml:"durable" json:"durable"`

	// Keep is the most bytes that producers hold for a durable group without members; what falls out beyond it is
	// recorded as lost. From 2 max_claim to size, rounded up to 16; default the topic's credit.
	Keep Size `toml:"keep" json:"keep"`

	// MaxDeliver is how often a message is delivered before it is parked: 1 to 1,000; default 5.
	MaxDeliver int `toml:"max_deliver" json:"max_deliver"`

	// DeadLetter is the topic to which parked messages are published; "" means none.
	DeadLetter string `toml:"dead_letter" json:"dead_letter"`
}

// Builtin returns the topics of a broker without a configuration.
func Builtin() []Config {
	return []Config{
		{Name: "market_data", Size: DefaultSize, Routing: Fanout, Slow: Drop, Patience: DefaultPatience},
		{Name: "signals", Size: DefaultSize, Routing: Fanout, Slow: Block},
		{Name: "execution", Size: DefaultSize, Routing: Queue, Slow: Block},
	}
}

// WithDefaults returns the configuration with every default filled in and every rounding done. It shares no memory with
// c, changes nothing when it is applied again, and passes what is wrong on to [Config.Validate].
func (c Config) WithDefaults() Config {
	setDefault(&c.Kind, MPMC)
	setDefault(&c.Size, DefaultSize)
	setDefault(&c.MaxFrame, min(DefaultMaxFrame, c.Size/32-frameHeader))
	setDefault(&c.MaxClaim, max(c.segment()/4, c.frame()))
	c.MaxClaim = rounded(c.MaxClaim)
	setDefault(&c.Credit, c.Size/2)
	c.Credit = rounded(c.Credit)
	setDefault(&c.Patience, DefaultPatience)
	if c.Kind.SingleProducer() {
		setDefault(&c.Producers, 1)
	}
	setDefault(&c.Producers, DefaultProducers)
	setDefault(&c.Consumers, DefaultConsumers)
	if c.Consumers == MaxConsumers+1 {
		c.Consumers = MaxConsumers
	}
	setDefault(&c.Groups, DefaultGroups)

	c.Publish, c.Subscribe, c.Blockers = slices.Clone(c.Publish), slices.Clone(c.Subscribe), slices.Clone(c.Blockers)
	c.Group = slices.Clone(c.Group)
	if c.Routing == Queue && !slices.ContainsFunc(c.Group, func(g Group) bool { return g.Name == DefaultGroup }) {
		c.Group = append(c.Group, Group{Name: DefaultGroup})
	}
	for i := range c.Group {
		c.Group[i] = c.Group[i].withDefaults(c.Credit)
	}
	return c
}

// GroupOf returns the group of a name, with its defaults: as it is configured or, where it is not, one that lives as long as it has
// members. c has its defaults.
func (c Config) GroupOf(name string) Group {
	for _, g := range c.Group {
		if g.Name == name {
			return g
		}
	}
	return Group{Name: name, Durable: new(false)}.withDefaults(c.Credit)
}

func (g Group) withDefaults(credit Size) Group {
	g.Durable = new(g.Durable == nil || *g.Durable)
	setDefault(&g.Keep, credit)
	g.Keep = rounded(g.Keep)
	setDefault(&g.MaxDeliver, DefaultDeliver)
	return g
}

// frameHeader is the size of a frame's header, frameAlign what frames are aligned to, in bytes; part of the format.
const frameHeader, frameAlign = 16, 16

func (c Config) segment() Size { return c.Size / 8 }

// frame is the size of the largest frame with its header.
func (c Config) frame() Size { return align16(frameHeader + c.MaxFrame) }

func align16(n Size) Size { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// rounded leaves what no rounding makes valid as it is, so that a fault shows it and it does not turn into a default.
func rounded(n Size) Size {
	if n < 0 || n > MaxSize {
		return n
	}
	return align16(n)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
