package integration

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// watched starts a worker that is watched, and returns its address: http://host:port.
func (w *world) watched(args ...string) (*stack.Process, string) {
	w.Helper()
	p, err := w.stack.Worker(w.Context(), w.env(), append([]string{"--metrics-addr", "127.0.0.1:0"}, args...)...)
	require.NoError(w, err)
	line, err := p.WaitFor(w.Context(), `"msg":"Metrics"`)
	require.NoError(w, err)
	var entry struct{ URL string }
	decode(w, line, &entry)
	return p, strings.TrimSuffix(entry.URL, "/metrics")
}

// get asks a worker, whatever it answers; code 0: it does not answer.
func (w *world) get(url string) (code int, body string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, url, nil)
	require.NoError(w, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// scrape reads a worker's metrics as Prometheus does.
func (w *world) scrape(base string) map[string]*dto.MetricFamily {
	w.Helper()
	code, body := w.get(base + "/metrics")
	require.Equal(w, 200, code, body)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	require.NoError(w, err)
	return families
}

// metricDoc is a row of a table of docs/observability.md.
type metricDoc struct {
	kind   string
	labels []string
}

var metricRow = regexp.MustCompile("(?m)^\\| `(identitymesh_[a-z_]+)` \\| ([a-z]+) \\| ([a-z, ]*) ?\\| .+ \\|$")

func documentedMetrics(t *testing.T) map[string]metricDoc {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "observability.md"))
	require.NoError(t, err)
	docs := map[string]metricDoc{}
	for _, m := range metricRow.FindAllStringSubmatch(string(text), -1) {
		labels := strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(labels)
		docs[m[1]] = metricDoc{m[2], labels}
	}
	require.Equal(t, strings.Count(string(text), "\n| `identitymesh_"), len(docs), "every row is understood, none twice")
	return docs
}

// limitsOnce answers the first calls as Okta does when they are too many: one at one time
// and one in a window of a second.
func limitsOnce(sim *oktasim.Server) {
	var calls atomic.Int64
	sim.Intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		limit, wait := "600", time.Second
		switch calls.Add(1) {
		case 2:
		case 5:
			limit, wait = "0", 0
		default:
			return false
		}
		h := rw.Header()
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		h.Set("Content-Type", "application/json")
		h.Set("X-Okta-Request-Id", "request-of-the-429")
		h.Set("X-Rate-Limit-Limit", limit)
		h.Set("X-Rate-Limit-Remaining", "0")
		h.Set("X-Rate-Limit-Reset", strconv.FormatInt(time.Now().Add(wait).Unix(), 10))
		rw.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(rw, `{"errorCode":"E0000047","errorSummary":"API call exceeded rate limit due to too many requests.","errorId":"e1"}`)
		return true
	})
}

// TestEveryMetricIsDocumentedAndSeen runs everything that makes a metric, and compares
// what was scraped with the tables of docs/observability.md.
func TestEveryMetricIsDocumentedAndSeen(t *testing.T) {
	t.Parallel()
	docs := documentedMetrics(t)
	w := newWorld(t, oktasim.Config{Org: generated(t, 400, 20), Latency: 5 * time.Millisecond}, nil)
	limitsOnce(w.sim)
	_, base := w.watched("--notify-command", "true")
	seen := map[string]metricDoc{}
	look := func() map[string]*dto.MetricFamily {
		families := w.scrape(base)
		for name, f := range families {
			if !strings.HasPrefix(name, "identitymesh_") {
				continue
			}
			d := metricDoc{kind: strings.ToLower(f.GetType().String()), labels: []string{}}
			for _, l := range f.GetMetric()[0].GetLabel() {
				d.labels = append(d.labels, l.GetName())
			}
			slices.Sort(d.labels)
			seen[name] = d
		}
		return families
	}
	run := w.start()
	waitFor(w, "a scrape sees the run in progress", func() bool {
		look()
		_, running := seen["identitymesh_run_in_progress_started_timestamp_seconds"]
		_, capped := seen["identitymesh_okta_in_flight_cap_calls"]
		return running && capped
	})
	row := w.wait(run)
	require.Equal(t, "Completed", row.Outcome, row.Error)
	deactivate(w, 60)
	held(w, "delta", 60)
	var families map[string]*dto.MetricFamily
	missing := func() []string {
		families = look()
		var names []string
		for _, name := range slices.Sorted(maps.Keys(docs)) {
			if _, ok := seen[name]; !ok {
				names = append(names, name)
			}
		}
		return names
	}
	var left []string
	defer func() {
		if t.Failed() {
			t.Log("not seen:", left)
		}
	}()
	waitFor(w, "tally reports once a second", func() bool { left = missing(); return len(left) == 0 })
	for name, d := range seen {
		require.Equal(t, docs[name], d, "%s: documented and as it is", name)
	}

	// What the mesh says is what happened.
	require.InDelta(t, 60, value(families, "identitymesh_deletes_held", "connector", w.name, "type", "User"), 0)
	require.InDelta(t, row.Counts["GroupMember"].Added, value(families, "identitymesh_changes_total", "type", "GroupMember", "operation", "add"), 0)
	require.InDelta(t, 1, value(families, "identitymesh_runs_total", "mode", "full", "outcome", "completed"), 0)
	require.InDelta(t, 1, value(families, "identitymesh_runs_total", "mode", "delta", "outcome", "held_deletes"), 0)
	require.Positive(t, value(families, "identitymesh_okta_calls_total", "status", "429"))
	for _, name := range []string{"temporal_worker_task_slots_available", "temporal_long_request_total", "temporal_activity_execution_latency_seconds"} {
		require.Contains(t, families, name, "the SDK's own")
	}

	// Another worker shows the same of the mesh, although it has done nothing.
	_, other := w.watched()
	fresh := w.scrape(other)
	for _, name := range []string{"identitymesh_runs_total", "identitymesh_run_ended_timestamp_seconds", "identitymesh_changes_total", "identitymesh_deletes_held", "identitymesh_hold_expires_timestamp_seconds"} {
		require.Equal(t, families[name].String(), fresh[name].String())
	}
}

// value is the sum of the samples of a metric that have these labels.
func value(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	var sum float64
samples:
	for _, m := range families[name].GetMetric() {
		for i := 0; i < len(labels); i += 2 {
			if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == labels[i] && l.GetValue() == labels[i+1] }) {
				continue samples
			}
		}
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return sum
}

// readiness is what /readyz says of each part.
func (w *world) readiness(base string) (code int, parts map[string]string) {
	w.Helper()
	code, body := w.get(base + "/readyz")
	if code != 0 {
		require.NoError(w, json.Unmarshal([]byte(body), &parts), body)
	}
	return code, parts
}
