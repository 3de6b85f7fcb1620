package broker

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/mycelium-bus/mycelium/shmring"
)

// A stopped process is told of with what it holds up, never taken for dead, and goes on where it was.
func TestAStoppedReaderIsStalled(t *testing.T) {
	b := start(t, testConfig(t))
	one := b.client("one")
	p := one.producer("a")
	process := b.hold("reader")
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := process.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	msg := make([]byte, 1000)
	for p.Publish(msg) == nil {
	}
	if err := p.Publish(msg); !errors.Is(err, shmring.ErrBackPressure) {
		t.Fatalf("%v, want %v", err, shmring.ErrBackPressure)
	}
	stalled := `level=WARN msg="a client is stalled" topic=a id=c0.1 client=sleeper`
	eventually(t, "the broker says that it is stalled", func() bool { return strings.Contains(b.log.String(), stalled) })
	contains(t, "the log", b.log.String(), "process=stopped", `holds="its cursor at 65536 leaves producers no room"`)
	if err := p.Publish(msg); !errors.Is(err, shmring.ErrBackPressure) {
		t.Errorf("%v: a stopped reader's gate fell", err)
	}
	info, err := p.Ring().Inspect()
	if err != nil || len(info.Consumers) != 1 || !info.Consumers[0].Alive {
		t.Errorf("%+v, %v", info.Consumers, err)
	}
	signal(syscall.SIGUSR1) // it reads all that is there once it goes on
	signal(syscall.SIGCONT)
	eventually(t, "the producer goes on", func() bool { return p.Publish(msg) == nil })
	eventually(t, "the broker says that it is over", func() bool {
		return strings.Contains(b.log.String(), `level=INFO msg="a client is stalled no more" topic=a id=c0.1 client=sleeper`)
	})
	if n := strings.Count(b.log.String(), stalled); n != 1 {
		t.Errorf("it is told %d times", n)
	}
	if strings.Contains(b.log.String(), "a client died") {
		t.Errorf("it was taken for dead")
	}
}
