package broker

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
)

func TestATruncatedTopicIsDamagedAndTheBrokerLives(t *testing.T) {
	for name, truncate := range map[string]func(*attached) int{
		"ring":    func(a *attached) int { return a.files.Ring },
		"cursors": func(a *attached) int { return a.files.Cursors },
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, testConfig(t))
			one := b.client("one")
			a := one.attach(&control.AttachProducer{Topic: "a"})
			if err := unix.Ftruncate(truncate(a), 0); err != nil {
				t.Fatal(err)
			}
			var m control.Message = &control.AttachProducer{Topic: "a"}
			if name == "cursors" {
				m = &control.AttachConsumer{Topic: "a"}
			}
			one.refused(m, control.CodeCorrupt)
			contains(t, "the topic's fault", one.topics()[0].State.String()+one.topics()[0].Fault, "damaged", "truncated")
			one.refused(&control.AttachConsumer{Topic: "a"}, control.CodeCorrupt)
			one.attach(&control.AttachProducer{Topic: "b"})
			one.ask(&control.DeleteTopic{Topic: "a"})
			one.ask(&control.CreateTopic{Config: jsonOf(small("a"))})
			one.attach(&control.AttachProducer{Topic: "a"})
		})
	}
}

func TestOwnMistakesStayPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"a nil pointer": func() { var e *entry; _ = e.name },
		"a panic":       func() { panic("shmring: a mistake") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("swallowed")
				}
			}()
			_ = guarded(func() error { f(); return nil })
		})
	}
}
