package integration

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// stopper holds one page of users back until it is let go.
type stopper struct {
	reached, let chan struct{}
	once         sync.Once
	path         atomic.Pointer[string] // with the query
	asked        atomic.Int64           // how often for that page
}

// stopAtPage holds the third page of users back.
func stopAtPage(t *testing.T, sim *oktasim.Server) *stopper {
	t.Helper()
	s := &stopper{reached: make(chan struct{}), let: make(chan struct{})}
	var pages atomic.Int64
	sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		at := s.path.Load()
		switch {
		case at == nil && r.URL.Path == "/api/v1/users" && pages.Add(1) == 3:
			uri := r.URL.RequestURI()
			s.path.Store(&uri)
			s.asked.Add(1)
			close(s.reached)
			<-s.let
		case at != nil && r.URL.RequestURI() == *at:
			s.asked.Add(1)
		}
		return false
	})
	t.Cleanup(s.release)
	return s
}

func (s *stopper) release() { s.once.Do(func() { close(s.let) }) }

// pausedRun starts a run on a watched worker and returns when a page is in hand.
func pausedRun(t *testing.T) (w *world, p *stack.Process, base string, s *stopper, run string) {
	t.Helper()
	w = newWorld(t, oktasim.Config{Org: generated(t, 120, 3)}, map[string]any{"PageSize": 20})
	s = stopAtPage(t, w.sim)
	p, base = w.watched()
	waitFor(w, "the worker is ready", func() bool { code, _ := w.readiness(base); return code == 200 })
	run = w.start()
	<-s.reached
	return w, p, base, s, run
}

// TestDrain stops a worker with a page in hand.
func TestDrain(t *testing.T) {
	t.Parallel()
	w, p, base, s, run := pausedRun(t)
	require.NoError(t, p.Signal(syscall.SIGTERM))
	waitFor(w, "readiness turns false while the page is in hand", func() bool {
		code, parts := w.readiness(base)
		return code == 503 && strings.Contains(parts["worker"], "stopping") && parts["database"] == "reachable"
	})
	code, _ := w.get(base + "/healthz")
	require.Equal(t, 200, code, "it lives until it has ended")
	select {
	case <-p.Done():
		require.Fail(t, "it did not wait for the page in hand", p.Output())
	default:
	}
	s.release()
	require.Zero(t, p.Code(), p.Output())
	require.Contains(t, p.Output(), "Worker has stopped")
	w.worker()
	row := w.wait(run)
	require.Equal(t, "Completed", row.Outcome, row.Error)
	require.EqualValues(t, 1, s.asked.Load(), "the page in hand was recorded")
}

// TestSecondSignalEndsAtOnce does not wait for the page in hand.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	w, p, _, s, run := pausedRun(t)
	require.NoError(t, p.Signal(syscall.SIGTERM))
	_, err := p.WaitFor(w.Context(), "Worker is stopping")
	require.NoError(t, err)
	require.NoError(t, p.Signal(syscall.SIGTERM))
	require.Equal(t, 1, p.Code(), p.Output())
	require.Contains(t, p.Output(), "terminated again: ended at once")
	s.release()
	w.worker()
	row := w.wait(run)
	require.Equal(t, "Completed", row.Outcome, row.Error)
}

// TestStopTimeout ends a worker whose page never comes.
func TestStopTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 120, 3)}, map[string]any{"PageSize": 20})
	s := stopAtPage(t, w.sim)
	p, _ := w.watched("--stop-timeout", "200ms")
	w.start()
	<-s.reached
	require.NoError(t, p.Signal(syscall.SIGTERM))
	require.Zero(t, p.Code(), p.Output())
}

// TestReadinessFollowsTemporal has a worker whose way to Temporal breaks and is mended.
func TestReadinessFollowsTemporal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 20, 2)}, nil)
	road := newRoad(t, w.stack.TemporalAddr)
	p, err := w.stack.Worker(w.Context(), append(w.env(), "TEMPORAL_ADDRESS="+road.addr), "--metrics-addr", "127.0.0.1:0")
	require.NoError(t, err)
	line, err := p.WaitFor(w.Context(), `"msg":"Metrics"`)
	require.NoError(t, err)
	var entry struct{ URL string }
	decode(w, line, &entry)
	base := strings.TrimSuffix(entry.URL, "/metrics")
	ready := func() bool { code, _ := w.readiness(base); return code == 200 }
	waitFor(w, "it is ready", ready)
	road.close()
	waitFor(w, "it is not ready without Temporal", func() bool {
		code, parts := w.readiness(base)
		return code == 503 && parts["temporal"] != "reachable" && parts["database"] == "reachable"
	})
	code, _ := w.get(base + "/healthz")
	require.Equal(t, 200, code, "a restart would not help")
	road.open(t)
	waitFor(w, "it is ready again", ready)
}

// road forwards TCP connections, and can be closed.
type road struct {
	addr, to string

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func newRoad(t *testing.T, to string) *road {
	t.Helper()
	r := &road{addr: "127.0.0.1:0", to: to}
	r.open(t)
	t.Cleanup(r.close)
	return r
}

func (r *road) open(t *testing.T) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", r.addr)
	require.NoError(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listener, r.addr = l, l.Addr().String()
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			var d net.Dialer
			to, err := d.DialContext(t.Context(), "tcp", r.to)
			if err != nil {
				_ = from.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, from, to)
			r.mu.Unlock()
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					_, _ = pair[0].Close(), pair[1].Close()
				}()
			}
		}
	}()
}

func (r *road) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.listener.Close()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}
