package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// probeTimeout bounds each question of a readiness probe: Kubernetes waits a second
// unless told otherwise, and the answer should say which question hangs.
const probeTimeout = 2 * time.Second

// health answers whether the process lives and whether it takes work. The zero value
// lives and is not ready. It is safe for concurrent use.
type health struct {
	polls polls

	mu       sync.Mutex
	database func(context.Context) error // nil: not opened yet
	temporal func(context.Context) error // nil: it has not answered yet
	polling  bool
	draining bool

	versioning string // the share of the work, where there are deployments
}

// setDatabase and setTemporal say how to ask whether they are reachable.
func (h *health) setDatabase(ask func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.database = ask
}

func (h *health) setTemporal(ask func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.temporal = ask
}

// started says that the worker polls; drain that it takes no more work.
func (h *health) started() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.polling = true
}

func (h *health) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// setVersioning says which share of the work this worker gets; "" is all of it, as
// without deployments. It is shown and does not make the worker unready: a new version
// must be ready before somebody promotes it.
func (h *health) setVersioning(state string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.versioning = state
}

// alive answers 200 as long as the process can answer: a restart mends neither a
// database nor a Temporal that is away.
func (h *health) alive(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "alive"})
}

// ready answers 200 when the database and Temporal are reachable and this worker polls,
// else 503 and why.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	parts, ok := h.check(r.Context())
	parts["status"] = "ready"
	code := http.StatusOK
	if !ok {
		parts["status"], code = "not ready", http.StatusServiceUnavailable
	}
	answer(w, code, parts)
}

// check asks everything at the same time.
func (h *health) check(ctx context.Context) (parts map[string]string, ok bool) {
	h.mu.Lock()
	database, temporal, polling, draining, versioning := h.database, h.temporal, h.polling, h.draining, h.versioning
	h.mu.Unlock()
	parts = map[string]string{"worker": "polling", "database": "reachable", "temporal": "reachable"}
	if versioning != "" {
		parts["versioning"] = versioning
	}
	ok = true
	fail := func(part, why string) { parts[part], ok = why, false }
	switch {
	case draining:
		fail("worker", "stopping: it takes no more work")
	case !polling:
		fail("worker", "starting")
	default:
		if err := h.polls.failing(); err != nil {
			fail("worker", "polls fail: "+reason(err))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var errDatabase, errTemporal error
	var wg sync.WaitGroup
	ask := func(f func(context.Context) error, err *error) {
		if f == nil {
			*err = errors.New("it has not answered yet")
			return
		}
		wg.Go(func() { *err = f(ctx) })
	}
	ask(database, &errDatabase)
	ask(temporal, &errTemporal)
	wg.Wait()
	if errDatabase != nil {
		fail("database", reason(errDatabase))
	}
	if errTemporal != nil {
		fail("temporal", reason(errTemporal))
	}
	return parts, ok
}

// reason is an error for a probe's answer: one line, without what only the log should say.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded {
		return "no answer within " + probeTimeout.String()
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func answer(w http.ResponseWriter, code int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the prober has gone
}

// acceptedAfter is how long a poll waits before it counts as accepted: one that is refused
// ends at once, and one that waits for work does so for a minute.
const acceptedAfter = 2 * time.Second

// polls watches the SDK's own polls: a worker whose polls are refused, for want of a
// right or of the namespace, reaches Temporal and gets no work all the same.
type polls struct {
	mu    sync.Mutex
	kinds map[string]*pollKind // by method
}

// pollKind is what is known of the polls of one method.
type pollKind struct {
	err      error                  // of the newest poll that ended
	failedAt time.Time              // when it did, with an error
	open     map[*pollTime]struct{} // the polls under way
}

type pollTime struct{ began time.Time }

// watch is a gRPC interceptor.
func (p *polls) watch(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	name := method[strings.LastIndexByte(method, '/')+1:]
	if name != "PollWorkflowTaskQueue" && name != "PollActivityTaskQueue" {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	kind, poll := p.begin(name)
	err := invoke(ctx, method, req, reply, cc, opts...)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(kind.open, poll)
	// The end of the SDK's own time-out or of the worker says nothing about Temporal.
	if ctx.Err() == nil && status.Code(err) != codes.Canceled {
		kind.err, kind.failedAt = err, time.Now()
	}
	return err
}

func (p *polls) begin(name string) (*pollKind, *pollTime) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := p.kinds[name]
	if kind == nil {
		if p.kinds == nil {
			p.kinds = map[string]*pollKind{}
		}
		kind = &pollKind{open: map[*pollTime]struct{}{}}
		p.kinds[name] = kind
	}
	poll := &pollTime{time.Now()}
	kind.open[poll] = struct{}{}
	return kind, poll
}

// failing is the error of the newest poll of some kind, nil when both kinds work or none
// has ended yet. A kind works again when a poll that began after the error is waiting for
// work: it ends a minute later at the latest, and a worker is ready before.
func (p *polls) failing() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, kind := range p.kinds {
		if kind.err != nil && !kind.accepted(time.Now()) {
			return kind.err
		}
	}
	return nil
}

func (k *pollKind) accepted(now time.Time) bool {
	for poll := range k.open {
		if !poll.began.Before(k.failedAt) && now.Sub(poll.began) > acceptedAfter {
			return true
		}
	}
	return false
}
