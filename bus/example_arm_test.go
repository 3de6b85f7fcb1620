package bus_test

import (
	"fmt"

	"github.com/mycelium-bus/mycelium/bus"
	"golang.org/x/sys/unix"
)

// A program whose loop waits by poll(2) or epoll(7) waits for a subscription's descriptor there, too.
func ExampleSubscription_Arm() {
	c, end := exampleBus()
	defer end()
	sub, _ := c.Subscribe("market_data")
	defer sub.Close()
	pub, _ := c.Publisher("market_data")
	defer pub.Close()
	fd, _ := sub.FD()

	for handled := 0; handled < 2; {
		n, err := sub.Poll(100, func(m bus.Message) error {
			fmt.Println(string(m.Bytes()))
			return nil
		})
		if handled += n; n > 0 || err != nil {
			continue
		}
		_ = sub.Arm() // whatever comes from here on makes fd readable
		_ = pub.Publish(fmt.Append(nil, "message ", handled+1))
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
	}
	// Output:
	// message 1
	// message 2
}
