package perf

import (
	"errors"
	"testing"
	"time"
)

func tinyWake(t *testing.T) WakeOptions {
	return WakeOptions{Options: tiny(t, "worker"), Sleepers: 3, Idlers: 4, Messages: 1000, Idle: 10 * time.Millisecond, Every: 10 * time.Microsecond}
}

func TestWakeCountsTheWakeUpsAndWhatTheyCost(t *testing.T) {
	for _, kind := range []string{"spmc", "mpmc"} {
		o := tinyWake(t)
		o.Kind, o.Repeat = kind, 2
		r, err := Wake(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Runs) != 2 || r.Count != tinyCount || r.BareP50Ns <= 0 || r.Percentiles.P50Ns <= 0 || r.PublishNs <= 0 || r.PublishReadNs <= 0 || r.PublishCrowdedNs <= 0 ||
			r.RouseNs <= 0 || r.RouseOneNs <= 0 || r.IdleOneShare < 0 || r.Floor.P50Ns <= 0 || r.Sleepers != 3 || r.Idlers != 4 {
			t.Errorf("%s: %+v", kind, r)
		}
		if len(r.Table()) != 18 || r.Verdict() == "" {
			t.Errorf("%s: a table of %d rows, %q", kind, len(r.Table()), r.Verdict())
		}
	}
}

func TestWakeFailsWhereAMessageIsNotTheOneSent(t *testing.T) {
	o := tinyWake(t)
	o.Worker[1] = "worker-forges"
	if _, err := Wake(t.Context(), o); !errors.Is(err, ErrPayload) {
		t.Errorf("got %v", err)
	}
}

func TestWakeRefusesWhatItCannotMeasure(t *testing.T) {
	for name, change := range map[string]func(*WakeOptions){
		"too many sleepers":   func(o *WakeOptions) { o.Sleepers = maxSleepers + 1 },
		"too many idlers":     func(o *WakeOptions) { o.Idlers = maxSleepers + 1 },
		"no time to idle":     func(o *WakeOptions) { o.Idle = time.Microsecond },
		"a slow pace":         func(o *WakeOptions) { o.Every = time.Minute },
		"too few messages":    func(o *WakeOptions) { o.Messages = 1 },
		"a payload too small": func(o *WakeOptions) { o.Size = 8 },
	} {
		o := tinyWake(t)
		change(&o)
		if _, err := Wake(t.Context(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
