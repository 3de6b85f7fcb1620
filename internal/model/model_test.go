package main

import (
	"regexp"
	"strings"
	"testing"
)

// try runs a model's variants within the small bounds.
func try(t *testing.T, m model) {
	for _, v := range m.variants {
		if v.least > quick {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			r := v.run(quick)
			if said, ok := verdict(v, r); !ok {
				t.Fatalf("%s: %s\n%s", said, r.fault, strings.Join(r.trace, "\n"))
			}
			t.Logf("%d states, %.1f s", r.states, r.seconds)
		})
	}
}

func TestOpenClaims(t *testing.T)   { try(t, openClaims) }
func TestGates(t *testing.T)        { try(t, gates) }
func TestJoin(t *testing.T)         { try(t, join) }
func TestJoinTSO(t *testing.T)      { try(t, joinTSO) }
func TestPadFirst(t *testing.T)     { try(t, padFirst) }
func TestDrop(t *testing.T)         { try(t, drop) }
func TestRejoin(t *testing.T)       { try(t, rejoin) }
func TestGroup(t *testing.T)        { try(t, group) }
func TestGroupTenants(t *testing.T) { try(t, groupTenants) }
func TestGroupLost(t *testing.T)    { try(t, groupLost) }
func TestGroupKeep(t *testing.T)    { try(t, groupKeep) }
func TestAdopt(t *testing.T)        { try(t, adopt) }
func TestSleep(t *testing.T)        { try(t, sleep) }
func TestRepair(t *testing.T)       { try(t, repair) }
func TestRing(t *testing.T)         { try(t, ring) }

// TestTable prints what make model prints.
func TestTable(t *testing.T) {
	var out strings.Builder
	if !table(&out, regexp.MustCompile("^padfirst$"), quick, true) {
		t.Error("padfirst is not as it has to be")
	}
	for _, want := range []string{"padfirst: in which order", "holds", "fails as it must", "  2. producer is killed  [dead false→true]"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}
