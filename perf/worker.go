package perf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/shmring"
)

// worker is one of the two processes that measure.
type worker struct {
	setup
	lines   *shmring.Lines
	client  client
	sender  sender // nil where this side only receives
	filler  filler
	recv    receiver // nil where this side only sends
	checker *checker
	idle    *idler
	watch   watch // one way
	ways    []way // one way, side 1

	// Wake, side 1.
	sleeps  *bus.Conn
	crowd   *crowd
	sleeper *bus.Subscription
	rung    uint64 // what the bell's line held last
}

// Worker is what the worker processes run: orders from in, answers to out, each a line of JSON. It blocks until in ends or
// orders to. If in ends without that, the parent is dead: it removes the run's files and exits the process, since a
// measurement under way cannot be told to stop.
func Worker(in io.Reader, out io.Writer) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	w := &worker{}
	if err := dec.Decode(&w.setup); err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	orders := make(chan order, 1)
	var ended atomic.Bool
	go func() {
		for {
			var o order
			if err := dec.Decode(&o); err != nil {
				if ended.Load() {
					return
				}
				_ = removeRun(&w.Options, w.Dir) // nobody is left to tell
				os.Exit(1)
			}
			ended.Store(o.Do == "end")
			orders <- o
		}
	}()
	a, err := answer{}, w.attach()
	for {
		if err != nil {
			a = answer{Error: err.Error()}
			for code, sentinel := range codes {
				if errors.Is(err, sentinel) {
					a.Code = code
				}
			}
		}
		if err := enc.Encode(a); err != nil {
			return err
		}
		o := <-orders
		if o.Do == "end" {
			return w.close()
		}
		a, err = w.do(o)
	}
}

func (w *worker) attach() (err error) {
	if w.CPU != Unpinned {
		if err := pin(w.CPU); err != nil {
			return err
		}
	}
	// What is collected in a run is the reports between its steps; a collection would stop a message under way.
	debug.SetGCPercent(-1)
	if w.Options.Realtime {
		if err := realtime(); err != nil {
			return err
		}
	}
	if err := w.openLines(); err != nil {
		return err
	}
	o := &w.Options
	if w.watch.offset, _, err = sharedClock(); err != nil {
		return err
	}
	w.idle = newIdler(o.Idle, &w.watch)
	w.filler.timed = o.OneWay
	w.checker = newChecker(o.Size, o.OneWay)
	layer, ok := layers[o.Layer]
	if !ok {
		return fmt.Errorf("%w: layer %q", ErrOptions, o.Layer)
	}
	if w.client, err = layer.open(busDir(w.Dir), o); err != nil {
		return err
	}
	sends, receives := topicOf(o, w.Dir, topicThere), topicOf(o, w.Dir, topicBack)
	if w.Side == 1 {
		sends, receives = receives, sends
	}
	if w.Side == 1 && !w.Sleep || w.Back {
		if w.recv, err = w.client.receiver(receives, w.checker); err != nil {
			return err
		}
	}
	if w.Side == 0 || w.Back {
		w.sender, err = w.client.sender(sends, &w.filler)
	}
	return err
}

func (w *worker) openLines() error {
	f, err := os.OpenFile(filepath.Join(w.Dir, "floor"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	w.lines, err = shmring.NewLines(f)
	return err
}

func (w *worker) do(o order) (answer, error) {
	switch o.Do {
	case "floor":
		return w.floor(o)
	case "stalls":
		return answer{StalledShare: stalledShare(20 * time.Millisecond)}, nil
	case "round_trip":
		return w.roundTrip(o)
	case "one_way_floor", "one_way":
		return w.onSchedule(o)
	case "judge":
		return w.judge(o)
	case "stream":
		return w.stream(o)
	}
	if step := wakeSteps[o.Do]; step != nil {
		return step(w, o)
	}
	return answer{}, fmt.Errorf("unknown order %q", o.Do)
}

func (w *worker) close() error {
	err := errors.Join(w.client.close(), w.lines.Close())
	if w.sleeps != nil {
		err = errors.Join(err, w.sleeps.Close())
	}
	return err
}

// histogramAnswer hands times to the parent.
func histogramAnswer(h *hdrhistogram.Histogram) (answer, error) {
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	return answer{Histogram: string(b), StartMs: h.StartTimeMs(), EndMs: h.EndTimeMs()}, err
}

// histogram reads them again.
func (a answer) histogram() (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode([]byte(a.Histogram))
	if err != nil {
		return nil, fmt.Errorf("%w: histogram: %w", ErrWorker, err)
	}
	h.SetStartTimeMs(a.StartMs)
	h.SetEndTimeMs(a.EndMs)
	return h, nil
}

// receive polls, up to limit messages at a time, until count messages have come and been checked. What is to be done with
// each stands in the checker's then; after each poll that brought some, progress is told how many there are by now.
func (w *worker) receive(count uint64, limit int, progress func(got uint64)) error {
	for got, row := uint64(0), 0; got < count; {
		n, err := w.recv.poll(int(min(uint64(limit), count-got)))
		got += uint64(n)
		row += n
		if n != 0 {
			w.idle.got()
			if progress != nil {
				progress(got)
			}
		}
		if err == nil && n < limit && got < count {
			err = w.idle.wait(row)
			row = 0
		}
		if err != nil {
			return fmt.Errorf("receive message %d: %w", w.checker.next, err)
		}
	}
	w.recv.release()
	return nil
}

// fullPause is how many PAUSE a producer executes when the ring is full: each further look at the readers' cursors takes
// their lines away from them.
const fullPause = 32

// send sends message seq (with a batch, those from seq on), waiting while the ring is full.
func (w *worker) send(seq uint64) error {
	err := w.sender.send(seq)
	if err == nil {
		return nil
	}
	for since := int64(0); errors.Is(err, shmring.ErrBackPressure); err = w.sender.send(seq) {
		t := now()
		w.watch.saw(t)
		if since == 0 {
			since = t
		}
		if t-since > int64(StallLimit) {
			return fmt.Errorf("send message %d: %w: no room for %v", seq, ErrStalled, StallLimit)
		}
		pause(fullPause)
	}
	if err != nil {
		return fmt.Errorf("send message %d: %w", seq, err)
	}
	return nil
}
