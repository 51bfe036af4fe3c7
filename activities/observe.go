package activities

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// onCall counts every exchange with Okta and logs it. It warns when the org's other
// clients use what is left to them and more, and when Okta finds the calls at one time too
// many.
func (s *session) onCall() func(okta.Call) {
	return func(c okta.Call) {
		s.calls.Add(1)
		s.allCalls.Add(1)
		status := "none"
		if c.Status != 0 {
			status = strconv.Itoa(c.Status)
		}
		s.metrics.WithTags(map[string]string{"endpoint": c.Endpoint, "status": status}).Counter("identitymesh_okta_calls").Inc(1)
		s.a.metrics.WithTags(map[string]string{"endpoint": c.Endpoint}).Timer("identitymesh_okta_call_latency").Record(c.Duration)
		s.log.Debug("Okta call", append([]any{"endpoint", c.Endpoint, "status", c.Status, "requestId", c.RequestID,
			"took", c.Duration.String()}, rateFields(c.Rate)...)...)
		if !c.Rate.Known {
			return
		}
		s.waits(c.Rate.Bucket) // shown as 0 before the first one: a rate sees it
		if c.Rate.Limit == 0 { // a 429 about the calls at one time
			_, most := s.a.limits.of(s.def.Config.BaseURL()).InFlight()
			s.log.Warn("Okta finds the calls in flight too many", "capped at", most, "requestId", c.RequestID)
			return
		}
		if c.Rate.Remaining*100 < c.Rate.Limit*s.def.Config.RateLimitReserve {
			s.log.Warn("Okta's rate limit is below RateLimitReserve: other clients of the org use it, too",
				append([]any{"endpoint", c.Endpoint, "requestId", c.RequestID}, rateFields(c.Rate)...)...)
		}
	}
}

// rateFields are the X-Rate-Limit-* headers of an answer for the log, nothing when they
// are not known.
func rateFields(r okta.Rate) []any {
	fields := []any{"bucket", r.Bucket}
	if !r.Known {
		return fields
	}
	return append(fields, "limit", r.Limit, "remaining", r.Remaining, "reset", r.Reset.UTC().Format(time.RFC3339))
}

// failureFields are what the log says of a failed call to Okta.
func failureFields(e *okta.Error) []any {
	return []any{"endpoint", e.Endpoint, "status", e.Status, "code", e.Code, "requestId", e.RequestID}
}

// took records how long a part of the work took, for metrics and benchmarks.
func (s *session) took(part string, begin time.Time) {
	s.a.metrics.Timer("identitymesh_" + part + "_latency").Record(time.Since(begin))
}

// recorded counts a page that was recorded.
func (s *session) recorded(stream string, rows int) {
	s.pages++
	s.rows += rows
	s.sat = 0
	of := s.metrics.WithTags(map[string]string{"type": string(typeOf(stream))})
	of.Counter("identitymesh_pages").Inc(1)
	of.Counter("identitymesh_objects_read").Inc(int64(rows))
}

// summary logs what an activity has read, and how much of the budget is left.
func (s *session) summary() {
	calls := s.allCalls.Load()
	if calls == 0 {
		return
	}
	var left []string
	for _, r := range s.a.limits.of(s.def.Config.BaseURL()).Left() {
		left = append(left, fmt.Sprintf("%s %d/%d until %s", r.Bucket, r.Remaining, r.Limit, r.Reset.UTC().Format(time.RFC3339)))
	}
	s.log.Info("Pages recorded", "pages", s.pages, "rows", s.rows, "calls", calls, "rateLimits", left)
}

// waited counts a wait for the rate limit, as far as nobody waits for the same window.
func (s *session) waited(bucket string, d time.Duration) {
	if d > 0 {
		s.waits(bucket).Record(d)
	}
}

func (s *session) waits(bucket string) client.MetricsTimer {
	return s.metrics.WithTags(map[string]string{"bucket": bucket}).Timer("identitymesh_okta_rate_limit_wait")
}

// typeOf is the type that a stream lists.
func typeOf(stream string) mesh.ObjectType {
	switch {
	case strings.HasPrefix(stream, "users"):
		return mesh.User
	case strings.HasPrefix(stream, "groups"):
		return mesh.Group
	default:
		return mesh.GroupMember
	}
}

// logEnd says how a run ended, and how far its watermark moved from where it was.
func logEnd(ctx context.Context, run *mesh.Run, from *Watermark) {
	logger := log.With(activity.GetLogger(ctx), "connector", run.Connector, "run", run.RunID)
	var counts []any
	for _, typ := range mesh.ObjectTypes {
		if c := run.Counts[typ]; c != (mesh.Counts{}) {
			counts = append(counts, string(typ), fmt.Sprintf("%d seen, %d added, %d updated, %d deleted, %d held", c.Seen, c.Added, c.Updated, c.Deleted, c.Held))
		}
	}
	logger.Info("Run recorded", append([]any{"mode", run.Mode, "outcome", run.Outcome, "calls", run.APICalls, "rateLimitWaits", run.RateLimitWaits,
		"tookMs", run.DurationMs, "error", run.Error}, counts...)...)
	if was, is := markText(from), markText(run.Watermark); was != is {
		logger.Info("Watermark advanced", "from", was, "to", is)
	}
}

func markText(w *Watermark) string {
	if w == nil {
		return ""
	}
	return w.String()
}
