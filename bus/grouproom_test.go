package bus_test

import (
	"encoding/binary"
	"testing"

	"github.com/mycelium-bus/mycelium/bus"
	"github.com/mycelium-bus/mycelium/bus/bustest"
	"github.com/mycelium-bus/mycelium/bus/topic"
)

// The only worker of a group is killed with a message in its hands, on a topic with one gate. Who joins the group gets the message; who
// wants the gate for something else gets that, and the message is in the ledger.
func TestTheOnlyWorkerIsKilled(t *testing.T) {
	for name, next := range map[string]struct {
		options []bus.SubscribeOption
		gets    int
		lost    bool
	}{
		"another worker of the group": {[]bus.SubscribeOption{bus.Group("g")}, 2, false},
		"a worker of another group":   {[]bus.SubscribeOption{bus.Group("h")}, 1, true},
		"a reliable subscription":     {nil, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := bustest.New(t, topic.Config{Name: "t", Kind: topic.MPSC, Size: topic.MiB})
			c := b.Dial("test")
			pub := publisher(t, c, "t")
			worker := start(t, "subscriber "+b.Socket+" member")
			worker.line("ready")
			send := func(n uint64) {
				if err := pub.Publish(binary.LittleEndian.AppendUint64(nil, n)); err != nil {
					t.Fatal(err)
				}
			}
			send(0)
			worker.line("got 0")
			worker.kill()
			var sub *bus.Subscription
			eventually(t, "the gate is free", func() bool { // once the worker is known to be dead
				var err error
				sub, err = c.Subscribe("t", next.options...)
				return err == nil
			})
			defer sub.Close()
			send(1)
			var got []string
			eventually(t, "what it is to get", func() bool { got = append(got, poll(t, sub)...); return len(got) >= next.gets })
			losses, _, err := c.Losses(t.Context(), "t")
			if err != nil || (len(losses) == 1) != next.lost || next.lost && losses[0].Name != "g" || len(got) != next.gets {
				t.Errorf("got %q, lost %+v, %v", got, losses, err)
			}
		})
	}
}
