package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/uber-go/tally/v4"
	tallyprom "github.com/uber-go/tally/v4/prometheus"
	"go.temporal.io/sdk/client"
	sdktally "go.temporal.io/sdk/contrib/tally"
	"go.uber.org/zap"
)

// metricsServer hands tally's metrics to Prometheus.
type metricsServer struct {
	handler client.MetricsHandler
	scope   io.Closer
	server  *http.Server
}

// startMetrics serves /metrics on addr. A taken port is a warning, and a free port
// on the same host is used; an empty addr serves nothing.
func startMetrics(ctx context.Context, addr string, logger *zap.Logger) (*metricsServer, error) {
	if addr == "" {
		return &metricsServer{handler: client.MetricsNopHandler}, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("--metrics-addr %q: want HOST:PORT, such as 127.0.0.1:9464: %w", addr, err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		logger.Warn("The metrics address is not free; using another port", zap.String("address", addr), zap.Error(err))
		if l, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0")); err != nil {
			return nil, fmt.Errorf("listen for metrics on %s: %w", host, err)
		}
	}
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
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	m := &metricsServer{
		handler: sdktally.NewMetricsHandler(sdktally.NewPrometheusNamingScope(scope)),
		scope:   closer,
		server:  &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second},
	}
	go func() {
		if err := m.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			logger.Warn("The metrics server ended", zap.Error(err))
		}
	}()
	logger.Info("Metrics", zap.String("url", "http://"+l.Addr().String()+"/metrics"))
	return m, nil
}

// sanitizeOptions are the SDK's for Prometheus, but a label's value may be any
// printable text: an endpoint keeps its slashes.
func sanitizeOptions() *tally.SanitizeOptions {
	o := sdktally.PrometheusSanitizeOptions
	o.ValueCharacters = tally.ValidCharacters{Ranges: []tally.SanitizeRange{{' ', '~'}}}
	return &o
}

func (m *metricsServer) close() {
	if m.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = m.server.Shutdown(ctx) // the process ends either way
	_ = m.scope.Close()
}
