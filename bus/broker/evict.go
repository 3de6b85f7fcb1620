package broker

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
)

// killPatience is how long a process may take to end after SIGKILL before that is told: one in an uninterruptible system call takes as
// long as that, one in a frozen cgroup of version 1 until it is thawed.
const killPatience = 5 * time.Second

// evict asks a client to close its handles, or ends its process. Asking takes nothing away: a slot is the client's as long as its lock
// is held, whatever its process looks like.
func (s *session) evict(m *control.Evict) error {
	b := s.b
	if err := s.mayManage("evict clients"); err != nil {
		return err
	}
	if m.Kill && m.Topic != "" {
		return control.Errorf(control.CodeInvalid, "a process cannot be killed for topic %q alone", m.Topic).WithHint("leave the topic out")
	}
	b.mu.Lock()
	target := b.connected[m.Session]
	var had []*holding
	for key, h := range b.slots {
		if target != nil && h.session == target && (m.Topic == "" || key.entry.name == m.Topic) {
			had = append(had, h)
		}
	}
	b.mu.Unlock()
	gone := control.Errorf(control.CodeNoClient, "no client has session %d", m.Session).WithHint("it may have gone: `myc-ctl clients` lists those that are there")
	if target == nil {
		return gone
	}
	b.log.Warn("a client is evicted", "client", target.name, "pid", target.peer.PID, "slots", len(had), "topic", m.Topic, "kill", m.Kill,
		"reason", m.Reason, "asked by", s.peer.String())
	if !m.Kill {
		for _, h := range had { // it may have more slots than a session queues messages
			if !target.tell(&control.Detached{Topic: h.key.entry.name, Role: h.key.role, Slot: h.key.slot, Reason: m.Reason}) {
				return gone
			}
		}
		return nil
	}
	if err := target.kill(); err != nil {
		return err
	}
	chosen := map[*holding]bool{}
	for _, h := range had {
		chosen[h] = true
	}
	b.reap(func(h *holding) bool { return chosen[h] })
	return nil
}

// kill ends the client's process and waits until it has ended. The kernel gave the descriptor of the process when it connected, so it is
// nobody else's who has the same number by now.
func (s *session) kill() error {
	if s.peer.PID == os.Getpid() {
		return control.Errorf(control.CodeInvalid, "client %q is in the broker's own process", s.name).WithHint("ask it to leave: evict without kill")
	}
	pidfd, err := s.conn.PeerPIDFD()
	if errors.Is(err, errors.ErrUnsupported) {
		return control.Errorf(control.CodeInternal, "client %q: %v", s.name, err).WithHint("make sure that pid %d is still the client, and kill it by hand", s.peer.PID)
	}
	if err != nil {
		return fmt.Errorf("client %q: %w", s.name, err)
	}
	defer unix.Close(pidfd)
	if err := unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill client %q, pid %d: %w", s.name, s.peer.PID, err)
	}
	// It polls readable once the process has ended, and with it its locks have fallen (pidfd_open(2); exit(2) closes files first).
	for end := time.Now().Add(killPatience); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(max(time.Until(end), 0)/time.Millisecond))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return os.NewSyscallError("poll", err)
		case n > 0:
			return nil
		default:
			return control.Errorf(control.CodeInternal, "client %q, pid %d, has got SIGKILL and has not ended in %v", s.name, s.peer.PID, killPatience).
				WithHint("a process in a frozen cgroup ends when it is thawed; what it leaves is repaired then")
		}
	}
}
