package topic

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
)

// Validate checks the configuration with its defaults filled in and returns every fault at once: nil, or an error that
// joins a [*Fault] each, which [Faults] takes apart.
func (c Config) Validate() error {
	given := c
	c = c.WithDefaults()
	v := checker{topic: c.Name}
	v.name("name", c.Name)
	v.words(c)
	v.sizes(c, given)
	v.slots(c)
	v.rights("publish", c.Publish)
	v.rights("subscribe", c.Subscribe)
	v.rights("blockers", c.Blockers)
	v.groups(c)
	return errors.Join(v.faults...)
}

// ValidateAll checks topics that are to live beside each other: each of them, and that their names differ.
func ValidateAll(topics []Config) error {
	var errs []error
	seen := map[string]bool{}
	for _, c := range topics {
		errs = append(errs, c.Validate())
		if seen[c.Name] && c.Name != "" {
			errs = append(errs, &Fault{c.Name, "name", quote(c.Name), "another topic has this name", "give each its own"})
		}
		seen[c.Name] = true
	}
	return errors.Join(errs...)
}

// CheckReload returns every difference between two valid configurations of a topic that cannot come into force while the
// topic lives.
func CheckReload(old, new Config) error {
	old, new = old.WithDefaults(), new.WithDefaults()
	v := checker{topic: old.Name}
	fixed := func(key string, was, is fmt.Stringer) {
		if was != is {
			v.fault(key, quote(is.String()), "it cannot change while the topic lives",
				"keep "+quote(was.String())+", or delete the topic and create it again")
		}
	}
	fixed("kind", old.Kind, new.Kind)
	fixed("routing", old.Routing, new.Routing)
	fixed("size", old.Size, new.Size)
	fixed("max_frame", old.MaxFrame, new.MaxFrame)
	fixed("max_claim", old.MaxClaim, new.MaxClaim)
	fixed("sleep", old.Sleep, new.Sleep)
	fixed("producers", number(old.Producers), number(new.Producers))
	fixed("consumers", number(old.Consumers), number(new.Consumers))
	fixed("groups", number(old.Groups), number(new.Groups))
	return errors.Join(v.faults...)
}

type number int

func (n number) String() string { return strconv.Itoa(int(n)) }

// checker collects faults.
type checker struct {
	topic  string
	faults []error
}

func (v *checker) fault(key, value, problem, advice string) {
	v.faults = append(v.faults, &Fault{v.topic, key, value, problem, advice})
}

func (v *checker) name(key, s string) {
	if problem := nameProblem(s); problem != "" {
		v.fault(key, quote(s), problem, nameAdvice)
	}
}

// words checks what a program may have set to a number without a name; a file cannot.
func (v *checker) words(c Config) {
	known := func(key string, value, names int, list []string) {
		if value >= names {
			v.fault(key, strconv.Itoa(value), "there is no such value", "it is one of "+listed(list))
		}
	}
	known("kind", int(c.Kind), len(kindNames), kindNames)
	known("routing", int(c.Routing), len(routingNames), routingNames)
	known("checksum", int(c.Checksum), len(checksumNames), checksumNames)
	known("slow", int(c.Slow), len(slowNames), slowNames)
	known("sleep", int(c.Sleep), len(sleepNames), sleepNames)
	if c.Patience < 0 || c.Patience > MaxPatience {
		v.fault("patience", quote(c.Patience.String()), "it is not between 0s and 24h", "1s is the default")
	}
}

// sizes checks the ring's sizes from the outside in; what depends on a faulty one is left alone, because it would only
// be told the wrong bounds.
func (v *checker) sizes(c, given Config) {
	if !v.capacity(c.Size) {
		return
	}
	s := c.segment()
	if most := s/4 - frameHeader; c.MaxFrame < 1 || c.MaxFrame > most {
		v.fault("max_frame", quote(c.MaxFrame.String()), fmt.Sprintf("it is not between 1 and %d, which is size/32 - 16", most),
			"lower it, or take a size of at least "+sizeFor(c.MaxFrame))
		return
	}
	if f := c.frame(); !within(c.MaxClaim, f, s/2) {
		v.fault("max_claim", quote(given.MaxClaim.String()),
			fmt.Sprintf("it is not between %d, the largest frame with its header, and %d, which is size/16", f, s/2),
			"leave it out for size/32")
		return
	}
	if least := 2 * c.MaxClaim; !within(c.Credit, least, c.Size) {
		v.fault("credit", quote(given.Credit.String()),
			fmt.Sprintf("it is not between %s, twice max_claim, and the size, %s", least, c.Size), "leave it out for half the size")
	}
	for i, g := range c.Group {
		if least := 2 * c.MaxClaim; !within(g.Keep, least, c.Size) && i < len(given.Group) && given.Group[i].Keep != 0 {
			v.fault("group.keep", quote(given.Group[i].Keep.String()),
				fmt.Sprintf("it is not between %s, twice max_claim, and the size, %s (group %q)", least, c.Size, g.Name),
				"leave it out for the topic's credit")
		}
	}
}

func (v *checker) capacity(size Size) bool {
	switch {
	case size < MinSize:
		v.fault("size", quote(size.String()), "it is too small", "take at least "+MinSize.String())
	case size > MaxSize:
		v.fault("size", quote(size.String()), "it is too large", "take at most "+MaxSize.String())
	case bits.OnesCount64(uint64(size)) != 1:
		above := Size(1) << bits.Len64(uint64(size))
		v.fault("size", quote(size.String()), "it is not a power of two", "take "+(above/2).String()+" or "+above.String())
	default:
		return true
	}
	return false
}

// sizeFor is the smallest size whose frames hold n bytes, as text.
func sizeFor(n Size) string {
	if n < 1 || n > MaxSize/32-frameHeader {
		return MinSize.String()
	}
	least := align16(frameHeader+n) * 32
	return max(MinSize, Size(1)<<bits.Len64(uint64(least-1))).String()
}

func within(n, least, most Size) bool { return least <= n && n <= most }

func (v *checker) slots(c Config) {
	slots := func(key string, n, most int, why string) {
		if n < 1 || n > most {
			v.fault(key, strconv.Itoa(n), fmt.Sprintf("it is not between 1 and %d%s", most, why), "leave it out for the default")
		}
	}
	if c.Kind.SingleProducer() {
		slots("producers", c.Producers, 1, ": kind "+c.Kind.String()+" has one producer")
	} else {
		slots("producers", c.Producers, MaxProducers, "")
	}
	slots("consumers", c.Consumers, MaxConsumers, ": number 1023 means nobody")
	slots("groups", c.Groups, MaxGroups, "")
}

func (v *checker) rights(key string, list []string) {
	for _, s := range list {
		if _, err := ParsePrincipal(s); err != nil {
			v.fault(key, quote(s), "it names nobody", `write "*", "user:NAME" or "group:NAME"`)
		}
	}
}

func (v *checker) groups(c Config) {
	for i, g := range c.Group {
		if problem := groupNameProblem(g.Name); problem != "" {
			v.fault("group.name", quote(g.Name), problem, groupNameAdvice)
		}
		if slices.ContainsFunc(c.Group[:i], func(h Group) bool { return h.Name == g.Name }) {
			v.fault("group.name", quote(g.Name), "another group of the topic has this name", "give each its own")
		}
		if g.MaxDeliver < 1 || g.MaxDeliver > MaxDeliver {
			v.fault("group.max_deliver", strconv.Itoa(g.MaxDeliver),
				fmt.Sprintf("it is not between 1 and %d (group %q)", MaxDeliver, g.Name), "leave it out for 5")
		}
		if g.DeadLetter == "" {
			continue
		}
		v.name("group.dead_letter", g.DeadLetter)
		if g.DeadLetter == c.Name {
			v.fault("group.dead_letter", quote(g.DeadLetter), "a parked message would come back to the same topic", "name another topic")
		}
	}
	if n := len(c.Group); n > c.Groups && c.Groups > 0 {
		v.fault("groups", strconv.Itoa(c.Groups), fmt.Sprintf("the topic configures %d groups", n), "raise it, or drop some")
	}
	if n := len(c.Group); n > 1 && c.Kind.SingleGate() {
		v.fault("kind", quote(c.Kind.String()), fmt.Sprintf("it admits one group, and %d are configured", n), "take spmc or mpmc")
	}
}

func quote(s string) string { return strconv.Quote(s) }
