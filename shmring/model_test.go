package shmring

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The model: the committed messages in the order of their positions. Everything a ring does in one thread must agree with it.
type model struct {
	sent []sentMessage
}

type sentMessage struct {
	pos     uint64
	payload string
}

type modelReader struct {
	*Reader
	policy Slow
	at     uint64 // it must see every message from this position on
}

// TestAgainstModel plays random operations of several producers and readers against the model; a failure prints what to run
// again (rapid's -rapid.failfile).
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom([]Kind{SPSC, SPMC, MPSC, MPMC}).Draw(t, "kind")
		r, err := NewHeap("model", Options{Kind: k, Capacity: 64 << 10, MaxFrame: 1500, Producers: 3, Consumers: 4, Groups: 1})
		if err != nil {
			t.Fatal(err)
		}
		m := &model{}
		var producers []*Producer
		claims := map[*Producer]Claim{}
		var readers []*modelReader
		serial := 0

		text := func(n int) string {
			serial++
			s := fmt.Sprintf("%08d", serial)
			for len(s) < n {
				s += s
			}
			return s[:n]
		}
		committed := func(pos uint64, s string) { m.sent = append(m.sent, sentMessage{pos, s}) }
		length := rapid.OneOf(rapid.IntRange(8, 100), rapid.IntRange(8, 1500))
		mayFail := func(err error) bool { // whether the ring was full
			if err != nil && !errors.Is(err, ErrBackPressure) {
				t.Fatal(err)
			}
			return err != nil
		}

		t.Repeat(map[string]func(*rapid.T){
			"producer joins": func(t *rapid.T) {
				g, err := r.GrantProducer(0)
				switch {
				case len(producers) == 3 || k.singleProducer() && len(producers) == 1:
					if !errors.Is(err, ErrLimit) && !errors.Is(err, ErrInUse) {
						t.Fatalf("a producer too many: %v", err)
					}
				case err != nil:
					t.Fatal(err)
				default:
					p, err := r.Producer(g, "model")
					if err != nil {
						t.Fatal(err)
					}
					producers = append(producers, p)
				}
			},
			"producer leaves": func(t *rapid.T) {
				if len(producers) == 0 {
					return
				}
				i := rapid.IntRange(0, len(producers)-1).Draw(t, "which")
				p := producers[i]
				p.Close()
				delete(claims, p)
				producers = append(producers[:i], producers[i+1:]...)
				if err := p.Publish([]byte("late")); !errors.Is(err, ErrClosed) {
					t.Fatalf("publish on a closed handle: %v", err)
				}
			},
			"publish": func(t *rapid.T) {
				if len(producers) == 0 {
					return
				}
				p := producers[rapid.IntRange(0, len(producers)-1).Draw(t, "which")]
				s := text(length.Draw(t, "length"))
				delete(claims, p) // a forgotten claim is aborted by the next call
				before := tailOf(t, r, p)
				if !mayFail(p.Publish([]byte(s))) {
					committed(frameFrom(r, before, len(s)), s)
				}
			},
			"claim": func(t *rapid.T) {
				if len(producers) == 0 {
					return
				}
				p := producers[rapid.IntRange(0, len(producers)-1).Draw(t, "which")]
				delete(claims, p)
				if c, err := p.Claim(length.Draw(t, "length")); !mayFail(err) {
					claims[p] = c
				}
			},
			"commit": func(t *rapid.T) {
				for p, c := range claims {
					delete(claims, p)
					used := rapid.IntRange(0, len(c.Bytes())).Draw(t, "used")
					s := text(max(used, 8))[:used]
					copy(c.Bytes(), s)
					if err := c.Commit(used); err != nil {
						t.Fatal(err)
					}
					if used > 0 {
						committed(c.Position(), s)
					}
					return
				}
			},
			"abort": func(t *rapid.T) {
				for p, c := range claims {
					delete(claims, p)
					c.Abort()
					return
				}
			},
			"batch": func(t *rapid.T) {
				if len(producers) == 0 {
					return
				}
				p := producers[rapid.IntRange(0, len(producers)-1).Draw(t, "which")]
				delete(claims, p)
				b, err := p.Batch(rapid.IntRange(32, r.MaxClaim()).Draw(t, "size"))
				if mayFail(err) {
					return
				}
				var batch []sentMessage
				for range rapid.IntRange(0, 5).Draw(t, "messages") {
					s := text(length.Draw(t, "length"))
					buf, err := b.Next(len(s))
					if errors.Is(err, ErrTooLarge) {
						continue
					}
					copy(buf, s)
					batch = append(batch, sentMessage{b.next - uint64(FrameSize(len(s))), s})
				}
				if rapid.Bool().Draw(t, "abort") {
					b.Abort()
					return
				}
				if err := b.Commit(); err != nil {
					t.Fatal(err)
				}
				m.sent = append(m.sent, batch...)
			},
			"reader joins": func(t *rapid.T) {
				policy := rapid.SampledFrom([]Slow{Block, Drop, Lossy}).Draw(t, "policy")
				g, err := r.GrantConsumer(Policy{Slow: policy, Credit: 16 << 10, Patience: time.Hour})
				if errors.Is(err, ErrLimit) || errors.Is(err, ErrInUse) {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				from := rapid.SampledFrom([]From{Newest(), Oldest()}).Draw(t, "from")
				rd, err := r.Reader(g, ReaderOptions{From: from})
				if err != nil {
					t.Fatal(err)
				}
				readers = append(readers, &modelReader{Reader: rd, policy: policy, at: rd.Position()})
			},
			"reader leaves": func(t *rapid.T) {
				if len(readers) > 0 {
					i := rapid.IntRange(0, len(readers)-1).Draw(t, "which")
					readers[i].Close()
					readers = append(readers[:i], readers[i+1:]...)
				}
			},
			"poll": func(t *rapid.T) {
				if len(readers) > 0 {
					m.poll(t, readers[rapid.IntRange(0, len(readers)-1).Draw(t, "which")], rapid.IntRange(1, 20).Draw(t, "limit"), openFrom(claims))
				}
			},
			"": func(t *rapid.T) {
				if _, err := r.Verify(); err != nil {
					t.Fatal(err)
				}
			},
		})
		// In the end every claim is given up and every reader sees all that is left for it.
		for _, p := range producers {
			p.Close()
		}
		for _, rd := range readers {
			m.poll(t, rd, 1<<20, ^uint64(0)>>1)
			if left := len(m.sent) - m.firstFrom(rd.at); left != 0 {
				t.Fatalf("reader %s did not see %d of %d messages", rd.ID(), left, len(m.sent))
			}
			rd.Close()
		}
	})
}

// poll reads up to limit messages, each of which must be the next of the model; nothing at or beyond open may be seen.
func (m *model) poll(t *rapid.T, rd *modelReader, limit int, open uint64) {
	m.sort()
	for range limit {
		f, ok := rd.Next()
		if !ok {
			err := rd.Err()
			if lapped, is := err.(*LappedError); is && rd.policy == Lossy {
				if i := m.firstFrom(rd.at); i < len(m.sent) && m.sent[i].pos < lapped.From {
					t.Fatalf("the loss begins at %d, but message at %d was not seen", lapped.From, m.sent[i].pos)
				}
				rd.at = lapped.To
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if i := m.firstFrom(rd.at); i < len(m.sent) && m.sent[i].pos < open {
				t.Fatalf("reader %s at %d sees nothing, but a message was committed at %d", rd.ID(), rd.Position(), m.sent[i].pos)
			}
			return
		}
		i := m.firstFrom(rd.at)
		if i == len(m.sent) || m.sent[i].pos != f.Position || m.sent[i].payload != string(f.Payload) {
			t.Fatalf("reader %s saw %q at %d, next in the model is %v", rd.ID(), f.Payload, f.Position, m.sent[i:min(i+1, len(m.sent))])
		}
		if rapid.IntRange(0, 9).Draw(t, "unread") == 0 {
			rd.Unread()
			continue
		}
		rd.at = f.Position + 1
	}
	if rapid.Bool().Draw(t, "release") {
		rd.Release()
	}
}

// sort puts messages that were committed late into the order of their positions (insertion: they are nearly there).
func (m *model) sort() {
	for i := 1; i < len(m.sent); i++ {
		for j := i; j > 0 && m.sent[j].pos < m.sent[j-1].pos; j-- {
			m.sent[j], m.sent[j-1] = m.sent[j-1], m.sent[j]
		}
	}
}

func (m *model) firstFrom(pos uint64) int {
	for i, s := range m.sent {
		if s.pos >= pos {
			return i
		}
	}
	return len(m.sent)
}

func openFrom(claims map[*Producer]Claim) uint64 {
	open := ^uint64(0) >> 1
	for p, c := range claims {
		if !p.single {
			open = min(open, p.claim.start, c.pos)
		}
	}
	return open
}

func tailOf(t *rapid.T, r *Ring, p *Producer) uint64 {
	if p.single {
		return p.pos
	}
	return r.tail.Load()
}

// frameFrom is where a frame of n bytes went that was claimed when the tail was t.
func frameFrom(r *Ring, t uint64, n int) uint64 {
	if end := alignDown(t, r.segment) + r.segment; uint64(FrameSize(n)) > end-t {
		return end
	}
	return t
}
