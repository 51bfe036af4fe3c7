package notify

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/identitymesh/okta-connector/mesh"
)

// Store is what notifications need of the mesh.
type Store interface {
	ClaimEnded(ctx context.Context, f mesh.Follow) (*mesh.EndedRun, error)
	PassEnded(ctx context.Context, r *mesh.EndedRun) error
	PutBackEnded(ctx context.Context, r *mesh.EndedRun, wait time.Duration) error
	Hold(ctx context.Context, connector string, sample int) (*mesh.Hold, error)
}

// Config is what [Start] wires together.
type Config struct {
	Store   Store
	Sinks   []Sink
	Logger  *zap.Logger
	Metrics client.MetricsHandler
	// Every is how often the mesh is asked for ended runs, 2 s when zero.
	Every time.Duration
}

const (
	// claimTTL is how long a worker may take for one notice before another one sends it:
	// longer than a delivery, so that only the notices of dead workers are sent twice.
	claimTTL = 2 * time.Minute
	// maxAge is how old news may be. A sink that fails for longer loses some, and one that
	// is configured for the first time hears of the last days.
	maxAge = 72 * time.Hour

	defaultEvery = 2 * time.Second
	minBackoff   = 5 * time.Second
	maxBackoff   = 15 * time.Minute
)

// Start follows the ended runs of all connectors and tells every sink of what is news,
// until stop is called, which waits for the notice in hand, but no longer than atMost.
// Each sink has its own place in the mesh, which all workers share: one of them sends. A
// failed delivery is tried again after 5 s, 10 s … 15 min; it never touches a run.
func Start(c Config) (stop func(atMost time.Duration)) {
	if c.Every == 0 {
		c.Every = defaultEvery
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, s := range c.Sinks {
		counted := c.Metrics.WithTags(map[string]string{"sink": s.Name(), "result": "sent"}).Counter("identitymesh_notifications")
		failed := c.Metrics.WithTags(map[string]string{"sink": s.Name(), "result": "failed"}).Counter("identitymesh_notifications")
		f := &follower{Config: c, sink: s, sent: counted, failed: failed, log: c.Logger.With(zap.String("sink", s.Name())),
			follow: mesh.Follow{Follower: "notify/" + s.Name(), Owner: uuid.NewString(), TTL: claimTTL, MaxAge: maxAge}}
		wg.Go(func() { f.run(ctx) })
	}
	return func(atMost time.Duration) {
		cancel()
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(atMost):
		}
	}
}

// follower tells one sink.
type follower struct {
	Config

	sink         Sink
	follow       mesh.Follow
	sent, failed client.MetricsCounter
	log          *zap.Logger
}

func (f *follower) run(ctx context.Context) {
	for {
		more, err := f.step(ctx)
		if err != nil && ctx.Err() == nil {
			f.log.Warn("Notifications wait for the mesh", zap.Error(err))
		}
		if more && err == nil && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(f.Every):
		}
	}
}

// step deals with the next ended run; more is false when there is none.
func (f *follower) step(ctx context.Context) (more bool, _ error) {
	e, err := f.Store.ClaimEnded(ctx, f.follow)
	if err != nil || e == nil {
		return false, err
	}
	// A notice that is on its way is brought to its end.
	ctx = context.WithoutCancel(ctx)
	event := eventOf(e)
	if event == "" {
		return true, taken(f.Store.PassEnded(ctx, e))
	}
	hold, err := f.hold(ctx, event, e)
	if err != nil {
		return true, errors.Join(err, taken(f.Store.PutBackEnded(ctx, e, backoff(e.Attempts))))
	}
	logger := f.log.With(zap.String("event", string(event)), zap.String("connector", e.Run.Connector), zap.String("run", e.Run.RunID))
	if err := f.sink.Send(ctx, newNotice(event, e, hold)); err != nil {
		wait := backoff(e.Attempts)
		f.failed.Inc(1)
		back := taken(f.Store.PutBackEnded(ctx, e, wait))
		// Said once the next try is as good as it says: a worker that is killed with the notice
		// still claimed keeps it from the others until the claim ends.
		logger.Warn("A notification was not delivered", zap.Int("attempt", e.Attempts+1), zap.Duration("nextTry", wait), zap.Error(err))
		return true, back
	}
	f.sent.Inc(1)
	logger.Info("Notification sent")
	return true, taken(f.Store.PassEnded(ctx, e))
}

// hold is the open hold, when the event is about it.
func (f *follower) hold(ctx context.Context, event Event, e *mesh.EndedRun) (*mesh.Hold, error) {
	if event != Held {
		return nil, nil
	}
	hold, err := f.Store.Hold(ctx, e.Run.Connector, 0)
	if _, gone := errors.AsType[*mesh.NotFoundError](err); gone { // the connector was deleted
		return nil, nil
	}
	return hold, err
}

// taken drops the error that another worker has taken over: it sends the notice again.
func taken(err error) error {
	if _, ok := errors.AsType[*mesh.ConflictError](err); ok {
		return nil
	}
	return err
}

func backoff(attempts int) time.Duration { return min(minBackoff<<min(attempts, 10), maxBackoff) }
