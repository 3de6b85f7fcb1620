package tools

import (
	"context"
	"errors"
	"fmt"

	"github.com/mycelium-bus/mycelium/codec"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Report is what [Verify] went through. Its JSON keys are stable.
type Report struct {
	Name         string    `json:"name"`
	Kind         string    `json:"kind"`
	Size         uint64    `json:"size"` // capacity in bytes
	Files        string    `json:"files"`
	OK           bool      `json:"ok"`
	Fault        *Fault    `json:"fault"` // the first one, nil if OK
	From         uint64    `json:"from_position"`
	To           uint64    `json:"to_position"`
	Frames       uint64    `json:"frames"`
	Pads         uint64    `json:"pads"`
	PayloadBytes uint64    `json:"payload_bytes"`
	OpenClaims   int       `json:"open_claims"`
	Overwritten  int       `json:"overwritten_segments"` // by producers, while they were looked at
	Producers    int       `json:"producers"`
	Consumers    int       `json:"consumers"`
	Messages     *Messages `json:"messages"` // nil if messages were not looked at
}

// Fault is the first thing that was found wrong.
type Fault struct {
	File     string `json:"file,omitempty"`
	Field    string `json:"field,omitempty"`
	Position uint64 `json:"position"` // of the frame, or offset in the file
	Got      string `json:"got,omitempty"`
	Want     string `json:"want,omitempty"`
	Error    string `json:"error"`
}

// Messages is what a look at the payloads found.
type Messages struct {
	Checked      uint64 `json:"checked"`
	WithChecksum uint64 `json:"with_checksum"`
	MissedBytes  uint64 `json:"missed_bytes"` // of the ring: overwritten or not yet committed when they were to be read
}

// VerifyOptions say what is checked beside the ring.
type VerifyOptions struct {
	Messages bool // also parse every message, and verify its checksum where it has one
}

// Verify checks every frame and every invariant that the files can show (see shmring.Ring.Verify), and on request every
// message. The error is the first fault, which the report holds as well: [shmring.ErrCorrupt], or one of codec's for
// a message.
func Verify(ctx context.Context, t *Target, o VerifyOptions) (Report, error) {
	files := "ring, cursors, control"
	if t.Lone {
		files = "ring"
	}
	rep := Report{Name: t.Name(), Kind: t.Kind().String(), Size: t.Capacity(), Files: files}
	err := verify(ctx, t, o, &rep)
	rep.OK = err == nil
	if err != nil {
		rep.Fault = newFault(err)
	}
	return rep, err
}

func verify(ctx context.Context, t *Target, o VerifyOptions, rep *Report) error {
	ring, err := t.Ring.Verify()
	rep.From, rep.To, rep.Frames, rep.Pads, rep.PayloadBytes = ring.From, ring.To, ring.Frames, ring.Pads, ring.Bytes
	rep.OpenClaims, rep.Overwritten = ring.OpenClaims, ring.Overwritten
	if err != nil {
		return err
	}
	info, err := t.Inspect()
	if err != nil {
		return err
	}
	rep.Producers, rep.Consumers = len(info.Producers), len(info.Consumers)
	if !o.Messages {
		return nil
	}
	rep.Messages = &Messages{}
	return verifyMessages(ctx, t.Ring, info.Tail, rep.Messages)
}

// MessageError says which message is wrong, and how.
type MessageError struct {
	Position uint64
	Err      error
}

func (e *MessageError) Error() string {
	return fmt.Sprintf("message at position %d: %v", e.Position, e.Err)
}
func (e *MessageError) Unwrap() error { return e.Err }

func verifyMessages(ctx context.Context, r *shmring.Ring, end uint64, rep *Messages) error {
	var damage error
	pass := walk{ring: r, from: shmring.Oldest(), end: end,
		visit: func(f shmring.Frame, _ int) error {
			m, err := codec.Parse(f.Payload)
			if err == nil {
				err = m.VerifyChecksum()
			}
			if err != nil {
				return &MessageError{f.Position, err}
			}
			rep.Checked++
			if m.HasChecksum() {
				rep.WithChecksum++
			}
			return nil
		},
		gap: func(g Gap) {
			rep.MissedBytes += g.Bytes()
			if damage == nil && isDamage(g.Err) {
				damage = g.Err
			}
		}}
	if err := pass.run(ctx); err != nil {
		return err
	}
	return damage
}

// isDamage tells whether a gap is a fault of the ring, and not only of the moment.
func isDamage(err error) bool { return errors.Is(err, shmring.ErrCorrupt) }

func newFault(err error) *Fault {
	f := &Fault{Error: err.Error()}
	if c, ok := errors.AsType[*shmring.CorruptError](err); ok {
		f.File, f.Field, f.Position, f.Got, f.Want = c.File, c.Field, c.Position, c.Got, c.Want
	}
	if m, ok := errors.AsType[*MessageError](err); ok {
		f.File, f.Position = "ring", m.Position
	}
	return f
}
