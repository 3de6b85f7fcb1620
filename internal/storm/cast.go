package storm

import (
	"path/filepath"
	"time"

	"github.com/mycelium-bus/mycelium/bus/topic"
)

// role is what a process does.
type role uint8

const (
	producer role = iota
	reader        // reliable, policy block: lent frames in place
	copier        // reliable, policy drop with endless patience: gates, and reads copies
	sleeper       // reliable, policy block: sleeps in the kernel, for ever if nobody wakes it
	dropper       // policy drop with little patience: slow now and then, so that producers drop it
	evictee       // policy evict, likewise: it joins again
	lossy
	member // of a group
	brokerRole
	repairer
	roles
)

func (r role) String() string {
	return [...]string{"producer", "reader", "copying reader", "sleeping reader", "dropped reader", "evicted reader", "lossy reader", "member",
		"broker", "repairer"}[r]
}

func (r role) reads() bool    { return r >= reader && r <= lossy }
func (r role) consumes() bool { return r.reads() || r == member }
func (r role) reliable() bool { return r >= reader && r <= sleeper }
func (r role) misses() bool   { return r.reads() && !r.reliable() }

// place is what one process after another takes: when one is killed its successor does the same.
type place struct {
	name  string
	role  role
	topic string // "" for who serves all
	group string // of a member
	// A witness is stopped, but never killed. It joins before the first message is sent and reads to the last one.
	witness bool
	weight  int // how often the conductor comes here, beside the others
}

const (
	many   = "many"   // mpmc: several producers at once, several gates
	single = "single" // spsc: one producer and its successors, one gate
	fan    = "fan"    // spmc
	funnel = "funnel" // mpsc
	work   = "work"   // mpmc, with two groups
)

// The groups of [work].
const (
	pool   = "pool"   // ephemeral: one of its members is a witness
	steady = "steady" // durable: now and then it has no member
)

// topics are small, so that producers come round often and wait for readers often.
func topics() []topic.Config {
	list := []topic.Config{
		{Name: many, Kind: topic.MPMC, Size: 256 * topic.KiB, Producers: 8},
		{Name: single, Kind: topic.SPSC, Size: 64 * topic.KiB},
		{Name: fan, Kind: topic.SPMC, Size: 64 * topic.KiB},
		{Name: funnel, Kind: topic.MPSC, Size: 64 * topic.KiB, Producers: 8},
		{Name: work, Kind: topic.MPMC, Size: 64 * topic.KiB, Producers: 8, Group: []topic.Group{
			{Name: pool, Durable: new(false), MaxDeliver: 1000}, {Name: steady, MaxDeliver: 1000}}},
	}
	all := []string{"*"}
	for i := range list {
		list[i].Consumers, list[i].Groups = 32, 4
		list[i].Publish, list[i].Subscribe, list[i].Blockers = all, all, all
	}
	return list
}

// cast lists the places. A witness that is stopped holds everybody up, and so does a producer that is stopped in a claim;
// the weights leave most of the time to the load.
func cast() []place {
	return []place{
		{"witness", reader, many, "", true, 2},
		{"copying-witness", copier, many, "", true, 1},
		{"single-witness", reader, single, "", true, 2},
		{"fan-witness", reader, fan, "", true, 2},
		{"funnel-witness", reader, funnel, "", true, 2},
		{"work-witness", reader, work, "", true, 2},
		{"pool-witness", member, work, pool, true, 2},
		{"broker", brokerRole, "", "", false, 5},
		{"repairer-a", repairer, "", "", false, 3},
		{"repairer-b", repairer, "", "", false, 3},
		{"reader", reader, many, "", false, 6},
		{"copier", copier, many, "", false, 4},
		{"lossy", lossy, many, "", false, 4},
		{"single-lossy", lossy, single, "", false, 4},
		{"fan-reader", reader, fan, "", false, 6},
		{"fan-copier", copier, fan, "", false, 4},
		{"funnel-lossy", lossy, funnel, "", false, 4},
		{"dropper", dropper, many, "", false, 4},
		{"evictee", evictee, many, "", false, 4},
		{"fan-sleeper", sleeper, fan, "", false, 4},
		{"work-sleeper", sleeper, work, "", false, 4},
		{"pool-a", member, work, pool, false, 6},
		{"pool-b", member, work, pool, false, 6},
		{"steady-a", member, work, steady, false, 6},
		{"steady-b", member, work, steady, false, 6},
		{"producer-a", producer, many, "", false, 6},
		{"producer-b", producer, many, "", false, 6},
		{"producer-c", producer, many, "", false, 6},
		{"single-producer", producer, single, "", false, 8},
		{"fan-producer", producer, fan, "", false, 8},
		{"funnel-producer-a", producer, funnel, "", false, 6},
		{"funnel-producer-b", producer, funnel, "", false, 6},
		{"work-producer-a", producer, work, "", false, 6},
		{"work-producer-b", producer, work, "", false, 6},
	}
}

// little is the patience of readers that are to be dropped.
const little = 5 * time.Millisecond

// endless is a patience that does not end within a storm.
const endless = 24 * time.Hour

// paths are the folders of a storm.
type paths struct {
	Bus      string // the bus directory
	Socket   string // the broker's
	Evidence string // ledgers, cells, summaries
}

func (p paths) ledger(name string) string  { return filepath.Join(p.Evidence, name+".ledger") }
func (p paths) cells(name string) string   { return filepath.Join(p.Evidence, name+".cells") }
func (p paths) summary(name string) string { return filepath.Join(p.Evidence, name+".summary") }
func (p paths) handled(name string) string { return filepath.Join(p.Evidence, name+".handled") }
func (p paths) end() string                { return filepath.Join(p.Evidence, "end") }
func (p paths) log(name string) string     { return filepath.Join(p.Evidence, name+".log") }
