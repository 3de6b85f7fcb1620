package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/shmring"
	"github.com/mycelium-bus/mycelium/uds"
	"golang.org/x/sys/unix"
)

// Dial connects to the broker at o.Socket. It blocks until the broker has answered, refused, or ctx ends. Errors:
// [ErrNoBroker], [ErrPermission], [ErrVersion], [ErrLimit].
//
// When the broker goes away, handles that are open keep exchanging messages. The connection looks for the next broker at the same
// socket by itself, after 10 ms at first and each second in the end, until [Conn.Close], and tells it which slots its handles have.
// Until there is one, what needs it returns [ErrNoBroker] at once; [Conn.PublisherContext] and [Conn.SubscribeContext] wait for
// it. Meanwhile the connection repairs every 250 ms the topics that it publishes to.
//
// Each second it looks at the files that it uses: where they were removed under it, its handles return [ErrClosed] with [ErrRemoved].
//
// Handles of a topic that was deleted return [ErrClosed]. When one of the same name is made they go on with it, and tell the gap by a
// [RecreatedError].
func Dial(ctx context.Context, o Options) (*Conn, error) {
	o = o.withDefaults()
	b := &broker{socket: o.Socket, name: o.Name, tenants: map[*tenant]struct{}{}, followers: map[*follower]struct{}{}, changed: make(chan struct{}), unknown: make(chan struct{}, 1)}
	var err error
	if b.conn, err = b.dial(ctx); err != nil {
		return nil, fmt.Errorf("dial the broker: %w", dialError(ctx, err))
	}
	b.life, b.end = context.WithCancel(context.Background())
	b.keeper.Go(func() { b.keep(b.life) })
	return &Conn{options: o, backend: b}, nil
}

func (b *broker) dial(ctx context.Context) (*control.Conn, error) {
	return control.Dial(ctx, b.socket, control.Options{Name: b.name, Software: software(), Notice: b.notice})
}

func dialError(ctx context.Context, err error) error {
	_, refused := errors.AsType[*control.Error](err)
	switch {
	case refused || ctx.Err() != nil:
		return brokerError(err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrPermission, err)
	}
	return fmt.Errorf("%w: %w", ErrNoBroker, err)
}

// broker hands out the topics of a broker, who grants the slots.
type broker struct {
	socket, name string
	rings        rings

	life    context.Context // until close
	end     context.CancelFunc
	keeper  sync.WaitGroup
	unknown chan struct{} // has room for one: a tenant may be unknown to the broker

	mu      sync.Mutex
	conn    *control.Conn // the last one: it may have ended
	changed chan struct{} // closed when conn is another one
	tenants map[*tenant]struct{}

	followers map[*follower]struct{}
}

// notice takes what the broker says unasked. A deleted topic's files say so themselves, and so handles learn of it.
func (b *broker) notice(m control.Message) {
	switch m := m.(type) {
	case *control.TopicDeleted:
		b.rings.sweep()
	case *control.Detached:
		b.rings.evict(m.Topic, m.Role, m.Reason)
	}
}

// answered is a broker's answer, the descriptors that came with it, and the connection over which it came.
type answered struct {
	message control.Message
	fds     []int
	conn    *control.Conn
}

// request asks the broker, again while it is still creating the topic, and with wait the next one, if this one goes away.
func (b *broker) request(ctx context.Context, m control.Message, wait bool) (answered, error) {
	for {
		conn, err := b.connection(ctx, wait)
		if err != nil {
			return answered{}, err
		}
		answer, fds, err := conn.Request(ctx, m)
		refusal, refused := errors.AsType[*control.Error](err)
		switch {
		case refused && refusal.Code == control.CodeNotReady:
		case wait && !refused && b.away(err):
			continue // what was granted over the connection and did not arrive is free again
		default:
			return answered{answer, fds, conn}, b.errorOf(err)
		}
		select {
		case <-ctx.Done():
			return answered{}, ctx.Err()
		case <-time.After(5 * time.Millisecond): // creating takes a millisecond per 4 MiB
		}
	}
}

// ask makes a request that is answered without descriptors.
func ask[A control.Message](ctx context.Context, b *broker, m control.Message) (A, error) {
	answer, err := b.request(ctx, m, false)
	uds.CloseFDs(answer.fds)
	a, ok := answer.message.(A)
	if err == nil && !ok {
		err = fmt.Errorf("%w: the broker answered %s with %s", ErrVersion, m.Type(), answer.message.Type())
	}
	return a, err
}

func (b *broker) attach(ctx context.Context, m control.Message, access shmring.Access, o attachOptions) (attachment, error) {
	answer, err := b.request(ctx, m, o.wait)
	if err != nil {
		return attachment{}, err
	}
	fds := answer.fds
	a, ok := answer.message.(*control.Attached)
	if !ok || len(fds) < 5 {
		uds.CloseFDs(fds)
		return attachment{}, fmt.Errorf("%w: the broker answered %s with %s", ErrVersion, m.Type(), answer.message.Type())
	}
	att := attachment{grant: shmring.Grant{Slot: int(a.Slot), Lock: -1}}
	if len(fds) > 5 {
		att.grant.Lock = fds[5]
		t := &tenant{b: b, on: answer.conn, slot: control.Register{Topic: a.Topic, Nonce: a.Nonce, Role: a.Role, Slot: a.Slot}}
		att.slot = slot{take: t.take, leave: t.leave, give: func() { b.giveBack(a, att.topic) }}
	}
	files := shmring.Files{Ring: fds[0], Cursors: fds[1], Control: fds[2], LocksP: fds[3], LocksC: fds[4]}
	if att.topic, err = b.ring(ringKey{a.Topic, access}, files); err == nil {
		att.ring = att.topic.ring
	}
	if err == nil && att.ring.Nonce() != a.Nonce {
		err = fmt.Errorf("%w: topic %q has nonce %#x, the broker says %#x", ErrCorrupt, a.Topic, att.ring.Nonce(), a.Nonce)
	}
	if err == nil {
		att.config, err = decodeConfig(a.Topic, a.Config)
	}
	if err != nil {
		att.abandon()
		return attachment{}, err
	}
	return att, nil
}

// ring maps a topic's files, or closes them where they are mapped already.
func (b *broker) ring(key ringKey, files shmring.Files) (*mapping, error) {
	defer func() { files.Close() }()
	var st unix.Stat_t
	if err := unix.Fstat(files.Ring, &st); err != nil {
		return nil, err
	}
	return b.rings.get(key, fileID{st.Dev, st.Ino}, func() (_ *mapping, err error) {
		m := &mapping{lock: -1}
		defer func() {
			if err != nil {
				if m.lock >= 0 {
					unix.Close(m.lock)
				}
				unwatch(m.files)
			}
		}()
		if m.lock, err = lockToRepair(files.LocksP); err != nil {
			return nil, err
		}
		if key.access != shmring.Inspect {
			if m.files, err = watchFDs(files); err != nil {
				return nil, err
			}
		}
		taken := files
		files = shmring.Files{Ring: -1, Cursors: -1, Control: -1, LocksP: -1, LocksC: -1}
		m.ring, err = shmring.Attach(taken, key.access)
		return m, err
	})
}

// lockToRepair returns another descriptor of the lock file, or -1 if it came without the right to set locks.
func lockToRepair(fd int) (int, error) {
	mode, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || mode&unix.O_ACCMODE != unix.O_RDWR {
		return -1, os.NewSyscallError("fcntl(F_GETFL)", err)
	}
	// Lest a repair of a handle in another goroutine be taken for this one's, the slot's own descriptor is not used.
	lock, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return lock, os.NewSyscallError("fcntl(F_DUPFD_CLOEXEC)", err)
}

// giveBack tells the broker that a slot is free, so that its list of clients is right. It waits for the answer, for a later
// grant may be the same slot again; but not for long, since the slot's lock has fallen and says the same.
func (b *broker) giveBack(a *control.Attached, topic *mapping) {
	b.rings.sweep()
	if end := topic.ending(); end != nil && !end.evicted {
		return // by its name the broker knows another one, if any
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// The lock may outlive the close of this process's descriptor for an instant: in the broker's own copy, which it closes
	// after it has sent it, or in a child between fork and exec. Then the broker finds it held.
	for pause := time.Millisecond; pause < 100*time.Millisecond; pause *= 2 {
		_, err := ask[*control.OK](ctx, b, &control.Detach{Topic: a.Topic, Role: a.Role, Slot: a.Slot})
		if !errors.Is(err, ErrInUse) {
			return
		}
		time.Sleep(pause)
	}
}

func (b *broker) producer(ctx context.Context, name string, o attachOptions) (attachment, error) {
	return b.attach(ctx, &control.AttachProducer{Topic: name}, shmring.Produce, o)
}

func (b *broker) consumer(ctx context.Context, name string, o subscribeOptions) (attachment, error) {
	return b.attach(ctx, &control.AttachConsumer{
		Topic: name, Slow: control.Slow(o.slow), Credit: o.credit, PatienceNs: uint64(o.patience), Group: o.group, Fanout: o.fanout,
	}, shmring.Consume, o.attachOptions)
}

func (b *broker) inspector(ctx context.Context, name string) (attachment, error) {
	return b.attach(ctx, &control.AttachInspect{Topic: name}, shmring.Inspect, attachOptions{})
}

func (b *broker) create(ctx context.Context, c topic.Config) error {
	raw, err := encodeConfig(c)
	if err == nil {
		_, err = ask[*control.OK](ctx, b, &control.CreateTopic{Config: raw})
	}
	return err
}

func (b *broker) remove(ctx context.Context, name string) error {
	_, err := ask[*control.OK](ctx, b, &control.DeleteTopic{Topic: name})
	b.rings.sweep()
	return err
}

func (b *broker) topics(ctx context.Context) ([]TopicState, error) {
	var list []TopicState
	for after := ""; ; {
		page, err := ask[*control.Topics](ctx, b, &control.ListTopics{After: after})
		if err != nil {
			return nil, err
		}
		for _, t := range page.Topics {
			c, err := decodeConfig(t.Name, t.Config)
			if err != nil {
				t.State, t.Fault = control.TopicDamaged, err.Error()
			}
			list = append(list, TopicState{c, t.State.String(), t.CreatedNs, t.Fault})
			after = t.Name
		}
		if !page.More || len(page.Topics) == 0 {
			return list, nil
		}
	}
}

func (b *broker) clients(ctx context.Context) ([]Client, error) {
	var list []Client
	last := uint64(0)
	for next := (control.ListClients{}); ; {
		page, err := ask[*control.Clients](ctx, b, &next)
		if err != nil {
			return nil, err
		}
		for _, c := range page.Clients {
			if len(list) == 0 || c.Session != last {
				list = append(list, Client{c.Session, c.Name, c.Software, int(c.PID), int(c.UID), int(c.GID), time.Unix(0, int64(c.SinceNs)), nil})
				last = c.Session
			}
			at := &list[len(list)-1]
			for _, s := range c.Slots { // a client's slots may go on in the next page
				at.Slots = append(at.Slots, Slot{s.Topic, s.Role.String(), int(s.Slot)})
			}
		}
		if !page.More || len(page.Clients) == 0 {
			return list, nil
		}
		next = control.ListClients{From: page.Next, Skip: page.NextSkip}
	}
}

func (b *broker) dir() string { return b.current().Welcome().Dir }

func (b *broker) serves() string { return b.current().Welcome().Software }

func (b *broker) close() error {
	b.end()
	b.keeper.Wait()
	return errors.Join(b.current().Close(), b.rings.close())
}
