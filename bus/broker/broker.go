package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/uds"
)

const (
	// helloPatience is how long a client may take to say Hello, readPatience to take an answer off its full socket.
	helloPatience = 10 * time.Second
	readPatience  = 10 * time.Second
	// farewell is how long a client may take to read what it is told when the broker ends.
	farewell = time.Second
	// rounds is how often the broker looks for deaths that no connection told of.
	rounds = time.Second
)

// Broker is the control plane of one bus directory. Its methods may be called by several goroutines at once.
type Broker struct {
	config   Config
	log      *slog.Logger
	lock     *os.File // flock on the directory
	listener uds.Listener
	rights   *rightsTable
	metrics  net.Listener // nil without

	helloPatience, readPatience time.Duration

	lockLost  sync.Once // it is told once
	sessions  sync.WaitGroup
	reaping   sync.Mutex // held by who looks at locks, around mu
	reloading sync.Mutex // held by who reloads, around mu; config is written under both

	mu        sync.Mutex
	topics    map[string]*entry
	connected map[uint64]*session
	lastID    uint64
	slots     map[slotKey]*holding
	perUser   map[uint32]int // of slots
	closing   bool
	running   bool
	closed    bool
}

// New makes a broker: it takes the directory, adopts the topics that are there, creates the configured ones that are
// missing, and listens. Clients can connect once it has returned, and are served once Run is called. It blocks for about a
// millisecond per 4 MiB that are created.
//
// Errors: those of [Config.Validate]; a [*Fault] each for users and groups that this host does not know; [ErrRunning] when another broker has the directory; [ErrDirectory]; [ErrLimit] and
// shmring.ErrNoSpace for topics that do not fit; what uds.Listen returns. Some have a method Hint() string.
func New(c Config) (*Broker, error) {
	return newBroker(c, systemAccounts{})
}

func newBroker(c Config, who accounts) (_ *Broker, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Socket == "" {
		return nil, errors.New("broker.socket: it is empty: name the path of the socket")
	}
	b := &Broker{
		config: c, log: c.Logger, rights: newRights(who), helloPatience: helloPatience, readPatience: readPatience,
		topics: map[string]*entry{}, connected: map[uint64]*session{}, slots: map[slotKey]*holding{}, perUser: map[uint32]int{},
	}
	if b.log == nil {
		b.log = slog.Default()
	}
	if err := joinFaults(b.rights.faults(c)); err != nil {
		return nil, err
	}
	_, statErr := os.Lstat(c.Dir)
	missing := errors.Is(statErr, fs.ErrNotExist)
	if err := prepareDir(c.Dir); err != nil {
		return nil, err
	}
	if b.lock, err = lockDir(c.Dir, c.Socket); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			if b.listener != nil {
				b.listener.Close()
			}
			if missing { // what this start made, it takes away again, unless there is something in it by now
				err = errors.Join(err, removeDir(c.Dir))
			}
			b.release()
		}
	}()
	if err := b.listen(); err != nil {
		return nil, err
	}
	if err := b.listenMetrics(); err != nil {
		return nil, err
	}
	if err := b.adopt(); err != nil {
		return nil, err
	}
	if err := b.createConfigured(); err != nil {
		return nil, err
	}
	b.reportConfig()
	return b, nil
}

// listen comes before topics are made: a start that fails for its socket leaves none. Clients wait until the broker runs.
func (b *Broker) listen() (err error) {
	if err := makeSocketDir(b.config.Socket); err != nil {
		return err
	}
	options := control.SocketOptions()
	options.Group = b.config.Group
	b.listener, err = uds.Listen(b.config.Socket, options)
	return err
}

// makeSocketDir makes the socket's own directory (/run/myc, $XDG_RUNTIME_DIR/myc) if it is missing; who may connect is the
// socket's mode to say.
func makeSocketDir(socket string) error {
	err := os.Mkdir(filepath.Dir(socket), 0o755)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return withHint(fmt.Errorf("create the socket's directory: %w", err), "choose another socket with --socket, or create that directory's parent")
	}
	return nil
}

// createConfigured makes the topics of the configuration that are not there.
func (b *Broker) createConfigured() error {
	for _, c := range b.config.Topics {
		if _, there := b.topics[c.Name]; there {
			continue // adopted, or damaged and reported
		}
		err := b.create(c)
		if e, ok := errors.AsType[*control.Error](err); ok && e.Code == control.CodeLimit {
			return withHint(fmt.Errorf("%w: %w", ErrLimit, err), "%s", e.Hint)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reportConfig logs what the configuration asks for and does not get.
func (b *Broker) reportConfig() {
	for _, e := range b.topics {
		b.reportStrays(e.name, e.config())
	}
}

// reportStrays logs which entries of a topic's lists let nobody in: those of a topic that was made by a client, or is from another
// time, or of whom the host cannot tell now.
func (b *Broker) reportStrays(name string, c topic.Config) {
	for _, s := range b.rights.strays(c) {
		b.log.Warn("nobody has this right yet", "topic", name, "list", s.list, "entry", s.entry, "reason", s.err)
	}
}

// Socket returns the path of the socket, Dir that of the bus directory.
func (b *Broker) Socket() string { return b.config.Socket }
func (b *Broker) Dir() string    { return b.config.Dir }

// Run serves clients until ctx ends, then tells them, hangs up, and returns nil: the topics stay as they are for the next
// broker, and attached clients go on. It tells systemd that it is ready, and keeps its watchdog quiet as long as requests
// can be served. Run and Close end the broker; it can be run once.
func (b *Broker) Run(ctx context.Context) error {
	b.mu.Lock()
	if b.closed || b.running {
		b.mu.Unlock()
		return ErrClosed
	}
	b.running = true
	topics := len(b.topics) // a reload may come at once
	b.mu.Unlock()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var helpers sync.WaitGroup
	helpers.Go(func() { b.lookAround(ctx) })
	helpers.Go(func() { b.notifySystemd(ctx) })
	helpers.Go(func() { b.serveMetrics(ctx) })
	helpers.Go(func() { // ends Accept
		<-ctx.Done()
		if err := b.listener.Close(); err != nil {
			b.log.Error("close the socket", "error", err)
		}
	})
	b.goRound() // for clients that died while there was no broker
	b.log.Info("serving", "socket", b.config.Socket, "dir", b.config.Dir, "topics", topics)
	b.accept(ctx)
	stop()
	b.hangUp()
	helpers.Wait()
	b.log.Info("ended: the topics stay")
	return b.release()
}

// Close gives up a broker that was not run. After Run it does nothing.
func (b *Broker) Close() error {
	b.mu.Lock()
	running := b.running
	b.mu.Unlock()
	if running {
		return nil
	}
	return errors.Join(b.listener.Close(), b.release())
}

// release closes the rings and gives the directory up.
func (b *Broker) release() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed, b.closing = true, true
	var errs []error
	for _, e := range b.topics {
		if e.ring != nil {
			errs = append(errs, e.ring.Close())
		}
	}
	if b.metrics != nil {
		_ = b.metrics.Close() // the server has closed it if the broker ran
	}
	return errors.Join(append(errs, b.lock.Close())...)
}

// accept starts a session for each connection, until ctx ends and closes the listener.
func (b *Broker) accept(ctx context.Context) {
	for {
		conn, err := b.listener.Accept()
		if errors.Is(err, uds.ErrClosed) || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// As when this process has no descriptor left: what passes is waited for.
			b.log.Error("accept", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		b.welcome(ctx, conn)
	}
}

// welcome starts a session, or refuses it at the limit of connections.
func (b *Broker) welcome(ctx context.Context, conn uds.Conn) {
	s := newSession(b, conn)
	b.mu.Lock()
	n, limit := len(b.connected), b.config.MaxClients
	full := n >= limit
	if !full {
		b.lastID++
		s.id = b.lastID
		b.connected[s.id] = s
	}
	b.mu.Unlock()
	if !full {
		b.sessions.Go(func() { s.serve(ctx) })
		return
	}
	b.log.Warn("connection refused: max_clients is reached", "clients", n, "peer", s.peer.String())
	refusal := control.Errorf(control.CodeLimit, "max_clients is reached: %d of %d are connected", n, limit).
		WithHint("close clients that are not needed, or raise max_clients")
	if msg, err := control.Encode(0, refusal); err == nil {
		_ = conn.TrySend(msg) // a new connection has room, and who has hung up already does not want to know
	}
	_ = conn.Close()
}

// hangUp tells every client that the broker ends, and waits until all sessions have.
func (b *Broker) hangUp() {
	b.mu.Lock()
	b.closing = true
	b.mu.Unlock()
	b.sessions.Wait()
}

// lookAround goes the rounds until ctx ends.
func (b *Broker) lookAround(ctx context.Context) {
	tick := time.NewTicker(rounds)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.goRound()
		}
	}
}
