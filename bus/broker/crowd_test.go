package broker

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/uds"
)

// A thousand clients connect and attach at once, and all of them are served: the next one is refused by the limit's name.
func TestAThousandAtOnce(t *testing.T) {
	const crowd = 1000
	c := testConfig(t)
	c.Topics = nil
	for i := range 10 { // a slot that was granted and is not used yet is found by trying its lock: the more of them, the longer
		c.Topics = append(c.Topics, topic.Config{Name: fmt.Sprint("t", i), Size: topic.MinSize, Consumers: crowd / 10})
	}
	c.MaxClients, c.MaxSlotsPerUser = crowd, crowd
	b := start(t, c)
	began := time.Now()
	var all sync.WaitGroup
	conns, locks := make([]*control.Conn, crowd), make([]int, crowd)
	ctx := watchdog(t)
	for i := range crowd {
		locks[i] = -1
		all.Go(func() {
			conn, err := control.Dial(ctx, b.Socket(), control.Options{Name: "one of many"})
			if err != nil {
				t.Errorf("client %d: connect: %v", i, err)
				return
			}
			conns[i] = conn
			_, fds, err := conn.Request(ctx, &control.AttachConsumer{Topic: fmt.Sprint("t", i%10), Slow: control.SlowDrop})
			if err != nil || len(fds) != 6 {
				t.Errorf("client %d: attach: %v, %d descriptors", i, err, len(fds))
				uds.CloseFDs(fds)
				return
			}
			uds.CloseFDs(fds[:5])
			locks[i] = fds[5]
		})
	}
	all.Wait()
	t.Logf("%d clients were connected and attached after %v", crowd, time.Since(began))
	if _, err := control.Dial(ctx, b.Socket(), control.Options{}); err == nil {
		t.Error("one more was let in")
	} else {
		contains(t, "the refusal", err.Error(), "max_clients is reached: 1000 of 1000")
	}
	uds.CloseFDs(locks)
	for _, conn := range conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}
