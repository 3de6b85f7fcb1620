package broker

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestSystemdIsTold listens where a service manager would (sd_notify(3)).
func TestSystemdIsTold(t *testing.T) {
	c := testConfig(t)
	path := filepath.Join(filepath.Dir(c.Socket), "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "2000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	told := make(chan string, 1000)
	go func() {
		defer close(told)
		buf := make([]byte, 1000)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			select {
			case told <- string(buf[:n]):
			default:
			}
			if string(buf[:n]) == "STOPPING=1" {
				return
			}
		}
	}()
	b := start(t, c)
	watch := watchdog(t)
	var got []string
	for last := ""; last != "STOPPING=1"; {
		select {
		case last = <-told:
			got = append(got, last)
			if len(got) == 3 {
				b.stop()
			}
		case <-watch.Done():
			t.Fatalf("told only %q", got)
		}
	}
	if got[0] != "READY=1" || got[1] != "WATCHDOG=1" || got[2] != "WATCHDOG=1" {
		t.Errorf("told %q", got[:3])
	}
}
