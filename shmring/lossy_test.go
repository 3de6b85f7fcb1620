package shmring

import (
	"encoding/binary"
	"errors"
	"testing"
)

// TestLossyReaderIsToldExactlyWhatItMissed overwrites the ring under a lossy reader many times: bytes read and bytes reported as
// missed add up to every byte the producer wrote, and no message is torn.
func TestLossyReaderIsToldExactlyWhatItMissed(t *testing.T) {
	r := newFileRing(t, Options{Kind: SPMC, Capacity: 64 << 10, Consumers: 4})
	rd := newReaderOn(t, r, again(t, r, Consume), Policy{Slow: Lossy}, Newest())
	begin := rd.Position()
	const frame, total = 128, 300_000 // 128 divides a segment: no padding
	g, err := r.GrantProducer(0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := again(t, r, Produce).Producer(g, "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	done := make(chan error, 1)
	go func() {
		msg := make([]byte, frame-frameHeaderSize)
		for seq := range uint64(total) {
			for i := 0; i < len(msg); i += 8 {
				binary.LittleEndian.PutUint64(msg[i:], seq+uint64(i))
			}
			if err := p.Publish(msg); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	var read, missed, laps uint64
	at := begin
	for finished := false; ; {
		f, ok := rd.Next()
		if ok {
			if f.Position != at {
				t.Fatalf("message at %d, expected %d", f.Position, at)
			}
			for i := 0; i < len(f.Payload); i += 8 {
				if got, want := binary.LittleEndian.Uint64(f.Payload[i:]), (at-begin)/frame+uint64(i); got != want {
					t.Fatalf("torn message at %d: word %d is %d, want %d", at, i/8, got, want)
				}
			}
			read++
			at += frame
			continue
		}
		var lap *LappedError
		if err := rd.Err(); errors.As(err, &lap) {
			if lap.From != at || lap.Missed() != lap.To-lap.From {
				t.Fatalf("%v, expected from %d", lap, at)
			}
			missed += lap.Missed()
			laps++
			at = lap.To
		} else if err != nil {
			t.Fatal(err)
		} else if finished {
			break
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			finished = true
		default:
		}
	}
	if read*frame+missed != total*frame {
		t.Errorf("%d bytes read and %d missed, want %d in all", read*frame, missed, total*frame)
	}
	info, err := r.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	if c := info.Consumers[0]; c.MissedBytes != missed || c.Laps != laps {
		t.Errorf("the slot counts %d bytes missed in %d laps, the reader was told %d in %d", c.MissedBytes, c.Laps, missed, laps)
	}
	t.Logf("%d read, %d laps", read, laps)
}
