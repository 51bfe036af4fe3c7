package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// monitor serves /metrics, /healthz and /readyz.
type monitor struct {
	server *http.Server
}

// startMonitor listens on addr. A taken port is a warning, and a free port on the same
// host is used; an empty addr serves nothing.
func startMonitor(ctx context.Context, addr string, m *metrics, h *health, logger *zap.Logger) (*monitor, error) {
	if addr == "" {
		return &monitor{}, nil
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
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: nil, MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", h.alive)
	mux.HandleFunc("GET /readyz", h.ready)
	s := &monitor{server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}
	go func() {
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			logger.Warn("The metrics server ended", zap.Error(err))
		}
	}()
	logger.Info("Metrics", zap.String("url", "http://"+l.Addr().String()+"/metrics"))
	return s, nil
}

func (s *monitor) close() {
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = s.server.Shutdown(ctx) // the process ends either way
}
