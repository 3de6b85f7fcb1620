package perf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/codec"
)

// tinyCount is how many messages a tiny run has, and tinyCounted how many of them count.
const tinyCount, tinyCounted = 60, 54

// tiny is a run that is over soon even where two CPUs have much else to do. Its workers are the test binary itself.
func tiny(t *testing.T, worker string) Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Count: tinyCount, Worker: []string{self, worker}, Ring: 1 << 20}
	if _, err := chooseCPUs(nil); errors.Is(err, ErrCPUs) {
		o.CPUs = []int{Unpinned}
	}
	return o
}

// noFilesLeft fails if a run's folder is still there. The folders of other processes are not looked at: theirs to remove.
func noFilesLeft(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestEveryLayerKindAndWayOfSendingDeliversWhatWasSent(t *testing.T) {
	for _, layer := range []string{"bus", "shmring"} {
		for _, c := range []struct {
			kind, send string
			size, n    int
		}{{"spsc", "publish", 8, 1}, {"spmc", "claim", 64, 1}, {"mpsc", "write", 256, 1}, {"mpmc", "publish", 4096, 1}, {"mpmc", "claim", 72, 16}} {
			t.Run(fmt.Sprintf("%s/%s/%s/%dx%d", layer, c.kind, c.send, c.n, c.size), func(t *testing.T) {
				o := tiny(t, "worker")
				o.Layer, o.Kind, o.Send, o.Size, o.Batch = layer, c.kind, c.send, c.size, c.n
				r, err := Throughput(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				counted := int(r.VerifiedMessages)
				// The warm-up is the first tenth, and what came in one poll with its end.
				if counted < 0 || counted > tinyCounted+c.n || r.MessagesPerS < 0 || counted > 0 && (r.MessagesPerS == 0 || r.BytesPerS != r.MessagesPerS*float64(c.size)) {
					t.Errorf("got %+v", r.ThroughputRun)
				}
				if c.n > 1 {
					return
				}
				l, err := Latency(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				checkLatency(t, l, tinyCounted)
			})
		}
	}
}

func checkLatency(t *testing.T, r *LatencyReport, count float64) {
	t.Helper()
	p := r.LatencyRun.Percentiles
	if p.Count != count {
		t.Errorf("%v times were counted, want %v", p.Count, count)
	}
	for _, v := range []float64{p.MinNs, p.P50Ns - p.MinNs, p.P90Ns - p.P50Ns, p.P99Ns - p.P90Ns, p.P99_9Ns - p.P99Ns, p.P99_99Ns - p.P99_9Ns, p.MaxNs - p.P99_99Ns} {
		if v < 0 {
			t.Fatalf("percentiles that do not rise: %+v", p)
		}
	}
	if r.Floor.P50Ns <= 0 || r.LineP50Ns <= 0 || r.Lines < 1 || r.ClockNs <= 0 {
		t.Errorf("floor %+v", r.Floor)
	}
}

func TestOneWayTimesRunFromWhenTheMessageWasDue(t *testing.T) {
	o := tiny(t, "worker")
	o.OneWay, o.Rate = true, 100_000
	r, err := Latency(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkLatency(t, r, tinyCounted)
	if r.Mode != "one_way" || r.Loop != "open" {
		t.Errorf("mode %s, loop %s", r.Mode, r.Loop)
	}
}

func TestADurationBecomesACount(t *testing.T) {
	o := tiny(t, "worker")
	o.Count, o.Duration, o.OneWay, o.Rate = 0, 3*time.Millisecond, true, 100_000
	r, err := Latency(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Count != 270 { // 300, of which 30 warm up
		t.Errorf("%v times were counted, want 270", r.Count)
	}
}

func TestHistogramsAreWrittenForOtherTools(t *testing.T) {
	o := tiny(t, "worker")
	o.Repeat = 2
	r, err := Latency(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var hgrm, hlog strings.Builder
	if err := errors.Join(r.WriteHgrm(&hgrm), r.WriteHlog(&hlog)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(hgrm.String(), "Total count    =          108]") {
		t.Errorf("the distribution does not hold both runs' times:\n%s", hgrm.String())
	}
	intervals := 0
	for line := range strings.Lines(hlog.String()) {
		if line[0] != '#' && line[0] != '"' {
			intervals++
		}
	}
	if intervals != 2 {
		t.Errorf("%d intervals, want 2:\n%s", intervals, hlog.String())
	}
}

// workerDies attaches, and dies by its own hand at the first order.
func workerDies() error {
	dec, enc := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var s setup
	var o order
	if err := errors.Join(dec.Decode(&s), enc.Encode(answer{}), dec.Decode(&o)); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "my last words in", s.Dir)
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// workerBabbles does not speak the language of workers, and goes on until somebody ends it.
func workerBabbles() error {
	fmt.Println("hello?")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// workerForges is sound, but its sender says 99 instead of 7.
func workerForges() error {
	for name, l := range layers {
		layers[name] = forger{l}
	}
	return Worker(os.Stdin, os.Stdout)
}

type forger struct{ layer }

func (f forger) open(dir string, o *Options) (client, error) {
	c, err := f.layer.open(dir, o)
	return forgerClient{c}, err
}

type forgerClient struct{ client }

func (c forgerClient) sender(topic string, f *filler) (sender, error) {
	s, err := c.client.sender(topic, f)
	return forgerSender{s}, err
}

type forgerSender struct{ sender }

func (s forgerSender) send(seq uint64) error {
	if seq == 7 {
		seq = 99
	}
	return s.sender.send(seq)
}

func TestAWorkerThatDiesEndsTheRunAndLeavesNothing(t *testing.T) {
	_, err := Latency(t.Context(), tiny(t, "worker-dies"))
	if !errors.Is(err, ErrWorker) || !strings.Contains(err.Error(), "signal: killed") {
		t.Fatalf("got %v", err)
	}
	_, dir, ok := strings.Cut(err.Error(), "my last words in ")
	if !ok {
		t.Fatalf("the worker's last words are missing: %v", err)
	}
	noFilesLeft(t, dir)
}

func TestAWorkerThatBabblesEndsTheRun(t *testing.T) {
	if _, err := Latency(t.Context(), tiny(t, "worker-babbles")); !errors.Is(err, ErrWorker) {
		t.Fatalf("got %v", err)
	}
}

func TestAWrongMessageEndsTheRun(t *testing.T) {
	for _, layer := range []string{"bus", "shmring"} {
		o := tiny(t, "worker-forges")
		o.Layer = layer
		_, err := Throughput(t.Context(), o)
		if !errors.Is(err, ErrPayload) || !strings.Contains(err.Error(), "message 7 has sequence number 99") {
			t.Errorf("%s: got %v", layer, err)
		}
	}
}

func TestAnEndedContextEndsTheRun(t *testing.T) {
	o := tiny(t, "worker")
	o.Count = 1 << 40 // goes on for hours
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	checked, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p, err := startPair(ctx, &checked, true, false)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := p.do(ctx, order{Do: "round_trip", Count: uint64(o.Count)})
		p.kill()
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("watchdog: the run did not end in a minute")
	}
	noFilesLeft(t, p.dir)
}

func TestWorkersThatLoseTheirParentRemoveTheFilesAndEnd(t *testing.T) {
	o, err := tiny(t, "worker").withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p, err := startPair(t.Context(), &o, true, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range p.workers {
		// A step that never ends, in the middle of which the parent goes away.
		if err := json.NewEncoder(w.in).Encode(order{Do: "round_trip", Count: 1 << 40}); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range p.workers {
		w.in.Close()
	}
	for _, w := range p.workers {
		select {
		case a, more := <-w.answers:
			if more {
				t.Errorf("got the answer %+v", a)
			}
		case <-time.After(time.Minute):
			p.kill()
			t.Fatal("watchdog: a worker without parent did not end in a minute")
		}
	}
	noFilesLeft(t, p.dir)
}

func TestCodecMeasuresBothMessages(t *testing.T) {
	r, err := Codec(t.Context(), CodecOptions{Count: 100, Repeat: 1, CPU: Unpinned})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 8 {
		t.Fatalf("%d results, want build and parse of two messages with and without checksum", len(r.Results))
	}
	for _, c := range r.Results {
		if c.MessagesPerS <= 0 || c.AllocsPerMessage != 0 || c.Bytes != codec.Size(map[string]int{"Trade": codec.TradeSize, "PoolSwap": codec.PoolSwapSize}[c.Message]) {
			t.Errorf("got %+v", c)
		}
	}
}

func TestPinBindsEveryThread(t *testing.T) {
	o := tiny(t, "worker")
	if len(o.CPUs) == 1 {
		t.Skip("this process may use one CPU only")
	}
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p, err := startPair(t.Context(), &o, false, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	for side, w := range p.workers {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", w.cmd.Process.Pid))
		if err != nil || len(tasks) == 0 {
			t.Fatal(tasks, err)
		}
		for _, task := range tasks {
			status, err := os.ReadFile(task)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
				continue // the thread has ended
			}
			if want := fmt.Sprintf("Cpus_allowed_list:\t%d\n", o.CPUs[side]); err != nil || !strings.Contains(string(status), want) {
				t.Errorf("%s: want %q in it, %v", task, want, err)
			}
		}
	}
}

func TestABrokersTopicsAreMeasuredAndGone(t *testing.T) {
	b := bustest.New(t)
	o := tiny(t, "worker")
	o.Socket = b.Socket
	r, err := Throughput(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Broker {
		t.Errorf("got %+v", r)
	}
	l, err := Latency(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkLatency(t, l, tinyCounted)
	topics, err := b.Dial("looks").Topics(t.Context())
	if err != nil || len(topics) != 0 {
		t.Errorf("left are %+v, %v", topics, err)
	}
	o.Layer = "shmring"
	if _, err := Latency(t.Context(), o); !errors.Is(err, ErrOptions) {
		t.Errorf("the ring alone through a broker: %v", err)
	}
}
