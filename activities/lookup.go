package activities

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// Look-ups are recorded in batches, bounded in number and time: what a crash repeats
// is at most one.
const (
	lookUpsStream  = "look-ups"
	lookUpBatch    = okta.LookUpBatch
	lookUpTime     = 20 * time.Second
	lookUpsAtATime = 2000
)

// LookUp asks Okta about staged objects: 404 means gone, DEPROVISIONED means
// deprovisioned, alive and in scope means that the listing missed it, and anything
// else fails the run without a delete (design invariant 5). A search for many ids at
// once comes first and may only acquit; whom it does not show is read by id.
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
	for r.LookedUp < lookUpsAtATime && !stopping(ctx) && (r.LookedUp == 0 || !s.turnIsOver()) {
		if err := s.checkAcquitted(ctx, in.Plan); err != nil {
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

// verdicts looks a batch of candidates up, several at a time, until its time or a
// failure ends it. Whom the search acquits is decided first.
func (s *session) verdicts(ctx context.Context, plan Plan, batch []mesh.Candidate) ([]mesh.Verdict, error) {
	verdicts, err := s.acquit(ctx, batch)
	if err != nil {
		return nil, err
	}
	decided := make(map[mesh.Candidate]bool, len(batch))
	for _, v := range verdicts {
		decided[mesh.Candidate{Type: v.Type, OktaID: v.OktaID}] = true
	}
	open := slices.DeleteFunc(slices.Clone(batch), func(c mesh.Candidate) bool { return decided[c] })
	found, failure := s.askEach(ctx, plan, open)
	var missed []mesh.Verdict // groups that are there after all; their lists may be long
	for _, v := range found {
		if v.Type == mesh.Group && v.Reason == "" && plan.Memberships {
			missed = append(missed, v)
		} else {
			verdicts = append(verdicts, v)
		}
	}
	for _, v := range missed {
		if err := s.readMissedGroup(ctx, v.OktaID); err != nil {
			return verdicts, worse(failure, err)
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, failure
}

// askEach reads candidates by id, as many at a time as the run may have calls in flight,
// and returns the verdicts and the worst failure. After a failure it asks no more.
func (s *session) askEach(ctx context.Context, plan Plan, open []mesh.Candidate) (found []mesh.Verdict, failure error) {
	var mu sync.Mutex
	var asking errgroup.Group
	var lost *panicked
	asking.SetLimit(max(plan.MaxInFlight, 1))
	begin := time.Now()
	goesOn := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return failure == nil && lost == nil && time.Since(begin) < lookUpTime && (len(found) == 0 || !stopping(ctx))
	}
	for _, c := range open {
		asking.Go(func() error {
			if !goesOn() {
				return nil
			}
			var v mesh.Verdict
			var err error
			p := catch(func() { v, err = s.verdict(ctx, c) })
			mu.Lock()
			defer mu.Unlock()
			switch {
			case p != nil:
				lost = p
			case err != nil:
				failure = worse(failure, err)
			default:
				found = append(found, v)
			}
			return nil
		})
	}
	_ = asking.Wait() // the failures are kept above
	lost.raise()
	return found, failure
}

// worse returns the failure that decides what to do about both: one that no waiting
// heals, else one that counts as a failure, lest it hides behind refusals of the rate limit
// for ever, else the longest wait for that.
func worse(a, b error) error {
	rank := func(err error) time.Duration {
		limit, limited := errors.AsType[*okta.RateLimitError](err)
		e, isOkta := errors.AsType[*okta.Error](err)
		switch {
		case err == nil:
			return -1
		case !isOkta || oktaError(err) != nil:
			return math.MaxInt64
		case limited:
			return limit.Wait
		default:
			return time.Hour + e.RetryAfter // no wait is as long
		}
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// acquit searches for all users of a batch at once, together with a user whom this
// run's listing showed. Without him in it the answer is void: then everybody is read
// by id. It decides only about users whom it shows alive and in scope.
func (s *session) acquit(ctx context.Context, batch []mesh.Candidate) ([]mesh.Verdict, error) {
	var ids []string
	for _, c := range batch {
		if c.Type == mesh.User {
			ids = append(ids, c.OktaID)
		}
	}
	if len(ids) < 2 { // one call either way
		return nil, nil
	}
	control, err := s.a.store.Control(ctx, s.fence, mesh.User)
	if err != nil {
		return nil, storeError(err)
	}
	if control == "" {
		return nil, nil
	}
	ctx, cancel := detach(ctx)
	defer cancel()
	search := okta.IDs(append(slices.Clone(ids[:min(len(ids), okta.LookUpBatch-1)]), control)...)
	if filter := s.def.Config.UserSearchFilter; filter != nil {
		search = okta.And(*filter, search)
	}
	rows, page, err := s.okta.ListUsers(ctx, okta.ListUsers{Limit: okta.LookUpBatch, Search: search}, "")
	if err != nil {
		return nil, err
	}
	asked := make(map[string]bool, len(ids))
	for _, id := range ids {
		asked[id] = true
	}
	var verdicts []mesh.Verdict
	valid := false
	for i := range rows {
		u := &rows[i]
		if u.ID == control {
			valid = true
		}
		if !asked[u.ID] || u.ID == control {
			continue
		}
		o, err := mapping.User(u, s.mapping())
		if err != nil {
			return nil, permanent(ErrBadData, err.Error())
		}
		believe(&o, page.Date)
		if o.Delete == "" {
			verdicts = append(verdicts, mesh.Verdict{Type: mesh.User, OktaID: u.ID, Found: &o})
		}
	}
	if err := s.knowSearchable(ctx, ids[:min(len(ids), okta.LookUpBatch)]); err != nil {
		return nil, err
	}
	if !valid {
		s.log.Warn("A search for many users left out one who was listed: its answer is void, and each user is read by id", "control", control)
		return nil, nil
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
func (s *session) verdict(ctx context.Context, c mesh.Candidate) (mesh.Verdict, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	v := mesh.Verdict{Type: c.Type, OktaID: c.OktaID}
	switch c.Type {
	case mesh.User:
		u, page, err := s.okta.GetUser(ctx, c.OktaID)
		if gone(err) {
			v.Reason = mesh.HardDeleted
			return v, nil
		}
		if err != nil {
			return v, err
		}
		return s.userVerdict(ctx, v, u, page.Date)
	case mesh.Group:
		g, page, err := s.okta.GetGroup(ctx, c.OktaID)
		if gone(err) {
			v.Reason = mesh.GroupDeleted
			return v, nil
		}
		if err != nil {
			return v, err
		}
		return s.groupVerdict(v, g, page.Date)
	default:
		return v, permanentf(ErrRefused, "a %s cannot be looked up", c.Type)
	}
}

// groupVerdict decides about a group that Okta still knows.
func (s *session) groupVerdict(v mesh.Verdict, g *okta.Group, date time.Time) (mesh.Verdict, error) {
	o, err := mapping.Group(g, s.mapping())
	if err != nil {
		return v, permanent(ErrBadData, err.Error())
	}
	believe(&o, date)
	if o.Delete != "" {
		v.Reason = o.Delete
		return v, nil
	}
	v.Found = &o
	return v, nil
}

// userVerdict decides about a user that Okta still knows.
func (s *session) userVerdict(ctx context.Context, v mesh.Verdict, u *okta.User, date time.Time) (mesh.Verdict, error) {
	o, err := mapping.User(u, s.mapping())
	if err != nil {
		return v, permanent(ErrBadData, err.Error())
	}
	believe(&o, date)
	v.Found = &o
	if o.Delete != "" {
		v.Reason = o.Delete
		return v, nil
	}
	if filter := s.def.Config.UserSearchFilter; filter != nil {
		in, _, err := s.okta.ListUsers(ctx, okta.ListUsers{Limit: 1, Search: okta.And(*filter, okta.IDs(u.ID))}, "")
		if err != nil {
			return v, err
		}
		if !slices.ContainsFunc(in, func(r okta.User) bool { return r.ID == u.ID }) {
			v.Reason, v.Found = mesh.OutOfScope, nil
			if s.searchable[u.ID] {
				return v, nil
			}
			return v, s.checkSearchable(ctx, u.ID)
		}
	}
	return v, nil
}

// knowSearchable asks with one search which users search knows without the filter, so
// that each who does not match it need not be asked for alone.
func (s *session) knowSearchable(ctx context.Context, ids []string) error {
	if s.def.Config.UserSearchFilter == nil {
		return nil
	}
	rows, _, err := s.okta.ListUsers(ctx, okta.ListUsers{Limit: okta.LookUpBatch, Search: okta.IDs(ids...)}, "")
	if err != nil {
		return err
	}
	s.searchable = make(map[string]bool, len(rows))
	for i := range rows {
		s.searchable[rows[i].ID] = true
	}
	return nil
}

// checkSearchable fails when search does not know a user whom Okta has: then its
// empty answer with the filter proves nothing.
func (s *session) checkSearchable(ctx context.Context, id string) error {
	rows, _, err := s.okta.ListUsers(ctx, okta.ListUsers{Limit: 1, Search: okta.IDs(id)}, "")
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(rows, func(r okta.User) bool { return r.ID == id }) {
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
		p, err := s.readMembers(ctx, membersAgainStream+id, nil, mesh.QueuedGroup{OktaID: id, Had: true}, maxMemberPage, memberPagesAgain, &MembersResult{})
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
