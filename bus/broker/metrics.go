package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/shmring"
)

// Metrics are read from the topics' slots when somebody asks for them, as tools do: no message costs more for them, and nobody who
// publishes or subscribes takes part. The names are the keys of `myc-ctl topic inspect -o json`.

// listenMetrics opens the address for metrics, if there is one. Without a host it is the loopback's: what is on a bus is not for everybody.
func (b *Broker) listenMetrics() error {
	if b.config.Metrics == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(b.config.Metrics)
	if err == nil {
		if host == "" {
			host = "127.0.0.1"
		}
		b.metrics, err = net.Listen("tcp", net.JoinHostPort(host, port))
	}
	if err != nil {
		return withHint(fmt.Errorf("serve metrics at broker.metrics = %q: %w", b.config.Metrics, err), `choose another address, or "" for none`)
	}
	return nil
}

// MetricsAddr returns where metrics are served, at /metrics, or "".
func (b *Broker) MetricsAddr() string {
	if b.metrics == nil {
		return ""
	}
	return b.metrics.Addr().String()
}

// serveMetrics answers scrapes until ctx ends.
func (b *Broker) serveMetrics(ctx context.Context) {
	if b.metrics == nil {
		return
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{b})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "metrics are at /metrics") })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	unhook := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer unhook()
	b.log.Info("serving metrics", "address", b.MetricsAddr())
	if err := server.Serve(b.metrics); err != nil && !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
		b.log.Error("serve metrics", "error", err)
	}
}

// metric is a figure's name and what it means.
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("myc_"+name, help, labels, nil)
}

var (
	ofTopic    = []string{"topic"}
	ofProducer = []string{"topic", "id", "client"}
	ofConsumer = []string{"topic", "id", "client", "mode", "group"}
	ofGroup    = []string{"topic", "group"}
)

// Each group of figures is one look: at the broker's books, at a topic, at a slot.
var (
	brokerClients     = metric("broker_clients", "Connected clients.")
	brokerMaxClients  = metric("broker_max_clients", "The limit of connected clients.")
	brokerSlots       = metric("broker_slots", "Producer and consumer slots that were granted and are in use.")
	brokerTopics      = metric("broker_topics", "Topics by state: active, creating, damaged.", "state")
	brokerMaxTopics   = metric("broker_max_topics", "The limit of topics.")
	brokerMemory      = metric("broker_memory_bytes", "Bytes of all topics' files.")
	brokerMaxMemory   = metric("broker_max_memory_bytes", "The limit of the bytes of all topics' files.")
	topicSize         = metric("topic_size_bytes", "Bytes of the topic's ring.", ofTopic...)
	topicTail         = metric("topic_tail_position", "Position of the next message in the ring, in bytes; the first one is the ring's size.", ofTopic...)
	topicRoom         = metric("topic_room_bytes", "Bytes that publishers may write before they look for more room, at most a quarter of the ring; 0 is normal.", ofTopic...)
	topicMessages     = metric("topic_messages_total", "Messages published since the topic was made.", ofTopic...)
	topicBytes        = metric("topic_bytes_total", "Bytes of these messages, without headers and padding.", ofTopic...)
	topicProducers    = metric("topic_producers", "Publishers that are attached.", ofTopic...)
	topicConsumers    = metric("topic_consumers", "Subscriptions that are attached.", ofTopic...)
	producerMessages  = metric("producer_messages_total", "Messages published by this handle.", ofProducer...)
	producerBytes     = metric("producer_bytes_total", "Bytes of these messages.", ofProducer...)
	producerPressure  = metric("producer_back_pressured_ns_total", "Nanoseconds in which there was no room for this handle, counted when there is again.", ofProducer...)
	producerOpenClaim = metric("producer_open_claim", "1 while a claim is open, before which readers may wait.", ofProducer...)
	producerAlive     = metric("producer_alive", "0 for one that has died and is not repaired yet.", ofProducer...)
	consumerLag       = metric("consumer_lag_bytes", "Bytes of the ring between its position and the newest message.", ofConsumer...)
	consumerCredit    = metric("consumer_credit_bytes", "Bytes that it may lag before publishers wait.", ofConsumer...)
	consumerMessages  = metric("consumer_messages_total", "Messages handled by this handle.", ofConsumer...)
	consumerBytes     = metric("consumer_bytes_total", "Bytes of these messages.", ofConsumer...)
	consumerMissed    = metric("consumer_missed_bytes_total", "Bytes of the ring that were overwritten before it came to them.", ofConsumer...)
	consumerLaps      = metric("consumer_laps_total", "How often it missed some.", ofConsumer...)
	consumerDropped   = metric("consumer_dropped", "1 while publishers do not wait for it any more.", ofConsumer...)
	consumerAlive     = metric("consumer_alive", "0 for one that has died and is not repaired yet.", ofConsumer...)
	groupLag          = metric("group_lag_bytes", "Bytes of the ring between its oldest message that is not acknowledged and the newest one.", ofGroup...)
	groupUnacked      = metric("group_unacknowledged_bytes", "Bytes of the ring in the hands of members.", ofGroup...)
	groupMembers      = metric("group_members", "Members, with the slots that they adopted.", ofGroup...)
	groupOrphans      = metric("group_orphans", "Ranges of messages that members left behind, and nobody has adopted yet.", ofGroup...)
	groupMessages     = metric("group_messages_total", "Messages handed out by all members ever.", ofGroup...)
	groupParked       = metric("group_parked", "Messages that it gave up on, of those that the list still holds.", ofGroup...)
	groupLost         = metric("group_lost_bytes", "Bytes of the ring that it lost, by the losses that the ledger still holds.", ofGroup...)
)

// collector reads a broker's figures.
type collector struct{ b *Broker }

// Describe sends nothing: what there is depends on who is attached.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect looks at the books, then at one topic after the other.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	b := c.b
	states, memory := map[control.TopicState]int{}, uint64(0)
	b.mu.Lock()
	clients, slots, limits := len(b.connected), len(b.slots), b.config
	for _, e := range b.topics {
		states[e.state]++
		memory += e.size
	}
	b.mu.Unlock()
	gauge(brokerClients, float64(clients))
	gauge(brokerMaxClients, float64(limits.MaxClients))
	gauge(brokerSlots, float64(slots))
	for _, s := range []control.TopicState{control.TopicActive, control.TopicCreating, control.TopicDamaged} {
		gauge(brokerTopics, float64(states[s]), s.String())
	}
	gauge(brokerMaxTopics, float64(limits.MaxTopics))
	gauge(brokerMemory, float64(memory))
	gauge(brokerMaxMemory, float64(limits.MaxMemory))
	for _, e := range b.active() {
		c.topic(to, e)
	}
}

func (c *collector) topic(to chan<- prometheus.Metric, e *entry) {
	var info shmring.Info
	var groups []shmring.GroupInfo
	e.use.RLock()
	err := error(shmring.ErrClosed)
	if e.ring != nil {
		err = c.b.look(e, func() (err error) {
			if info, err = e.ring.Inspect(); err == nil {
				groups, err = e.ring.Groups()
			}
			return err
		})
	}
	e.use.RUnlock()
	if err != nil {
		c.b.log.Debug("read a topic's metrics", "topic", e.name, "error", err)
		return // one that is damaged is counted as that
	}
	send := func(kind prometheus.ValueType, d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, v, append([]string{e.name}, labels...)...)
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	send(gauge, topicSize, float64(info.Capacity))
	send(gauge, topicTail, float64(info.Tail))
	send(gauge, topicRoom, float64(max(int64(info.Limit-info.Tail), 0)))
	send(counter, topicMessages, float64(info.Messages))
	send(counter, topicBytes, float64(info.Bytes))
	send(gauge, topicProducers, float64(len(info.Producers)))
	send(gauge, topicConsumers, float64(len(info.Consumers)))
	for _, p := range info.Producers {
		is := []string{p.ID, p.Name}
		send(counter, producerMessages, float64(p.Messages), is...)
		send(counter, producerBytes, float64(p.Bytes), is...)
		send(counter, producerPressure, float64(p.BackPressuredNs), is...)
		send(gauge, producerOpenClaim, one(p.OpenClaim != 0), is...)
		send(gauge, producerAlive, one(p.Alive), is...)
	}
	for _, s := range info.Consumers {
		is := []string{s.ID, s.Name, s.Mode, s.Group}
		send(gauge, consumerLag, float64(s.LagBytes), is...)
		send(gauge, consumerCredit, float64(s.Credit), is...)
		send(counter, consumerMessages, float64(s.Messages), is...)
		send(counter, consumerBytes, float64(s.Bytes), is...)
		send(counter, consumerMissed, float64(s.MissedBytes), is...)
		send(counter, consumerLaps, float64(s.Laps), is...)
		send(gauge, consumerDropped, one(s.Dropped), is...)
		send(gauge, consumerAlive, one(s.Alive), is...)
	}
	for _, g := range groups {
		send(gauge, groupLag, float64(g.LagBytes), g.Name)
		send(gauge, groupUnacked, float64(g.Unacknowledged), g.Name)
		send(gauge, groupMembers, float64(g.Members), g.Name)
		send(gauge, groupOrphans, float64(g.Orphans), g.Name)
		send(counter, groupMessages, float64(g.Messages), g.Name)
		send(gauge, groupParked, float64(g.Parked), g.Name)
		send(gauge, groupLost, float64(g.LostBytes), g.Name)
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
