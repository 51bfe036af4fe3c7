package activities

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"go.temporal.io/sdk/activity"

	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// SweepInput asks which objects the complete listings of a run did not show.
type SweepInput struct {
	Fence Fence `json:"fence"`
	Plan  Plan  `json:"plan"`
}

// StageSweep stages every live object that the run's complete listings did not show.
// A type whose pass is off is left alone.
func (a *Activities) StageSweep(ctx context.Context, in SweepInput) (*SweepResult, error) {
	r := &SweepResult{}
	for _, t := range []struct {
		on  bool
		typ mesh.ObjectType
		n   *int
	}{{in.Plan.Users, mesh.User, &r.Users}, {in.Plan.Groups, mesh.Group, &r.Groups}} {
		if !t.on {
			continue
		}
		var err error
		if *t.n, err = a.store.StageSweep(ctx, in.Fence, t.typ); err != nil {
			return nil, storeError(err)
		}
	}
	return r, nil
}

// Look-ups are recorded in batches: what a crash repeats is at most one.
const (
	lookUpBatch    = 20
	lookUpsAtATime = 200
)

// A listing that missed more live objects than both of these was incomplete
// (design invariant 5).
const (
	maxAcquitted        = 10
	maxAcquittedPercent = 0.1
)

// LookUp asks Okta about staged objects one by one: 404 means gone, DEPROVISIONED
// means deprovisioned, alive and in scope means that the listing missed it, and
// anything else fails the run without a delete (design invariant 5).
func (a *Activities) LookUp(ctx context.Context, in LookUpInput) (*LookUpResult, error) {
	s, err := a.open(ctx, in.Fence, in.Plan.Revision)
	if err != nil {
		return nil, err
	}
	defer s.close()
	r := &LookUpResult{Acquitted: in.Acquitted}
	for r.LookedUp < lookUpsAtATime && !stopping(ctx) {
		s.beat.at("look-ups", 0, r.LookedUp)
		batch, err := a.store.Candidates(ctx, s.fence, lookUpBatch)
		if err != nil {
			return nil, storeError(err)
		}
		if len(batch) == 0 {
			r.Done = true
			break
		}
		again, err := s.lookUpBatch(ctx, batch, r)
		if err != nil {
			return nil, err
		}
		if !again {
			break
		}
		if err := s.checkAcquitted(ctx, r.Acquitted); err != nil {
			return nil, err
		}
	}
	if !r.Done && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.Cost = s.spent()
	return r, nil
}

// lookUpBatch looks a batch up and records the verdicts it reached. again is false
// when the activity should return what it has.
func (s *session) lookUpBatch(ctx context.Context, batch []mesh.Candidate, r *LookUpResult) (again bool, _ error) {
	work, cancel := detach(ctx)
	defer cancel()
	verdicts := make([]mesh.Verdict, 0, len(batch))
	var failure error
	for _, c := range batch {
		v, err := s.verdict(work, c)
		if err != nil {
			failure = err
			break
		}
		verdicts = append(verdicts, v)
		if v.Reason == "" {
			r.Acquitted++
		}
	}
	r.LookedUp += len(verdicts)
	if err := s.a.store.Resolve(work, s.fence, verdicts, s.def.Config.IgnoreForChanges, s.takeCalls()); err != nil {
		return false, storeError(err)
	}
	if failure == nil {
		return true, nil
	}
	if e, ok := errors.AsType[*okta.RateLimitError](failure); ok && e.Kind == okta.RetryLater {
		return s.waitForBudget(ctx, "look-ups", e)
	}
	if perm := oktaError(failure); perm != nil {
		return false, perm
	}
	e, ok := errors.AsType[*okta.Error](failure)
	if !ok {
		return false, failure
	}
	attempt := int(activity.GetInfo(ctx).Attempt)
	switch {
	case r.LookedUp > 0:
		return false, nil
	case attempt > MaxRetries:
		return false, permanentf(ErrGaveUp, "gave up on looking up what the listings did not show after %d retries: %v", MaxRetries, failure)
	default:
		return false, retry(failure, attempt, e.RetryAfter)
	}
}

// verdict reads one candidate by id.
func (s *session) verdict(ctx context.Context, c mesh.Candidate) (mesh.Verdict, error) {
	v := mesh.Verdict{Type: c.Type, OktaID: c.OktaID}
	switch c.Type {
	case mesh.User:
		u, _, err := s.okta.GetUser(ctx, c.OktaID)
		if gone(err) {
			v.Reason = mesh.HardDeleted
			return v, nil
		}
		if err != nil {
			return v, err
		}
		return s.userVerdict(ctx, v, u)
	case mesh.Group:
		g, _, err := s.okta.GetGroup(ctx, c.OktaID)
		if gone(err) {
			v.Reason = mesh.GroupDeleted
			return v, nil
		}
		if err != nil {
			return v, err
		}
		o, err := mapping.Group(g, s.mapping())
		if err != nil {
			return v, permanent(ErrBadData, err.Error())
		}
		v.Found = &o
		return v, nil
	default:
		return v, permanentf(ErrRefused, "a %s cannot be looked up", c.Type)
	}
}

// userVerdict decides about a user that Okta still knows.
func (s *session) userVerdict(ctx context.Context, v mesh.Verdict, u *okta.User) (mesh.Verdict, error) {
	o, err := mapping.User(u, s.mapping())
	if err != nil {
		return v, permanent(ErrBadData, err.Error())
	}
	if o.Delete != "" {
		v.Reason = o.Delete
		return v, nil
	}
	if filter := s.def.Config.UserSearchFilter; filter != nil {
		in, _, err := s.okta.ListUsers(ctx, okta.ListUsers{
			Limit: 1, Search: fmt.Sprintf("(%s) and id eq %q", *filter, u.ID),
		}, "")
		if err != nil {
			return v, err
		}
		if len(in) == 0 {
			v.Reason = mesh.OutOfScope
			return v, nil
		}
	}
	v.Found = &o
	return v, nil
}

// gone says whether Okta answered 404 E0000007: only that proves a hard delete.
func gone(err error) bool {
	e, ok := errors.AsType[*okta.Error](err)
	return ok && e.Kind == okta.Gone && e.Status == http.StatusNotFound && e.Code == "E0000007"
}

// checkAcquitted fails a run whose listing missed too many live objects.
func (s *session) checkAcquitted(ctx context.Context, n int) error {
	if n <= maxAcquitted {
		return nil
	}
	live, err := s.a.store.LiveCounts(ctx, s.fence.Connector)
	if err != nil {
		return storeError(err)
	}
	if float64(n)*100 <= maxAcquittedPercent*float64(live[mesh.User]+live[mesh.Group]) {
		return nil
	}
	return permanentf(ErrIncomplete, "Okta's lists missed %d objects that Okta still has: the listing was incomplete and nothing was deleted; "+
		"check that the role of the token's owner is not limited to some users or groups, then run again", n)
}
