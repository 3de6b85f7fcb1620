package main

// Adopting: a member died with a range; who owns the orphan, while adopters and a repairer come and die?
//
// The code for groups comes with delivery. The orphan's slot has a state word (kind and generation) and a lock byte. An adopter tries the
// lock on its own description, looks at the state word, and CASes (ORPHAN, g) to (MEMBER, g+1); done, it stores FREE and unlocks. The
// repairer loads the word, probes the lock, and CASes a dead MEMBER to ORPHAN. Two adopters, who may be killed at any step; the
// kernel drops a killed one's lock. Nobody but one live process may work on the range, and it must not be out of reach for ever.
//
// The third variant has no lock of the orphan: the word names the adopter's own slot, whose lock is probed instead. Then that slot can be
// granted anew to a live tenant, who knows nothing of the orphan.

type slotWord struct{ kind, gen int8 }

const (
	adoptFree = -1 - iota // kinds; 0 and 1 are "adopted by that slot", in the third variant
	adoptOrphan
	adoptMember
	unlocked
)

type adoptState struct {
	word    slotWord
	lock    int8 // the adopter that holds the orphan's byte, or unlocked
	a       [2]adopter
	granted [2]bool // a killed adopter's own slot has a new tenant
	r       struct {
		pc   int8
		word slotWord
	}
}

type adopter struct {
	pc   int8
	word slotWord
	dead bool
}

// The variants: a list of the adopter's steps each.
var (
	lockFirst = []string{"lock", "look", "CAS", "work", "unlock"}
	casFirst  = []string{"look", "CAS", "lock", "work", "unlock"}
	noLock    = []string{"look", "CAS", "work"}
)

func adoptSystem(steps []string) system[adoptState] {
	names := steps[0] == noLock[0] && len(steps) == len(noLock)
	adopt := func(i int8) func(s *adoptState) string {
		return func(s *adoptState) string {
			a := &s.a[i]
			if a.dead || int(a.pc) == len(steps) {
				return ""
			}
			giveUp := func(what string) string {
				if s.lock == i {
					s.lock = unlocked
				}
				*a = adopter{}
				return what
			}
			step := steps[a.pc]
			a.pc++
			switch step {
			case "lock":
				if s.lock != unlocked {
					a.pc--
					return ""
				}
				s.lock = i
			case "look":
				if s.word.kind != adoptOrphan {
					if s.lock == i {
						return giveUp("finds no orphan")
					}
					a.pc--
					return ""
				}
				a.word = s.word
			case "CAS":
				was := a.word
				if a.word = (slotWord{}); s.word != was {
					return giveUp("loses the CAS of the state word")
				}
				s.word = slotWord{adoptMember, was.gen + 1}
				if names {
					s.word.kind = i
				}
			case "work":
				s.word.kind = adoptFree
			case "unlock":
				s.lock = unlocked
			}
			return "does: " + step
		}
	}
	killed := func(i int8) func(s *adoptState) string {
		return func(s *adoptState) string {
			if s.a[i].dead {
				return ""
			}
			if s.lock == i {
				s.lock = unlocked
			}
			s.a[i] = adopter{dead: true}
			return "is killed"
		}
	}
	grant := func(s *adoptState) string {
		for i := range s.a {
			if s.a[i].dead && !s.granted[i] {
				s.granted[i] = true
				return "frees a dead adopter's own slot and grants it anew"
			}
		}
		return ""
	}
	repairer := func(s *adoptState) string {
		r := &s.r
		switch r.pc {
		case 0:
			r.word, r.pc = s.word, 1
			return "loads the state word"
		case 1:
			dead := r.word.kind == adoptMember && s.lock == unlocked
			if k := r.word.kind; names && k >= 0 {
				dead = s.a[k].dead && !s.granted[k]
			}
			if r.pc = 2; !dead {
				s.r = adoptState{}.r
			}
			return "probes the lock"
		}
		if s.word == r.word {
			s.word.kind = adoptOrphan
		}
		s.r = adoptState{}.r
		return "makes it an orphan, if the word is as it was"
	}
	working := func(a adopter) bool { // between its CAS and the end of its work
		return !a.dead && int(a.pc) < len(steps) && (steps[a.pc] == "work" || steps[a.pc] == "lock" && a.pc > 0)
	}
	return system[adoptState]{
		start: []adoptState{{word: slotWord{adoptOrphan, 1}, lock: unlocked}},
		procs: []process[adoptState]{
			{"adopter 0", adopt(0)}, {"adopter 1", adopt(1)}, {"adopter 0", killed(0)}, {"adopter 1", killed(1)},
			{"repairer", repairer}, {"broker", grant},
		},
		fault: func(s *adoptState) string {
			if working(s.a[0]) && working(s.a[1]) {
				return "two live processes work on the range"
			}
			if k := s.word.kind; k >= 0 && s.a[k].dead && s.granted[k] {
				return "the range belongs to a slot whose tenant knows nothing of it"
			}
			return ""
		},
	}
}

var adopt = model{
	name:     "adopt",
	question: "who owns a dead member's range?",
	variants: []variant{
		{name: "lock, look, CAS", run: func(bounds) result { return explore(adoptSystem(lockFirst)) }},
		{name: "look, CAS, lock", wrong: true, run: func(bounds) result { return explore(adoptSystem(casFirst)) }},
		{name: "no lock: the word names the adopter's slot", wrong: true, run: func(bounds) result { return explore(adoptSystem(noLock)) }},
	},
}
