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
	lossy
	brokerRole
	repairer
	roles
)

func (r role) String() string {
	return [...]string{"producer", "reader", "copying reader", "lossy reader", "broker", "repairer"}[r]
}

func (r role) reads() bool    { return r == reader || r == copier || r == lossy }
func (r role) reliable() bool { return r == reader || r == copier }

// place is what one process after another takes: when one is killed its successor does the same.
type place struct {
	name  string
	role  role
	topic string // "" for who serves all
	// A witness is stopped, but never killed. It joins before the first message is sent and reads to the last one.
	witness bool
	weight  int // how often the conductor comes here, beside the others
}

const (
	many   = "many"   // mpmc: several producers at once, several gates
	single = "single" // spsc: one producer and its successors, one gate
	fan    = "fan"    // spmc
	funnel = "funnel" // mpsc
)

// topics are small, so that producers come round often and wait for readers often.
func topics() []topic.Config {
	list := []topic.Config{
		{Name: many, Kind: topic.MPMC, Size: 256 * topic.KiB, Producers: 8},
		{Name: single, Kind: topic.SPSC, Size: 64 * topic.KiB},
		{Name: fan, Kind: topic.SPMC, Size: 64 * topic.KiB},
		{Name: funnel, Kind: topic.MPSC, Size: 64 * topic.KiB, Producers: 8},
	}
	all := []string{"*"}
	for i := range list {
		list[i].Consumers, list[i].Groups = 16, 1
		list[i].Publish, list[i].Subscribe, list[i].Blockers = all, all, all
	}
	return list
}

// cast lists the places. A witness that is stopped holds everybody up, and so does a producer that is stopped in a claim;
// the weights leave most of the time to the load.
func cast() []place {
	return []place{
		{"witness", reader, many, true, 2},
		{"copying-witness", copier, many, true, 1},
		{"single-witness", reader, single, true, 2},
		{"fan-witness", reader, fan, true, 2},
		{"funnel-witness", reader, funnel, true, 2},
		{"broker", brokerRole, "", false, 5},
		{"repairer-a", repairer, "", false, 3},
		{"repairer-b", repairer, "", false, 3},
		{"reader", reader, many, false, 6},
		{"copier", copier, many, false, 4},
		{"lossy", lossy, many, false, 4},
		{"single-lossy", lossy, single, false, 4},
		{"fan-reader", reader, fan, false, 6},
		{"fan-copier", copier, fan, false, 4},
		{"funnel-lossy", lossy, funnel, false, 4},
		{"producer-a", producer, many, false, 6},
		{"producer-b", producer, many, false, 6},
		{"producer-c", producer, many, false, 6},
		{"single-producer", producer, single, false, 8},
		{"fan-producer", producer, fan, false, 8},
		{"funnel-producer-a", producer, funnel, false, 6},
		{"funnel-producer-b", producer, funnel, false, 6},
	}
}

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
func (p paths) end() string                { return filepath.Join(p.Evidence, "end") }
func (p paths) log(name string) string     { return filepath.Join(p.Evidence, name+".log") }
