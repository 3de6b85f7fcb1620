package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

func main() {
	only := flag.String("run", ".", "the models whose name matches this regular expression")
	isDeep := flag.Bool("deep", false, "larger instances where there are any")
	isQuick := flag.Bool("quick", false, "the small instances of go test")
	traces := flag.Bool("trace", false, "print the counterexamples of wrong variants too")
	flag.Parse()
	re, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintf(os.Stderr, "model: error: %v\n", err)
		os.Exit(2)
	}
	b := full
	switch {
	case *isQuick:
		b = quick
	case *isDeep:
		b = deep
	}
	if !table(os.Stdout, re, b, *traces) {
		os.Exit(1)
	}
}

// table runs models and prints a line for each variant. It returns false if any is not as it has to be.
func table(w io.Writer, only *regexp.Regexp, b bounds, traces bool) bool {
	began := time.Now()
	good, states := true, uint64(0)
	for _, m := range models {
		if !only.MatchString(m.name) {
			continue
		}
		fmt.Fprintf(w, "%s: %s\n", m.name, m.question)
		for _, v := range m.variants {
			if b < v.least {
				continue
			}
			r := v.run(b)
			states += r.states
			said, ok := verdict(v, r)
			good = good && ok
			fmt.Fprintf(w, "  %-58s %-18s %12d states %7.1f s\n", v.name, said, r.states, r.seconds)
			if !ok || traces && r.fault != "" {
				fmt.Fprintf(w, "    %s\n    %s\n", r.fault, strings.Join(r.trace, "\n    "))
			}
		}
	}
	fmt.Fprintf(w, "%d states in %.0f s\n", states, time.Since(began).Seconds())
	return good
}

// verdict says what a result means for a variant, and whether it is as it has to be.
func verdict(v variant, r result) (said string, ok bool) {
	switch failed := r.fault != ""; {
	case failed && v.wrong:
		return "fails as it must", true
	case failed:
		return "FAILS", false
	case v.wrong:
		return "NOT FOUND", false
	}
	return "holds", true
}
