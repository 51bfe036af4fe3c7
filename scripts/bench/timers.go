package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/identitymesh/okta-connector/internal/stack"
)

// timer is the sum of a worker's timer: activities run side by side, so it may be
// longer than the import.
type timer struct {
	Name  string `json:"name"`
	Ms    int64  `json:"ms"`
	Count int64  `json:"count"`
}

// The worker's metrics that are read; one that it does not have is left out.
const callsMetric = "identitymesh_okta_calls_total"

var timerMetrics = []struct{ metric, name string }{
	{"identitymesh_okta_call_latency_seconds", "calls to Okta"},
	{"identitymesh_mapping_latency_seconds", "mapping"},
	{"identitymesh_store_latency_seconds", "writing to the store"},
}

// scrapeLimit is how long the worker may take to report all calls; it reports once a
// second.
const scrapeLimit = 10 * time.Second

// timers reads a worker's timers once it has counted all the calls of an import.
func timers(ctx context.Context, worker *stack.Process, calls int) ([]timer, error) {
	url, err := metricsURL(ctx, worker)
	if err != nil {
		return nil, err
	}
	for over := time.Now().Add(scrapeLimit); ; {
		text, err := scrape(ctx, url)
		if err != nil {
			return nil, err
		}
		counted, sums, err := readTimers(text)
		if err != nil {
			return nil, err
		}
		if counted >= calls || time.Now().After(over) {
			return sums, nil
		}
		if err := pause(ctx, time.Second/5); err != nil {
			return nil, err
		}
	}
}

// metricsURL finds a worker's /metrics in its log.
func metricsURL(ctx context.Context, worker *stack.Process) (string, error) {
	line, err := worker.WaitFor(ctx, "/metrics")
	if err != nil {
		return "", err
	}
	var entry struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.URL == "" {
		return "", fmt.Errorf("the worker did not say where its metrics are: %q", line)
	}
	return entry.URL, nil
}

func scrape(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("read the worker's metrics: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("read the worker's metrics: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("read the worker's metrics: %w", err)
	}
	return string(b), nil
}

// readTimers sums the timers of a Prometheus text, and the calls to Okta.
func readTimers(text string) (calls int, sums []timer, _ error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	metrics, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return 0, nil, fmt.Errorf("read the worker's metrics: %w", err)
	}
	for _, m := range metrics[callsMetric].GetMetric() {
		calls += int(m.GetCounter().GetValue())
	}
	for _, want := range timerMetrics {
		var seconds float64
		var count int64
		for _, m := range metrics[want.metric].GetMetric() {
			seconds += m.GetHistogram().GetSampleSum()
			count += int64(m.GetHistogram().GetSampleCount()) //nolint:gosec // a counter that began with the worker
		}
		if count > 0 {
			sums = append(sums, timer{want.name, int64(seconds * 1000), count})
		}
	}
	return calls, sums, nil
}
