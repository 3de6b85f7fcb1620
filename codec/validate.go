package codec

import (
	"errors"
	"math"
)

// Check reports the first rule that the message breaks, or nil. It keeps no state, so that it looks neither at the time
// nor at the sequence; a [Validator] does. It does not allocate unless it fails. The errors are [ErrTooLarge],
// [ErrDomain],
// [ErrSource], [ErrChecksum], [ErrType], [ErrSize], [ErrCount] and [ErrValue], in a [FormatError].
func (r *Rules) Check(m Message) error {
	if err := r.checkHeader(m); err != nil {
		return err
	}
	for c := m.Cursor(); c.Next(); {
		if err := r.checkTLV(&c); err != nil {
			// The offset is that in the value so far.
			var fe *FormatError
			if errors.As(err, &fe) {
				fe.Offset += HeaderSize + c.off - len(c.Value)
			}
			return err
		}
	}
	return nil
}

func (r *Rules) checkHeader(m Message) error {
	most := r.MaxSize
	if most == 0 {
		most = MaxMessage
	}
	if len(m.b) > most {
		return fault(ErrTooLarge, "message size", 0, uint64(len(m.b)), uint64(most))
	}
	switch d := m.Domain(); {
	case r.Byte == ByteKnown && d > DomainSystem+1:
		return fault(ErrDomain, "domain", offDomain, uint64(d), uint64(DomainSystem+1))
	case r.Byte == ByteMatch && !r.Numbering.Matches(d, r.Domain):
		return fault(ErrDomain, "domain", offDomain, uint64(d), uint64(r.Numbering.Wire(r.Domain)))
	}
	if s := m.Source(); r.Sources && (s < 1 || s > 100) {
		return fault(ErrSource, "source", offSource, uint64(s), 100)
	}
	if r.Checksum == ChecksumRequire && !m.HasChecksum() {
		return fault(ErrChecksum, "checksum", offChecksum, 0, uint64(Checksum(m.b)))
	}
	if r.Checksum != ChecksumSkip {
		return m.VerifyChecksum()
	}
	return nil
}

func (r *Rules) checkTLV(c *Cursor) error {
	if r.NoExtended && c.Extended {
		return fault(ErrType, "form of "+c.Type.String(), -extendedHeader, uint64(TypeExtended), uint64(c.Type))
	}
	if r.Types && !r.Domains.Admits(c.Type, r.Domain) {
		return c.typeFault(r.Domain)
	}
	if err := r.checkSize(c); err != nil {
		return err
	}
	if r.Plausible {
		return checkPlausible(c.Type, c.Value)
	}
	return nil
}

// typeFault says that the current TLV's type does not belong to the domain, and what does.
func (c *Cursor) typeFault(d Domain) error {
	off := -standardHeader
	if c.Extended {
		off = 2 - extendedHeader
	}
	return fault(ErrType, "type of a TLV in domain "+d.String(), off, uint64(c.Type), uint64(firstType[d&3]))
}

// firstType is the first type of each domain.
var firstType = [4]Type{TypeTrade, TypeSignalIdentity, TypeOrderRequest, TypeComplianceCheck}

func (r *Rules) checkSize(c *Cursor) error {
	info, n := &registry[c.Type], len(c.Value)
	switch {
	case r.Sizes == SizeStructs:
		return checkValue(c.Type, c.Value)
	case r.Sizes == SizeFixed && (info.Class != Fixed || c.Extended), r.Sizes == SizeSkip, info.Class == Unregistered:
		return nil
	case n < info.Min:
		return sizeFault(c.Type, n, info.Min)
	case n > info.Max:
		return sizeFault(c.Type, n, info.Max)
	}
	return nil
}

// A Validator checks the messages of one stream by its Rules, those of time and sequence too, and counts what is worth
// knowing. It is for one goroutine.
type Validator struct {
	rules Rules
	last  [256]uint64 // sequence number of each source, valid where seen
	seen  [256]bool
	stats ValidatorStats
}

// ValidatorStats is what a Validator has counted. Sequence numbers are advisory: a source byte may be shared, a sender
// may start again, and numbers are drawn for all of a sender's domains together.
type ValidatorStats struct {
	Checked    uint64 // messages
	Rejected   uint64 // messages that broke a rule
	Unchecked  uint64 // messages without a checksum
	Unnumbered uint64 // messages with sequence 0, which is what a sender that does not count writes
	Repeated   uint64 // numbers that were not higher than their source's last
	Skipped    uint64 // numbers that a source left out
}

// NewValidator returns a Validator for the rules.
func NewValidator(r Rules) *Validator { return &Validator{rules: r} }

// Stats returns the counts so far.
func (v *Validator) Stats() ValidatorStats { return v.stats }

// Check is [Rules.Check], and then time and sequence: nowNs is the time in nanoseconds since the Unix epoch. It adds
// [ErrTimestamp] and [ErrSequence]. A rejected message does not move its source's sequence.
func (v *Validator) Check(m Message, nowNs uint64) error {
	v.stats.Checked++
	err := v.rules.Check(m)
	if err == nil {
		err = v.checkTime(m.TimestampNs(), nowNs)
	}
	if err == nil {
		err = v.checkSequence(m.Source(), m.Sequence())
	}
	if !m.HasChecksum() {
		v.stats.Unchecked++
	}
	if err != nil {
		v.stats.Rejected++
	}
	return err
}

func (v *Validator) checkTime(ts, now uint64) error {
	age, ahead := uint64(v.rules.MaxAge), uint64(v.rules.MaxAhead)
	switch {
	case age > 0 && now > ts && now-ts > age:
		return fault(ErrTimestamp, "timestamp", offTimestamp, ts, now-age)
	case ahead > 0 && ts > now && ts-now > ahead:
		return fault(ErrTimestamp, "timestamp", offTimestamp, ts, now+ahead)
	}
	return nil
}

func (v *Validator) checkSequence(s Source, seq uint64) error {
	strict := v.rules.MaxGap > 0
	if seq == 0 && !strict {
		v.stats.Unnumbered++
		return nil
	}
	last := v.last[s]
	switch {
	case !v.seen[s]:
	case seq <= last:
		v.stats.Repeated++
		if strict {
			return fault(ErrSequence, "sequence", offSequence, seq, last+1)
		}
	default:
		skipped := seq - last - 1
		v.stats.Skipped += min(skipped, math.MaxUint64-v.stats.Skipped)
		if strict && skipped > v.rules.MaxGap {
			return fault(ErrSequence, "sequence", offSequence, seq, last+1)
		}
	}
	v.last[s], v.seen[s] = seq, true
	return nil
}
