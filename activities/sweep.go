package activities

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

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
	if err := a.checkComplete(ctx, in.Fence, in.Plan); err != nil {
		return nil, err
	}
	r := &SweepResult{}
	var err error
	if in.Plan.Users {
		if r.Users, err = a.store.StageSweep(ctx, in.Fence, mesh.User, true); err != nil {
			return nil, storeError(err)
		}
	}
	if in.Plan.ReadsGroups() {
		if r.Groups, err = a.store.StageSweep(ctx, in.Fence, mesh.Group, in.Plan.Groups); err != nil {
			return nil, storeError(err)
		}
	}
	return r, nil
}

// checkComplete fails when a walk that the workflow believes done is not done in the
// mesh: its database was restored, or lost its last transactions with the power.
func (a *Activities) checkComplete(ctx context.Context, f Fence, plan Plan) error {
	var streams []string
	if plan.Users {
		streams = append(streams, usersStream)
	}
	if plan.ReadsGroups() {
		streams = append(streams, groupsStream)
	}
	return storeError(a.store.CheckComplete(ctx, f, streams))
}

// Look-ups are recorded in batches, bounded in number and time: what a crash repeats
// is at most one.
const (
	lookUpsStream  = "look-ups"
	lookUpBatch    = 20
	lookUpTime     = 20 * time.Second
	lookUpsAtATime = 200
)

// A listing that missed more live objects of a type than both of these was
// incomplete (design invariant 5).
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
	p, err := a.store.Claim(ctx, s.fence, lookUpsStream, s.owner)
	if err != nil {
		return nil, storeError(err)
	}
	r := &LookUpResult{}
	for r.LookedUp < lookUpsAtATime && !stopping(ctx) {
		if err := s.checkAcquitted(ctx); err != nil {
			return nil, err
		}
		s.beat.at(lookUpsStream, p.Page+1, r.LookedUp)
		batch, err := a.store.Candidates(ctx, s.fence, lookUpBatch)
		if err != nil {
			return nil, storeError(err)
		}
		if len(batch) == 0 {
			r.Done = true
			break
		}
		verdicts, failure := s.verdicts(ctx, in.Plan, batch)
		if len(verdicts) > 0 {
			if p, err = s.resolve(ctx, p, verdicts); err != nil {
				return nil, err
			}
			r.LookedUp += len(verdicts)
		}
		if errors.Is(failure, errPaused) {
			break
		}
		if failure != nil {
			again, err := s.failed(ctx, lookUpsStream, failure)
			if err != nil {
				return nil, err
			}
			if !again {
				break
			}
		}
	}
	if !r.Done && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.Cost = s.spent()
	return r, nil
}

// verdicts looks candidates up until the batch, its time or a failure ends it.
func (s *session) verdicts(ctx context.Context, plan Plan, batch []mesh.Candidate) ([]mesh.Verdict, error) {
	verdicts := make([]mesh.Verdict, 0, len(batch))
	for begin := time.Now(); len(verdicts) < len(batch) && time.Since(begin) < lookUpTime; {
		if len(verdicts) > 0 && stopping(ctx) {
			break
		}
		v, err := s.verdict(ctx, plan, batch[len(verdicts)])
		if err != nil {
			return verdicts, err
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

// resolve records a batch as a page of the look-ups' stream, which fences an attempt
// that comes late and starts the count of failures anew, and then its verdicts.
func (s *session) resolve(ctx context.Context, p mesh.Progress, verdicts []mesh.Verdict) (mesh.Progress, error) {
	work, cancel := detach(ctx)
	defer cancel()
	n := p.Page + 1
	p, err := s.a.store.WriteObjects(work, s.fence, mesh.ObjectPage{
		Page: mesh.Page{Stream: lookUpsStream, Owner: s.owner, Number: n, Next: fmt.Sprintf("batch %d", n+1), Calls: s.takeCalls()},
		Rows: len(verdicts),
	})
	if err != nil {
		return p, storeError(err)
	}
	s.pages++
	s.sat = 0
	return p, storeError(s.a.store.Resolve(work, s.fence, verdicts, s.def.Config.IgnoreForChanges, mesh.Calls{}))
}

// verdict reads one candidate by id. A cancel does not tear it apart.
func (s *session) verdict(ctx context.Context, plan Plan, c mesh.Candidate) (mesh.Verdict, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
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
		if plan.Memberships {
			if err := s.readMissedGroup(ctx, c.OktaID); err != nil {
				return v, err
			}
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
			return v, s.checkSearchable(ctx, u.ID)
		}
	}
	v.Found = &o
	return v, nil
}

// checkSearchable fails when search does not know a user whom Okta has: then its
// empty answer with the filter proves nothing.
func (s *session) checkSearchable(ctx context.Context, id string) error {
	rows, _, err := s.okta.ListUsers(ctx, okta.ListUsers{Limit: 1, Search: fmt.Sprintf("id eq %q", id)}, "")
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return &okta.Error{
			Kind: okta.RetryLater, Method: http.MethodGet, Endpoint: "/api/v1/users", ObjectID: id,
			Err: errors.New("the search does not know a user whom Okta has, so it cannot say who is out of scope"),
		}
	}
	return nil
}

// errPaused says that a look-up met what only the workflow can wait for.
var errPaused = errors.New("paused")

// readMissedGroup reads the members of a group that its listing missed, or whose
// member list was not there a moment ago: nobody else in this run does.
func (s *session) readMissedGroup(ctx context.Context, id string) error {
	for {
		p, err := s.readMembers(ctx, membersAgainStream+id, id, maxMemberPage, memberPagesAgain, &MembersResult{})
		if gone, ok := errors.AsType[*goneError](err); ok {
			return &okta.Error{
				Kind: okta.RetryLater, Method: http.MethodGet, Endpoint: "/api/v1/groups/{id}/users", ObjectID: id,
				Err: fmt.Errorf("the group exists, but its members are refused: %w", gone.err),
			}
		}
		switch {
		case err != nil || p.Done:
			return err
		case s.cost.Wait > 0 || stopping(ctx):
			return errPaused
		}
	}
}

// gone says whether Okta answered 404 E0000007: only that proves a hard delete.
func gone(err error) bool {
	e, ok := errors.AsType[*okta.Error](err)
	return ok && e.Kind == okta.Gone && e.Status == http.StatusNotFound && e.Code == "E0000007"
}

// checkAcquitted fails a run whose listing missed too many live objects of a type.
// The count is the mesh's, since an attempt that was lost acquitted too.
func (s *session) checkAcquitted(ctx context.Context) error {
	acquitted, err := s.a.store.Acquitted(ctx, s.fence)
	if err != nil {
		return storeError(err)
	}
	live, err := s.a.store.LiveCounts(ctx, s.fence.Connector)
	if err != nil {
		return storeError(err)
	}
	for _, typ := range []mesh.ObjectType{mesh.User, mesh.Group} {
		n := acquitted[typ]
		if n > maxAcquitted && float64(n)*100 > maxAcquittedPercent*float64(live[typ]) {
			return permanentf(ErrIncomplete, "Okta's lists missed %d %ss that Okta still has: the listing was incomplete and nothing was deleted; "+
				"check that the role of the token's owner is not limited to some users or groups, then run again", n, typ)
		}
	}
	return nil
}
