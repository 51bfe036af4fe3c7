package main

import (
	"context"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/uber-go/tally/v4"
	tallyprom "github.com/uber-go/tally/v4/prometheus"
	"go.temporal.io/sdk/client"
	sdktally "go.temporal.io/sdk/contrib/tally"
	"go.uber.org/zap"

	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/secrets"
)

// metrics are what /metrics shows: what this process counts (tally's, of the SDK and of
// the activities) and what the mesh and the rate limits are at the moment of the scrape
// (collectors). docs/observability.md describes each.
type metrics struct {
	registry *prometheus.Registry
	handler  client.MetricsHandler
	scope    io.Closer
}

// newMetrics starts tally, which reports to the registry once a second.
func newMetrics(logger *zap.Logger) *metrics {
	registry := prometheus.NewRegistry()
	reporter := tallyprom.NewReporter(tallyprom.Options{
		Registerer:       registry,
		Gatherer:         registry,
		DefaultTimerType: tallyprom.HistogramTimerType,
		OnRegisterError:  func(err error) { logger.Warn("A metric could not be registered", zap.Error(err)) },
	})
	scope, closer := tally.NewRootScope(tally.ScopeOptions{
		CachedReporter:  reporter,
		Separator:       tallyprom.DefaultSeparator,
		SanitizeOptions: sanitizeOptions(),
	}, time.Second)
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "identitymesh_build_info", Help: "Always 1; the label tells which build this worker is.",
		ConstLabels: prometheus.Labels{"version": app.VersionString()},
	})
	build.Set(1)
	registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &metrics{
		registry: registry,
		handler:  sdktally.NewMetricsHandler(sdktally.NewPrometheusNamingScope(scope)),
		scope:    closer,
	}
}

// sanitizeOptions are the SDK's for Prometheus, but a label's value may be any
// printable text: an endpoint keeps its slashes.
func sanitizeOptions() *tally.SanitizeOptions {
	o := sdktally.PrometheusSanitizeOptions
	o.ValueCharacters = tally.ValidCharacters{Ranges: []tally.SanitizeRange{{' ', '~'}}}
	return &o
}

func (m *metrics) close() { _ = m.scope.Close() } // the process ends

// countedSecrets counts the references that could not be resolved.
type countedSecrets struct {
	secrets.Resolver

	failures func() // one more
}

// countSecrets counts the failures of a backend, from 0 on: an alert sees the first one.
func countSecrets(r secrets.Resolver, backend string, handler client.MetricsHandler) secrets.Resolver {
	counter := handler.WithTags(map[string]string{"backend": backend}).Counter("identitymesh_secret_resolve_failures")
	return &countedSecrets{r, func() { counter.Inc(1) }}
}

// Resolve implements [secrets.Resolver].
func (c *countedSecrets) Resolve(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
	v, err := c.Resolver.Resolve(ctx, ref)
	if err != nil && ctx.Err() == nil {
		c.failures()
	}
	return v, err
}
