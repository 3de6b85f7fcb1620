package uds

import "testing"

func TestSendAndRecvAllocateNoMessages(t *testing.T) {
	// unix.Recvmsg makes a socket address for each packet; the messages themselves go from buffer to buffer.
	most := map[Framing]float64{Packet: 1, Stream: 0}
	eachFraming(t, func(t *testing.T, f Framing) {
		a, b := pair(t, Options{Framing: f})
		msg, buf := make([]byte, 1000), make([]byte, DefaultMaxMessage)
		if n := testing.AllocsPerRun(200, func() {
			if err := a.Send(msg); err != nil {
				t.Fatal(err)
			}
			if _, _, err := b.Recv(buf); err != nil {
				t.Fatal(err)
			}
		}); n > most[f] {
			t.Errorf("%v allocations for a message sent and received, at most %v", n, most[f])
		}
	})
}
