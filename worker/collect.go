package main

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
)

// collectTimeout bounds the questions to the mesh during a scrape: Prometheus gives up
// after 10 s unless told otherwise.
const collectTimeout = 5 * time.Second

// meshCollector shows how every connector stands. It asks the mesh at every scrape, so
// that the numbers are right after a restart and the same in every worker; aggregate them
// with max, not with sum.
type meshCollector struct {
	store  mesh.Observer
	logger *zap.Logger
}

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("identitymesh_"+name, help, labels, nil)
}

var (
	meshUp         = newDesc("mesh_up", "1 when the mesh database answered this scrape, else 0.")
	connectorMade  = newDesc("connector_created_timestamp_seconds", "When the connector was defined.", "connector")
	runsTotal      = newDesc("runs_total", "Runs that ended, ever.", "connector", "mode", "outcome")
	runEnded       = newDesc("run_ended_timestamp_seconds", "When the newest run of a mode with an outcome ended.", "connector", "mode", "outcome")
	runDuration    = newDesc("run_duration_seconds", "How long that run took, waits included.", "connector", "mode", "outcome")
	runStarted     = newDesc("run_in_progress_started_timestamp_seconds", "When the run in progress started; absent between runs.", "connector", "mode")
	changesTotal   = newDesc("changes_total", "Rows that runs wrote to the change feed, ever.", "connector", "type", "operation")
	deletesHeld    = newDesc("deletes_held", "Deletes that wait for an operator.", "connector", "type")
	holdOpened     = newDesc("hold_opened_timestamp_seconds", "When the open hold was opened; absent without one.", "connector")
	holdExpires    = newDesc("hold_expires_timestamp_seconds", "When the open hold expires and nothing is deleted.", "connector")
	watermarkStamp = newDesc("watermark_timestamp_seconds", "The stamp from which the next delta reads a type.", "connector", "type")
)

// Describe implements [prometheus.Collector].
func (c *meshCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		meshUp, connectorMade, runsTotal, runEnded, runDuration, runStarted,
		changesTotal, deletesHeld, holdOpened, holdExpires, watermarkStamp,
	} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *meshCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	all, err := c.store.Standings(ctx)
	if err != nil {
		c.logger.Warn("The mesh did not answer a scrape", zap.Error(err))
		out <- gauge(meshUp, 0)
		return
	}
	out <- gauge(meshUp, 1)
	for _, s := range all {
		collectStanding(out, s)
	}
}

func collectStanding(out chan<- prometheus.Metric, s mesh.Standing) {
	name := s.Connector
	stamp := func(d *prometheus.Desc, at time.Time, labels ...string) {
		if !at.IsZero() {
			out <- gauge(d, float64(at.UnixMilli())/1000, append([]string{name}, labels...)...)
		}
	}
	stamp(connectorMade, s.CreatedAt)
	counted := expectedEnds()
	for _, e := range s.Ends {
		how := [2]string{label(e.Mode), label(string(e.Outcome))}
		delete(counted, how)
		out <- counter(runsTotal, e.Runs, name, how[0], how[1])
		stamp(runEnded, e.EndedAt, how[0], how[1])
		out <- gauge(runDuration, e.Duration.Seconds(), name, how[0], how[1])
	}
	for how := range counted {
		out <- counter(runsTotal, 0, name, how[0], how[1])
	}
	for mode, at := range s.Running {
		stamp(runStarted, at, label(mode))
	}
	for _, typ := range mesh.ObjectTypes {
		n := s.Changes[typ]
		out <- counter(changesTotal, n.Added, name, string(typ), "add")
		out <- counter(changesTotal, n.Updated, name, string(typ), "update")
		out <- counter(changesTotal, n.Deleted, name, string(typ), "delete")
		out <- gauge(deletesHeld, float64(s.Held[typ]), name, string(typ))
	}
	stamp(holdOpened, s.HoldOpened)
	stamp(holdExpires, s.HoldExpires)
	if m := s.Watermark.Users; m != nil {
		stamp(watermarkStamp, m.Time, string(mesh.User))
	}
	if m := s.Watermark.Groups; m != nil {
		stamp(watermarkStamp, m.Time, string(mesh.Group))
	}
}

// expectedEnds are shown as 0 before the first run that ended so: a rate sees the first.
func expectedEnds() map[[2]string]bool {
	ends := map[[2]string]bool{}
	for _, mode := range []string{activities.ModeFull, activities.ModeDelta} {
		for _, outcome := range []mesh.Outcome{mesh.Completed, mesh.HeldDeletes, mesh.Failed} {
			ends[[2]string{label(mode), label(string(outcome))}] = true
		}
	}
	return ends
}

// label is a mode or an outcome as a label: full, held_deletes.
func label(word string) string {
	if word == string(mesh.HeldDeletes) {
		return "held_deletes"
	}
	return strings.ToLower(word)
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(d *prometheus.Desc, n int, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

// budgetCollector shows what is left of the orgs' rate limits, as this worker knows it.
type budgetCollector struct{ budgets *activities.Budgets }

var (
	rateLimit     = newDesc("okta_rate_limit_calls", "Calls that a window of the bucket allows this token.", "org", "bucket")
	rateRemaining = newDesc("okta_rate_limit_remaining_calls", "Calls left in the bucket's window.", "org", "bucket")
	inFlight      = newDesc("okta_in_flight_calls", "Calls that wait for Okta's answer.", "org")
	inFlightCap   = newDesc("okta_in_flight_cap_calls", "How many may wait since Okta found them too many; absent without a cap.", "org")
)

// Describe implements [prometheus.Collector].
func (c *budgetCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{rateLimit, rateRemaining, inFlight, inFlightCap} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *budgetCollector) Collect(out chan<- prometheus.Metric) {
	for _, b := range c.budgets.All() {
		for _, r := range b.Rates {
			out <- gauge(rateLimit, float64(r.Limit), b.Org, r.Bucket)
			out <- gauge(rateRemaining, float64(r.Remaining), b.Org, r.Bucket)
		}
		out <- gauge(inFlight, float64(b.InFlight), b.Org)
		if b.Cap > 0 {
			out <- gauge(inFlightCap, float64(b.Cap), b.Org)
		}
	}
}
