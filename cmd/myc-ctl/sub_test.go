package main

import (
	"bufio"
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// A sub that was busy while its topic was deleted and made again says so and goes on; one that finds it deleted ends.
func TestSubGoesOnWithATopicThatWasMadeAgain(t *testing.T) {
	config := topic.Config{Name: "t", Size: topic.MiB}
	b := bustest.New(t, config)
	admin := b.Dial("admin")
	sub, err := b.Dial("worker").Subscribe("t", bus.Lossy())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if err := errors.Join(admin.DeleteTopic(t.Context(), "t"), admin.CreateTopic(t.Context(), config)); err != nil {
		t.Fatal(err)
	}
	pub, err := admin.Publisher("t")
	if err == nil {
		err = pub.Publish([]byte("new"))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	for attached := 0; attached == 0; time.Sleep(time.Millisecond) {
		info, err := admin.Inspect(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		attached = len(info.Consumers)
	}
	var out bytes.Buffer
	p := printer{sub: sub, out: bufio.NewWriter(&out), format: "raw"}
	said := ""
	missed := func(gap error) { said += whatWasMissed(gap) + "\n" }
	// It may be attached to the new topic and not have been handed over yet.
	for errors.Is(p.run(t.Context(), 1, missed), bus.ErrClosed) && t.Context().Err() == nil {
	}
	if want := "topic t was deleted and made again: what lay between is lost\n"; said != want || out.String() != "new" {
		t.Errorf("it says %q and prints %q", said, &out)
	}
	if err := admin.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if err := p.run(t.Context(), 1, missed); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("%v, want %v", err, bus.ErrClosed)
	}
}

func TestWhatWasMissed(t *testing.T) {
	for want, gap := range map[string]error{
		"missed 48 bytes of the ring, position 16 to 64":                                                        &bus.LappedError{From: 16, To: 64},
		"topic t was deleted and made again: what lay between is lost, 32 bytes of the new one's ring at least": &bus.RecreatedError{Topic: "t", Missed: 32},
	} {
		if got := whatWasMissed(gap); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
