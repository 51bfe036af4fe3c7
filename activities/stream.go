package activities

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// stream is one walk over a list of Okta: how a page is fetched and how it is
// written. T is a row.
type stream[T any] struct {
	name string
	// fetch reads the page at next ("" is the first); failures counts the failed
	// attempts since the last recorded page.
	fetch func(ctx context.Context, next string, failures int) ([]T, *okta.Page, error)
	write func(ctx context.Context, p mesh.Page, rows []T) (mesh.Progress, error)
	// empty, when set, is the error of a walk that ends without a single row.
	empty func() error
	// since is the mark that a delta reads from; nil in a full walk.
	since *time.Time
	// at is the resume point of a stream that is claimed already; nil: read claims it.
	at *mesh.Progress
	// ahead has the next page asked for while the one in hand is written.
	ahead bool
	// smaller says that the list can be read anew in smaller pages: a walk that is
	// stuck in its middle then ends with errStuck.
	smaller bool
}

// errStuck says that a page after the first failed stuckAfter times: its size is in
// the link that Okta gave, so only a new walk can ask for less.
var errStuck = errors.New("stuck")

const stuckAfter = 2

// goneError says that Okta no longer knows the object whose list is being read.
type goneError struct{ err error }

func (e *goneError) Error() string { return e.err.Error() }
func (e *goneError) Unwrap() error { return e.err }

// An activity sits out a wait for the rate limit of shortWait, and several of them
// without a page of longestSit in all; more goes to a workflow timer, so that no
// worker slot sleeps and the run can give up one day.
const (
	shortWait  = 2 * time.Second
	longestSit = 5 * time.Second
)

// turnIsOver says that the activity hands over to the next one after the page in hand.
func (s *session) turnIsOver() bool { return time.Since(s.began) > s.turn }

// read reads and records up to maxPages pages of st, from its resume point on. It
// returns early, without an error, when the rate limit asks for a long wait (then
// the session's cost says how long), when a page fails after others were recorded,
// and when the activity is to stop or its turn is over.
func read[T any](ctx context.Context, s *session, st stream[T], maxPages int) (mesh.Progress, error) {
	p, err := s.resume(ctx, st.name, st.at)
	if err != nil {
		return p, err
	}
	if st.smaller && !p.Done && p.Page > 0 && p.Failures >= stuckAfter {
		return p, errStuck
	}
	var coming <-chan answer[T] // the page after the one in hand
	goesOn := func(recorded int) bool {
		return recorded < maxPages && !stopping(ctx) && (recorded == 0 || !s.turnIsOver())
	}
	for recorded := 0; !p.Done && (coming != nil || goesOn(recorded)); {
		s.beat.at(st.name, p.Page+1, p.Seen)
		var got answer[T]
		if coming != nil {
			got, coming = <-coming, nil
			got.panicked.raise()
		} else {
			got = ask(ctx, st, p.Next, p.Failures)
		}
		if st.ahead && got.err == nil && got.page.Next != "" && goesOn(recorded+1) {
			coming = askAhead(ctx, st, got.page.Next)
		}
		next, err := record(ctx, s, st, p, got)
		if err == nil {
			p, recorded = next, recorded+1
			continue
		}
		if coming != nil { // its answer is of no use now, but its call counts
			<-coming
			coming = nil
		}
		again, err := s.failed(ctx, st.name, err)
		if err != nil || !again {
			return p, err
		}
	}
	if !p.Done && ctx.Err() != nil {
		return p, ctx.Err()
	}
	return p, nil
}

// resume returns where a stream goes on, and claims it unless it is.
func (s *session) resume(ctx context.Context, name string, at *mesh.Progress) (mesh.Progress, error) {
	if at != nil {
		return *at, nil
	}
	p, err := s.a.store.Claim(ctx, s.fence, name, s.owner)
	return p, storeError(err)
}

// answer is a fetched page.
type answer[T any] struct {
	rows []T
	page *okta.Page
	err  error

	panicked *panicked
}

// ask fetches the page at next. A cancel does not tear it apart.
func ask[T any](ctx context.Context, st stream[T], next string, failures int) (a answer[T]) {
	ctx, cancel := detach(ctx)
	defer cancel()
	a.rows, a.page, a.err = st.fetch(ctx, next, failures)
	return a
}

// askAhead fetches the page at next while the one before it is being written.
func askAhead[T any](ctx context.Context, st stream[T], next string) <-chan answer[T] {
	coming := make(chan answer[T], 1)
	go func() {
		var a answer[T]
		a.panicked = catch(func() { a = ask(ctx, st, next, 0) })
		coming <- a
	}()
	return coming
}

// record writes one page. A cancel does not tear it apart.
func record[T any](ctx context.Context, s *session, st stream[T], p mesh.Progress, got answer[T]) (mesh.Progress, error) {
	if got.err != nil {
		return p, got.err
	}
	ctx, cancel := detach(ctx)
	defer cancel()
	rows, page := got.rows, got.page
	if p.Page == 0 {
		if err := s.checkMark(st.since, page.Date); err != nil {
			s.flush(ctx)
			return p, err
		}
	}
	if st.empty != nil && page.Next == "" && p.Seen+len(rows) == 0 {
		return p, st.empty()
	}
	calls := s.takeCalls()
	next, err := st.write(ctx, mesh.Page{
		Stream: st.name,
		Owner:  s.owner,
		Number: p.Page + 1,
		Next:   page.Next,
		Done:   page.Next == "",
		Date:   page.Date,
		Calls:  calls,
	}, rows)
	if err != nil {
		s.calls.Add(int64(calls.API)) // nothing accounts for them yet
		return p, storeError(err)
	}
	s.recorded(st.name, len(rows))
	s.log.Debug("Page recorded", "stream", st.name, "page", next.Page, "rows", len(rows), "seen", next.Seen, "done", next.Done)
	return next, nil
}

// failed decides what a failed page means: try again at once (after a short wait for
// the rate limit), hand what was reached to the workflow (again false, no error), or
// an error for Temporal.
func (s *session) failed(ctx context.Context, name string, err error) (again bool, _ error) {
	if e, ok := errors.AsType[*okta.RateLimitError](err); ok && e.Kind == okta.RetryLater {
		return s.waitForBudget(ctx, name, e)
	}
	e, ok := errors.AsType[*okta.Error](err)
	if !ok { // the store, the mapping or a cancel; already translated
		s.flush(ctx)
		return false, err
	}
	if e.Kind == okta.Gone {
		return false, &goneError{err}
	}
	if perm := s.refused(err); perm != nil {
		s.log.Error("Okta refused a call", append([]any{"stream", name, "error", err.Error()}, failureFields(e)...)...)
		s.flush(ctx)
		if e.Status == http.StatusUnauthorized {
			perm = s.unlessReplaced(ctx, name, err, perm)
		}
		return false, perm
	}
	work, cancel := detach(ctx)
	defer cancel()
	failures, rerr := s.a.store.RecordFailure(work, s.fence, name, s.owner, s.takeCalls())
	if rerr != nil {
		return false, storeError(rerr)
	}
	s.log.Warn("A call to Okta failed", append([]any{"stream", name, "failures", failures, "error", err.Error()}, failureFields(e)...)...)
	switch {
	case failures > MaxRetries:
		return false, permanentf(ErrGaveUp, "gave up on %s after %d retries: %v", name, MaxRetries, err)
	case s.pages > 0: // the workflow goes on from here, after the same back-off
		return false, s.handOver(work, backoff(failures, e.RetryAfter))
	default:
		return false, retry(err, failures, e.RetryAfter)
	}
}

// unlessReplaced is what Okta's refusal of a secret means: perm, or an error that is tried
// again where there is a newer secret, or none can be asked for as yet.
func (s *session) unlessReplaced(ctx context.Context, name string, refusal, perm error) error {
	replaced, err := s.secretReplaced(ctx)
	switch {
	case err != nil:
		s.log.Warn("Okta refused the secret, and whether there is a new one cannot be told as yet", "stream", name, "error", err.Error())
		return err
	case replaced:
		s.log.Info("Okta refused the old secret, and there is a new one: with that it is tried again", "stream", name)
		return retry(refusal, 1, 0)
	}
	return perm
}

// handOver makes the workflow wait, with the lease renewed to outlive it.
func (s *session) handOver(ctx context.Context, wait time.Duration) error {
	s.cost.Wait = wait
	return storeError(s.a.store.Renew(ctx, s.fence, wait+s.a.leaseTTL))
}

// waitForBudget sits a short wait out and hands a long one to the workflow, with the
// lease renewed to outlive it.
func (s *session) waitForBudget(ctx context.Context, name string, e *okta.RateLimitError) (again bool, _ error) {
	calls := s.takeCalls()
	calls.Waits, calls.Waited = s.a.waits.extend(s.fence.RunID+" "+e.Endpoint, time.Now(), e.Wait)
	s.cost.Waits += calls.Waits
	say, what := s.log.Warn, "Okta's rate limit is used up, down to the reserve"
	switch {
	case e.Concurrency:
		what = "Okta finds the calls at one time too many"
	case e.Crowded: // every lane may come here every few seconds, and it is no trouble yet
		say, what = s.log.Info, "Calls to Okta wait for those on their way, which leave no room in the rate limit"
	}
	say(what, append([]any{"stream", name, "wait", e.Wait.String(), "endpoint", e.Endpoint, "requestId", e.RequestID}, rateFields(e.Rate)...)...)
	s.waited(e.Rate.Bucket, calls.Waited)
	work, cancel := detach(ctx)
	defer cancel()
	if err := s.a.store.RecordCalls(work, s.fence, calls); err != nil {
		return false, storeError(err)
	}
	if e.Wait > shortWait || s.sat+e.Wait > longestSit {
		return false, s.handOver(work, s.sat+e.Wait)
	}
	s.sat += e.Wait
	timer := time.NewTimer(e.Wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-activity.GetWorkerStopChannel(ctx):
		return false, nil
	}
}

// flush records the calls of a failed attempt, so that the run row stays honest.
func (s *session) flush(ctx context.Context) {
	calls := s.takeCalls()
	if calls.API == 0 {
		return
	}
	work, cancel := detach(ctx)
	defer cancel()
	if err := s.a.store.RecordCalls(work, s.fence, calls); err != nil {
		s.log.Warn("Calls could not be added to the run row", "calls", calls.API, "error", err.Error())
	}
}
