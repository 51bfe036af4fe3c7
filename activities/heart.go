package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
)

// heart beats for an activity while it waits for Okta or the database, so that a
// lost worker is noticed in seconds. Its details tell people where the walk is; they
// are not the resume point (design invariant 1).
type heart struct {
	mu     sync.Mutex
	detail Beat
	cancel context.CancelFunc
	done   chan struct{}
}

// Beat is what a heartbeat says.
type Beat struct {
	Stream string `json:"stream"`
	Page   int    `json:"page"`
	Seen   int    `json:"seen"`
}

// heartInterval is well under the heartbeat time-out; the SDK thins the beats out.
const heartInterval = time.Second

func startHeart(ctx context.Context) *heart {
	h := &heart{done: make(chan struct{})}
	// It beats on after a cancel, until the page in hand is finished.
	ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(h.done)
		tick := time.NewTicker(heartInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				h.mu.Lock()
				d := h.detail
				h.mu.Unlock()
				activity.RecordHeartbeat(ctx, d)
			}
		}
	}()
	return h
}

// at notes where the walk is.
func (h *heart) at(stream string, page, seen int) {
	h.mu.Lock()
	h.detail = Beat{Stream: stream, Page: page, Seen: seen}
	h.mu.Unlock()
}

// stop ends the heartbeat and waits for it.
func (h *heart) stop() {
	h.cancel()
	<-h.done
}

// stopping says whether the activity should end after the page in hand: it was
// cancelled, or its worker is shutting down.
func stopping(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-activity.GetWorkerStopChannel(ctx):
		return true
	default:
		return false
	}
}
