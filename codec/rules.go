package codec

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Rules say what a message must be like. The zero value is the lenient set: whatever any of the old programs sent
// passes,
// as far as its own struct can be read. Each field narrows that; where the old programs contradicted each other, the
// field's values are the contradicting rules. Rules that the old system had as one set are in [RulesFor].
type Rules struct {
	Domain     Domain        // whose rules these are; what DomainByte and Types compare with
	MaxSize    int           // longest message in bytes, its header included; 0: MaxMessage
	Byte       DomainByte    // how the header's domain byte is checked
	Numbering  Numbering     // in which numbering, where Byte is ByteMatch
	Checksum   ChecksumRule  // whether a message may be without, and whether it is verified
	Sizes      SizeRule      // what the lengths of values are compared with
	Types      bool          // whether each type must belong to the domain
	Domains    Domains       // to which domain 60-79 belong, where Types is true
	NoExtended bool          // whether extended TLVs are refused, as one old validator did
	Sources    bool          // whether the source byte must be 1 to 100
	Plausible  bool          // whether pool events must make sense: a pool, amounts, 30 decimals at most, ticks in range
	MaxAge     time.Duration // how old the header's timestamp may be; 0: any age. A Validator checks it
	MaxAhead   time.Duration // how far it may be in the future; 0: any. A Validator checks it
	MaxGap     uint64        // numbers a source may skip, and then none may come again; 0: sequences are only counted
}

// DomainByte is how the domain byte is checked.
type DomainByte uint8

const (
	// ByteKnown accepts what is a domain in either numbering: 0 to 4.
	ByteKnown DomainByte = iota
	// ByteMatch wants the rules' own domain, in the rules' numbering.
	ByteMatch
	// ByteSkip does not look at it.
	ByteSkip
)

// ChecksumRule is how the checksum is checked. A checksum of 0 is absent.
type ChecksumRule uint8

const (
	// ChecksumPresent verifies it where it is present.
	ChecksumPresent ChecksumRule = iota
	// ChecksumRequire verifies it, and refuses a message without. Nearly all that the old programs sent is without.
	ChecksumRequire
	// ChecksumSkip does not look at it.
	ChecksumSkip
)

var checksumRuleNames = [...]string{"present", "require", "skip"}

// String returns the rule's name in the configuration: "present", "require" or "skip".
func (c ChecksumRule) String() string {
	if int(c) < len(checksumRuleNames) {
		return checksumRuleNames[c]
	}
	return strconv.Itoa(int(c))
}

// UnmarshalText reads the rule's name; "" is "present".
func (c *ChecksumRule) UnmarshalText(text []byte) error {
	i := slices.Index(checksumRuleNames[:], string(text))
	if len(text) == 0 {
		i = 0
	}
	if i < 0 {
		return fmt.Errorf("checksum %q: want present, require or skip", text)
	}
	*c = ChecksumRule(i)
	return nil
}

// SizeRule is what the lengths of values are compared with. Types without a name are of any length.
type SizeRule uint8

const (
	// SizeStructs wants what Decode accepts, of the types that have a struct.
	SizeStructs SizeRule = iota
	// SizeFixed wants the registry's length for fixed types in the standard form: the rule of the old strict parser,
	// which refused the quotes that the old programs sent.
	SizeFixed
	// SizeRegistry wants the registry's lengths for every type that has a name: the rule that was declared but never
	// applied, and which refuses the pool events that the old programs sent.
	SizeRegistry
	// SizeSkip does not look at them.
	SizeSkip
)

// Profile names a set of rules that the old system had.
type Profile uint8

const (
	// ProfileLenient accepts whatever is framed and can be read.
	ProfileLenient Profile = iota
	// ProfileRelay is what the relays were configured to check, by their code's defaults (they never did).
	ProfileRelay
	// ProfileDefault is the old codec's own validator as it was delivered.
	ProfileDefault
	// ProfileProduction is that validator with its production settings.
	ProfileProduction
	// ProfileDevelopment is that validator with its development settings.
	ProfileDevelopment
)

// RulesFor returns the profile's rules for a domain. docs/reference/message-format.md has them as a table, and says
// what
// of the old validators is left out because no message could pass it.
func RulesFor(p Profile, d Domain) Rules {
	switch p {
	case ProfileRelay:
		return relayRules(d)
	case ProfileDefault:
		return codecRules(d, [4]int{4096, 8192, 16384, 32768}, 60*time.Second, 5*time.Second, 100)
	case ProfileProduction:
		return codecRules(d, [4]int{2048, 4096, 8192, 16384}, 30*time.Second, 2*time.Second, 50)
	case ProfileDevelopment:
		return codecRules(d, [4]int{8192, 16384, 32768, 65536}, 0, 0, 1000)
	}
	return Rules{Domain: d}
}

func relayRules(d Domain) Rules {
	r := Rules{Domain: d, MaxSize: 65536, Byte: ByteMatch, Sizes: SizeSkip}
	switch d {
	case DomainMarketData:
		r.Checksum = ChecksumSkip
	case DomainSignal:
		r.MaxSize = 32768
	case DomainExecution:
		r.MaxSize, r.Checksum, r.Sizes, r.Types, r.Domains, r.Sources =
			16384, ChecksumRequire, SizeFixed, true, DomainsRelays, true
	}
	return r
}

// codecRules has the three levels of the old validator: performance for market data, standard for signals and system
// messages, audit for executions. Its limits were of the payload.
func codecRules(d Domain, payload [4]int, age, ahead time.Duration, gap uint64) Rules {
	r := Rules{
		Domain: d, MaxSize: HeaderSize + payload[d&3], Byte: ByteMatch, Checksum: ChecksumRequire,
		Sizes: SizeFixed, Types: true, Domains: DomainsRelays, NoExtended: true,
	}
	if d != DomainMarketData {
		r.MaxGap = gap
	}
	if d == DomainExecution {
		r.MaxAge, r.MaxAhead = age, ahead
	}
	return r
}
