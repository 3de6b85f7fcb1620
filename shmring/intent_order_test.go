package shmring

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// intentsStayWhole looks at what the compiler made of an intent's three stores: NONE, size, place. The first and the last go to the same
// word and are ordinary stores, of which a compiler that sees no load in between may leave out the first; then who reads position, size,
// position could pair an old place with a new size.
func intentsStayWhole(t *testing.T, exe string) {
	// file:line address bytes INSTRUCTION operands
	line := regexp.MustCompile(`^\s*(\S+):\d+\s+0x[0-9a-f]+\s+[0-9a-f]+\s+(.*?)\s*$`)
	for _, function := range []string{`Producer\)\.reserveShared`, `Member\)\.take`} {
		out, err := exec.Command("go", "tool", "objdump", "-s", `shmring\.\(\*`+function+`$`, exe).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var stores []string // of words, up to the swap
		swapped := false
		for l := range strings.Lines(string(out)) {
			m := line.FindStringSubmatch(strings.TrimRight(l, "\n"))
			if m == nil {
				continue
			}
			if strings.Contains(m[2], "CMPXCHGQ") {
				swapped = true
				break
			}
			if strings.HasSuffix(m[1], "order_amd64.go") && strings.HasPrefix(m[2], "MOVQ ") && strings.HasSuffix(m[2], ")") {
				stores = append(stores, m[2])
			}
		}
		if n := len(stores); !swapped || n < 3 || !strings.HasPrefix(stores[n-3], "MOVQ $0x0, ") ||
			strings.HasPrefix(stores[n-2], "MOVQ $") || strings.HasPrefix(stores[n-1], "MOVQ $") {
			t.Errorf("%s: before the swap (%v) the intent is not stored as NONE, size, place:\n%s", function, swapped, strings.Join(stores, "\n"))
		}
	}
}
