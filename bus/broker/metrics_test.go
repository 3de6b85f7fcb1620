package broker

import (
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/mycelium-bus/mycelium/bus/internal/control"
	"github.com/mycelium-bus/mycelium/bus/topic"
	"github.com/mycelium-bus/mycelium/internal/leak"
	"github.com/mycelium-bus/mycelium/shmring"
)

// scrape reads a broker's metrics as Prometheus does, and returns the values by what stands before them, labels in the order of their names.
func scrape(t *testing.T, address string) map[string]float64 {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("%s, %v, %s:\n%s", resp.Status, err, resp.Header.Get("Content-Type"), text)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	values := map[string]float64{}
	doc := string(must(os.ReadFile("../../docs/reference/metrics.md")))
	for name, f := range families {
		row, listed := documentedMetrics(doc)[name]
		if want := strings.TrimSuffix(f.GetHelp(), "."); !listed || row.meaning != want {
			t.Errorf("docs/reference/metrics.md says of %s %q, want %q", name, row.meaning, want)
		}
		if f.GetHelp() == "" || !strings.HasPrefix(name, "myc_") {
			t.Errorf("%s: help %q", name, f.GetHelp())
		}
		for _, m := range f.GetMetric() {
			var labels, names []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
				names = append(names, l.GetName())
			}
			if want := slices.Sorted(slices.Values(strings.Fields(row.labels))); !slices.Equal(names, want) {
				t.Errorf("%s has the labels %q, docs/reference/metrics.md says %q", name, names, want)
			}
			values[name+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

// metricRow is what the page says of a metric.
type metricRow struct{ labels, meaning string }

func documentedMetrics(doc string) map[string]metricRow {
	rows := map[string]metricRow{}
	for line := range strings.Lines(doc) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.HasPrefix(cells[1], " `myc_") {
			rows[strings.Trim(cells[1], " `")] = metricRow{strings.Trim(cells[2], " `"), strings.TrimSpace(cells[3])}
		}
	}
	return rows
}

func wantValues(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if v, there := got[name]; !there || v != value {
			t.Errorf("%s is %v (there: %v), want %v", name, v, there, value)
		}
	}
}

func TestMetricsAreScraped(t *testing.T) {
	c := testConfig(t)
	c.Metrics = ":0"
	c.Topics[0].Group = []topic.Group{{Name: "jobs"}}
	b := start(t, c)
	if host, _, err := net.SplitHostPort(b.MetricsAddr()); err != nil || host != "127.0.0.1" {
		t.Fatalf("metrics at %s, want the loopback", b.MetricsAddr())
	}
	cl := b.client("client")
	p := cl.producer("a")
	r := cl.reader(&control.AttachConsumer{Topic: "a", Slow: control.SlowDrop})
	for range 3 {
		if err := p.Publish([]byte("12345678")); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := r.Next(); !ok {
		t.Fatal(r.Err())
	}
	r.Release()
	got := scrape(t, b.MetricsAddr())
	for name := range documentedMetrics(string(must(os.ReadFile("../../docs/reference/metrics.md")))) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(got)), func(series string) bool { return strings.HasPrefix(series, name+"{") }) {
			t.Errorf("docs/reference/metrics.md lists %s, and there is none", name)
		}
	}
	wantValues(t, got, map[string]float64{
		"myc_topic_room_bytes{topic=b}": 0, // nobody has looked for room there yet
		"myc_broker_clients{}":          1, "myc_broker_max_clients{}": 1000, "myc_broker_slots{}": 2, "myc_broker_topics{state=active}": 2,
		"myc_broker_topics{state=damaged}": 0, "myc_broker_max_topics{}": 256, "myc_broker_max_memory_bytes{}": 4 << 30,
		"myc_topic_messages_total{topic=a}": 3, "myc_topic_bytes_total{topic=a}": 24, "myc_topic_size_bytes{topic=a}": 64 << 10,
		"myc_topic_tail_position{topic=a}": 64<<10 + 96, "myc_topic_producers{topic=a}": 1, "myc_topic_messages_total{topic=b}": 0,
		"myc_producer_messages_total{client=test,id=p0.1,topic=a}":                      3,
		"myc_producer_alive{client=test,id=p0.1,topic=a}":                               1,
		"myc_producer_open_claim{client=test,id=p0.1,topic=a}":                          0,
		"myc_consumer_lag_bytes{client=test,group=,id=c0.1,mode=drop,topic=a}":          64,
		"myc_consumer_messages_total{client=test,group=,id=c0.1,mode=drop,topic=a}":     1,
		"myc_consumer_dropped{client=test,group=,id=c0.1,mode=drop,topic=a}":            0,
		"myc_consumer_missed_bytes_total{client=test,group=,id=c0.1,mode=drop,topic=a}": 0,
		"myc_group_lag_bytes{group=jobs,topic=a}":                                       96,
		"myc_group_members{group=jobs,topic=a}":                                         0,
		"myc_group_parked{group=jobs,topic=a}":                                          0,
	})
	if got["myc_broker_memory_bytes{}"] < 2*64<<10 || got["myc_topic_room_bytes{topic=a}"] <= 0 {
		t.Errorf("memory %v, room %v", got["myc_broker_memory_bytes{}"], got["myc_topic_room_bytes{topic=a}"])
	}

	// One whose files were cut short is counted as damaged, and the others are there.
	if err := os.Truncate(filepath.Join(c.Dir, "a", "control"), 4096); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the damage is noticed", func() bool { return scrape(t, b.MetricsAddr())["myc_broker_topics{state=damaged}"] == 1 })
	got = scrape(t, b.MetricsAddr())
	wantValues(t, got, map[string]float64{"myc_broker_topics{state=damaged}": 1, "myc_topic_messages_total{topic=b}": 0})
}

// Scrapes go on beside clients that attach, publish and leave, and topics that come and go.
func TestMetricsUnderLoad(t *testing.T) {
	c := testConfig(t)
	c.Metrics = "127.0.0.1:0"
	b := start(t, c)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	cl, admin := b.client("busy"), b.client("admin")
	busy.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			a := cl.attachRaw(&control.AttachProducer{Topic: "a"})
			ring, err := shmring.Attach(a.files, shmring.Produce)
			if err != nil {
				t.Error(err)
				return
			}
			p, err := ring.Producer(shmring.Grant{Slot: int(a.Slot), Lock: a.lock}, "busy")
			if err == nil {
				_ = p.Publish([]byte("x"))
				err = p.Close()
			}
			if err != nil {
				t.Error(err)
			}
			ring.Close()
		}
	})
	busy.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				admin.ask(&control.CreateTopic{Config: jsonOf(small("x"))})
				admin.ask(&control.DeleteTopic{Topic: "x"})
			}
		}
	})
	for range 50 {
		scrape(t, b.MetricsAddr())
	}
	close(stop)
	busy.Wait()
}

func TestAMetricsAddressThatIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := testConfig(t)
	c.Dir, c.Metrics = filepath.Join(leak.ShmDir(t), "new"), taken.Addr().String()
	_, err = New(c)
	if err == nil || !strings.Contains(err.Error(), "serve metrics at broker.metrics") {
		t.Fatalf("%v", err)
	}
	if h, ok := err.(interface{ Hint() string }); ok {
		contains(t, "the hint", h.Hint(), "another address")
	}
}
