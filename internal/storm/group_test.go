package storm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mycelium-bus/mycelium/shmring"
)

// TestTheAccountOfGroups shows every fault that the comparison of what members handled with what was sent finds. On paper: process 1
// sent 100 messages of 100 bytes; one member handled the even ones, another one, which was killed then, the odd ones up to 49, a third one
// the rest, and one that was in the second one's hands.
func TestTheAccountOfGroups(t *testing.T) {
	at := func(n int) uint64 { return uint64(first + 100*n) }
	type paper struct {
		members []*hand
		losses  []shmring.Loss
	}
	lost := func(group string, from, to int) shmring.Loss {
		return shmring.Loss{Name: group, From: at(from), To: at(to)}
	}
	without := func(h *hand, n int) {
		var left []delivery
		for _, d := range h.handled {
			if d.number != uint64(n) {
				left = append(left, d)
			}
		}
		h.handled = left
	}
	add := func(h *hand, n int, marked bool) {
		h.handled = append([]delivery{{1, uint64(n), at(n), marked}}, h.handled...)
	}
	for _, test := range []struct {
		name   string
		change func(p *paper)
		want   string
	}{
		{"all is in order", func(*paper) {}, ""},
		{"a message that nobody handled", func(p *paper) { without(p.members[0], 20) }, "message 20 of process 1 at 67536 was not handled: lost"},
		{"one that is recorded as lost", func(p *paper) {
			without(p.members[0], 20)
			p.losses = append(p.losses, lost(steady, 20, 21), lost(steady, 20, 21), lost(pool+"s", 0, 100))
		}, ""},
		{"one beside what is recorded as lost", func(p *paper) {
			without(p.members[0], 20)
			p.losses = append(p.losses, lost(steady, 10, 11), lost(steady, 21, 22))
			without(p.members[0], 10)
			without(p.members[1], 21)
		}, "message 20 of process 1"},
		{"one that was handled, and is recorded as lost", func(p *paper) {
			p.losses = append(p.losses, lost(steady, 20, 21))
		}, "was handled, and is recorded as lost"},
		{"one that two handled that live", func(p *paper) { add(p.members[2], 20, true) }, "was handled too often"},
		{"one that a killed member had acknowledged", func(p *paper) { add(p.members[2], 21, true) }, "was handled too often"},
		{"one that comes again unmarked", func(p *paper) {
			without(p.members[2], 49)
			add(p.members[2], 49, false)
		}, "came again unmarked"},
		{"one in the hands of a member that was not killed", func(p *paper) { p.members[1].killed = false }, "was handled too often"},
		{"one that was never sent", func(p *paper) {
			p.members[0].handled = append(p.members[0].handled, delivery{1, 100, at(100), false})
		}, "never sent"},
		{"one of nobody", func(p *paper) {
			p.members[0].handled = append(p.members[0].handled, delivery{7, 0, at(0), false})
		}, "never sent"},
		{"one from another place", func(p *paper) { p.members[0].handled[0].position += 16 }, "never sent"},
		{"a loss of a group that always had a member", func(p *paper) {
			for _, h := range p.members {
				h.group = pool
			}
			p.losses = append(p.losses, lost(pool, 0, 1))
		}, "it had a member all the time"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := &account{report: &TopicReport{}, seen: messages{1: nil}}
			p := &paper{members: []*hand{{name: "a", group: steady}, {name: "b", group: steady, killed: true}, {name: "c", group: steady}}}
			for n := range 100 {
				a.seen[1] = append(a.seen[1], at(n))
				by := 0
				if n%2 == 1 {
					by = 1 + n/50
				}
				p.members[by].handled = append(p.members[by].handled, delivery{1, uint64(n), at(n), false})
			}
			add(p.members[2], 49, true)
			test.change(p)
			a.members, a.losses = p.members, p.losses
			wantFault(t, a.groups(), test.want)
			if g := a.report.Groups; test.name == "all is in order" && (len(g) != 1 || g[0].Members != 3 || g[0].Handled != 100 || g[0].Again != 1) {
				t.Errorf("the account is %+v", g)
			}
		})
	}
}

// TestHandled writes and reads the file of a member and that of a witness.
func TestHandled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "handled")
	if all, err := readHandled(path); err != nil || all != nil {
		t.Errorf("no file: %v, %v", all, err)
	}
	h, done, err := createHandled(path, true)
	if err != nil {
		t.Fatal(err)
	}
	want := []delivery{{3, 0, 64, false}, {3, 1, 128, true}, {1<<23 - 1, 0, 1 << 60, false}, {3, 2, 192, true}}
	for _, d := range want {
		if err := h.add(message{sender: d.sender, number: d.number, position: d.position}, d.marked); err != nil {
			t.Fatal(err)
		}
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	all, err := readHandled(path)
	if err != nil || len(all) != len(want) {
		t.Fatalf("%v, %v", all, err)
	}
	for i, d := range all {
		if d != want[i] {
			t.Errorf("record %d is %+v, want %+v", i, d, want[i])
		}
	}
	var m messages
	if err := m.read(path); err != nil || len(m[3]) != 3 || m[3][2] != 192 {
		t.Errorf("%v, %v", m, err)
	}
	if err := os.Truncate(path, 40); err != nil {
		t.Fatal(err)
	}
	if err := m.read(path); err == nil {
		t.Error("a file that ends amid a record passes")
	}
}
