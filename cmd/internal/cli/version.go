package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// release is the version that a build was given, by -ldflags '-X github.com/mycelium-bus/mycelium/cmd/internal/cli.release=v1.2.3', where
// the module's own does not tell it; "" for none.
var release string

// Version describes the running program: the module's version, the git revision it was built from where the build
// stamped one ("+dirty" if files had changed), and the Go version and platform. The facts come from the binary itself
// (runtime/debug.ReadBuildInfo).
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Sprintf("unknown (%s %s/%s)", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	}
	return describe(info)
}

// Software names a program and its version for lists that people read, in the 64 bytes that the broker's protocol has for it.
func Software(program string) string {
	version, _, _ := strings.Cut(Version(), " (")
	return program + " " + version
}

func describe(info *debug.BuildInfo) string {
	version := cmp.Or(release, info.Main.Version, "(devel)")
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := ""
	if r := settings["vcs.revision"]; r != "" {
		revision = "revision " + r[:min(len(r), 12)]
		if settings["vcs.modified"] == "true" {
			revision += "+dirty"
		}
		revision += ", "
	}
	return fmt.Sprintf("%s (%s%s %s/%s)", version, revision, info.GoVersion, runtime.GOOS, runtime.GOARCH)
}
