package lint

import (
	"slices"
	"strconv"
	"strings"
)

// anything stands for every folder of the module.
const anything = "*"

// mayImport says which of the module's folders a folder may import. A name that ends in "/..." holds for all folders
// below it that are not named themselves. A folder that is not in the table is a finding: a new folder gets its line,
// and ARCHITECTURE.md its place in the picture.
var mayImport = map[string][]string{
	"shmring/internal/shm": {},
	"shmring":              {"shmring/internal/shm"},
	"codec":                {},
	"uds":                  {},
	"bus/topic":            {},
	"bus/internal/control": {"codec", "uds", "bus/topic"},
	"bus/internal/groups":  {"shmring", "bus/topic"},
	"bus":                  {"shmring", "codec", "uds", "bus/topic", "bus/internal/control", "bus/internal/groups"},
	"bus/broker":           {"shmring", "codec", "uds", "bus/topic", "bus/internal/control", "bus/internal/groups"}, // never bus: it serves without being a client
	"bus/bustest":          {"bus", "bus/broker", "bus/topic"},
	"tools":                {"shmring", "codec", "bus"},
	"perf":                 {"bus", "bus/topic", "shmring", "codec", "uds"},
	"cmd/...":              {anything},
	"internal/demo":        {anything},
	"internal/storm":       {"bus", "bus/broker", "bus/topic", "shmring"},
	"internal/...":         {"internal/golden", "internal/leak"},
}

// Every file may import these, and test files those too.
var (
	all   = []string{"internal/invariant"}
	tests = []string{"internal/golden", "internal/leak", "internal/script", "bus/bustest", "bus/broker", "bus/topic"}
)

// outside lists the packages from elsewhere, each with what it is here for. A path stands for the packages below it too.
var outside = []struct {
	path      string
	testsOnly bool // also the helpers for tests in internal
	reason    string
}{
	{"github.com/BurntSushi/toml", false, "the config: names the line of a fault and the keys that nobody read"},
	{"github.com/HdrHistogram/hdrhistogram-go", false, "latencies: percentiles without loss over nine decades"},
	{"github.com/coreos/go-systemd/v22/daemon", false, "sd_notify: READY and WATCHDOG"},
	{"github.com/holiman/uint256", false, "256-bit amounts, exactly, without allocating"},
	{"github.com/prometheus/client_golang/prometheus", false, "metrics: the text format, and the checks of what is exposed"},
	{"github.com/prometheus/common", true, "what is exposed, parsed again"},
	{"github.com/rogpeppe/go-internal/diff", true, "what differs from a golden file"},
	{"github.com/rogpeppe/go-internal/testscript", true, "the programs' transcripts"},
	{"github.com/rogpeppe/go-internal/txtar", true, "several small files in one, for tests"},
	{"github.com/spf13/cobra", false, "commands, help and completion of the programs"},
	{"github.com/spf13/pflag", false, "cobra's flags"},
	{"go.uber.org/goleak", true, "goroutines that tests leave behind"},
	{"golang.org/x/sys", false, "system calls that the standard library lacks: futex, membarrier, memfd, OFD locks"},
	{"pgregory.net/rapid", true, "random operations against a model, shrunk when they fail"},
}

// Imports holds the tables above.
func Imports(t *Tree) []Finding {
	var found []Finding
	for _, f := range t.goFiles() {
		allowed, known := allowedFor(f.Dir())
		if !known {
			found = append(found, t.at(f, f.AST.Package, "folder %s is not in the import table of internal/lint", f.Dir()))
			continue
		}
		for _, spec := range f.AST.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the parser has refused it
			}
			if why := t.refuseImport(f, name, allowed); why != "" {
				found = append(found, t.at(f, spec.Pos(), "%s", why))
			}
		}
	}
	return found
}

// refuseImport says why a file may not import a package, or "".
func (t *Tree) refuseImport(f *File, name string, allowed []string) string {
	own, isOwn := strings.CutPrefix(name, t.Module+"/")
	switch {
	case isOwn:
		if own == f.Dir() || slices.Contains(all, own) || f.IsTest() && slices.Contains(tests, own) ||
			slices.Contains(allowed, own) || slices.Contains(allowed, anything) {
			return ""
		}
		return f.Dir() + " may not import " + own
	case name == "C":
		return "cgo is not used here"
	case !strings.Contains(strings.SplitN(name, "/", 2)[0], "."):
		return "" // the standard library: its paths begin without a domain
	}
	for _, o := range outside {
		if name == o.path || strings.HasPrefix(name, o.path+"/") {
			if o.testsOnly && !f.IsTest() && !strings.HasPrefix(f.Path, "internal/") {
				return name + " is for tests"
			}
			return ""
		}
	}
	return name + " is not in the list of outside packages of internal/lint"
}

// allowedFor returns what a folder may import: its own line of the table, else the nearest "/..." above it.
func allowedFor(dir string) (allowed []string, known bool) {
	if allowed, known = mayImport[dir]; known {
		return allowed, true
	}
	for above := dir; above != "."; {
		if allowed, known = mayImport[above+"/..."]; known {
			return allowed, true
		}
		i := strings.LastIndexByte(above, '/')
		if i < 0 {
			break
		}
		above = above[:i]
	}
	return nil, false
}
