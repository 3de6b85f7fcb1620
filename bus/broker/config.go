package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Config is what a broker is told: the table [broker] of the file, and its [[topic]] tables. [Defaults] and [Parse] make one.
type Config struct {
	// Socket is the path of the socket that clients connect to; its directory must exist. Required.
	Socket string `toml:"socket"`
	// Dir is the bus directory, made with mode 0700 if it is missing. Default: [DefaultDir].
	Dir string `toml:"dir"`
	// Metrics is the address at which metrics are served in Prometheus text, at /metrics; "" for none. Without a host (":9464") it is the
	// loopback's.
	Metrics string `toml:"metrics"`
	// Log is the least level that is logged: debug, info, warn or error. Default info.
	Log string `toml:"log"`

	MaxClients      int        `toml:"max_clients"`        // connections at once; default 1,000
	MaxSlotsPerUser int        `toml:"max_slots_per_user"` // producer and consumer slots at once, by user id; default 256
	MaxTopics       int        `toml:"max_topics"`         // default 256
	MaxMemory       topic.Size `toml:"max_memory"`         // bytes of all topics' files; default 4 GiB

	// Group may use the socket, by name or number; "" leaves the socket to the broker's user, its group and root.
	Group string `toml:"group"`

	Topics []topic.Config `toml:"-"`

	// Reload reads the configuration again, as it was read to make this one; nil where there is nothing to read again. File is where it was
	// read from, for people; LogLevel is set to the level of a configuration that was reloaded, if it is not nil.
	Reload   func() (Config, error) `toml:"-"`
	File     string                 `toml:"-"`
	LogLevel *slog.LevelVar         `toml:"-"`

	// Logger receives the log; nil means slog.Default(). Software is told to clients, for people.
	Logger   *slog.Logger `toml:"-"`
	Software string       `toml:"-"`
}

// Defaults returns the configuration of a broker without a file, with the topics of [topic.Builtin]. Socket is empty.
func Defaults() Config {
	c := withoutTopics()
	c.Topics = topic.Builtin()
	return c
}

func withoutTopics() Config {
	return Config{Dir: DefaultDir(), Log: "info", MaxClients: 1000, MaxSlotsPerUser: 256, MaxTopics: 256, MaxMemory: 4 * topic.GiB}
}

// DefaultDir returns /dev/shm/myc for root and /dev/shm/myc-UID for others.
func DefaultDir() string {
	if uid := os.Geteuid(); uid != 0 {
		return "/dev/shm/myc-" + strconv.Itoa(uid)
	}
	return "/dev/shm/myc"
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// Level returns the log level; info for an unknown word.
func (c Config) Level() slog.Level { return levels[c.Log] }

// Validate returns every fault at once: nil, or an error that joins a [*Fault] each.
func (c Config) Validate() error { return joinFaults(c.faults()) }

func joinFaults(faults []*Fault) error {
	var errs []error
	for _, f := range faults {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// A Fault is one thing that is wrong with a configuration.
type Fault struct {
	File string // "" where there is none
	Line int    // 0 where there is none
	Key  string // "broker.log", "topic.credit", or the name of a variable of the environment
	Text string // what is wrong, and what to write instead

	path string // of the key among the file's: "topic.0.credit"
}

// Error names file, line, key and what is wrong, in one line.
func (f *Fault) Error() string {
	at := ""
	switch {
	case f.File != "" && f.Line > 0:
		at = fmt.Sprintf("%s:%d: ", f.File, f.Line)
	case f.File != "":
		at = f.File + ": "
	}
	if f.Key == "" {
		return at + f.Text
	}
	return at + f.Key + ": " + f.Text
}

// faults checks the values of a configuration; their path says which of several topics is meant.
func (c Config) faults() []*Fault {
	var all []*Fault
	fault := func(key, format string, args ...any) {
		all = append(all, &Fault{Key: "broker." + key, path: "broker." + key, Text: fmt.Sprintf(format, args...)})
	}
	if !filepath.IsAbs(c.Dir) {
		fault("dir", "%q is not an absolute path", c.Dir)
	}
	if c.Metrics != "" {
		_, port, err := net.SplitHostPort(c.Metrics)
		if err == nil {
			_, err = net.LookupPort("tcp", port) // of numbers and of services that the host knows
		}
		if err != nil {
			fault("metrics", `%q is not an address; write one like "127.0.0.1:9464", or "" for none`, c.Metrics)
		}
	}
	if _, ok := levels[c.Log]; !ok {
		fault("log", "%q is not one of debug, info, warn, error", c.Log)
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"max_clients", c.MaxClients}, {"max_slots_per_user", c.MaxSlotsPerUser}, {"max_topics", c.MaxTopics}} {
		if n.value < 1 {
			fault(n.key, "%d is not at least 1", n.value)
		}
	}
	if c.MaxMemory < topic.MinSize {
		fault("max_memory", "%s holds no topic; the smallest one has %s", c.MaxMemory, topic.MinSize)
	}
	return append(all, topicFaults(c.Topics)...)
}

func topicFaults(topics []topic.Config) []*Fault {
	var all []*Fault
	first := map[string]bool{}
	for i, t := range topics {
		path := "topic." + strconv.Itoa(i) + "."
		for _, f := range topic.Faults(t.Validate()) {
			all = append(all, &Fault{Key: "topic." + f.Key, path: path + f.Key, Text: topicFaultText(f)})
		}
		if first[t.Name] && t.Name != "" {
			all = append(all, &Fault{Key: "topic.name", path: path + "name", Text: fmt.Sprintf("another topic is named %q", t.Name)})
		}
		first[t.Name] = true
	}
	return all
}

// topicFaultText is the fault without its key, which stands in front of it already.
func topicFaultText(f *topic.Fault) string {
	text := f.Value + ": " + f.Problem
	if f.Advice != "" {
		text += "; " + f.Advice
	}
	if f.Topic != "" {
		text += fmt.Sprintf(" (topic %q)", f.Topic)
	}
	return text
}
