package activities

import (
	"context"
	"time"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// The streams of a run; each group's member list is one of its own.
const (
	usersStream        = "users"
	usersRangesStream  = "users by created"
	usersChangedStream = "users changed" // a delta with a filter: who changed at all
	usersSinceStream   = "users since"
	usersProbeStream   = "users probe" // is anybody listed at all?
	groupsStream       = "groups"
	groupsSinceStream  = "groups since"
	groupsProbeStream  = "groups probe"
	membersStream      = "members/" // + the group's id

	membersAgainStream = "members again/" // + the id of a group that its listing missed
)

// userStreams are the walks that a plan reads users by, in order; groupStreams those
// of groups.
func (p Plan) userStreams(filtered bool) []string {
	switch {
	case !p.ReadsUsers():
		return nil
	case p.UsersSince == nil && p.UsersInRanges:
		return []string{usersRangesStream}
	case p.UsersSince == nil:
		return []string{usersStream}
	case filtered:
		return []string{usersChangedStream, usersSinceStream}
	default:
		return []string{usersSinceStream}
	}
}

func (p Plan) groupStreams() []string {
	switch {
	case !p.ReadsGroups():
		return nil
	case p.GroupsSince == nil:
		return []string{groupsStream}
	default:
		return []string{groupsSinceStream}
	}
}

// ReadUsers reads the next pages of users into the mesh. A full walk without a
// UserSearchFilter goes over the plain list, which omits DEPROVISIONED users; one
// with a filter searches, which includes them (facts.md §1). A delta searches for
// what changed since the watermark: with a filter first for everybody who changed,
// so that who has left the filter's scope is noticed.
func (a *Activities) ReadUsers(ctx context.Context, in WalkInput) (*WalkResult, error) {
	s, err := a.open(ctx, in.Fence, in.Plan.Revision)
	if err != nil {
		return nil, err
	}
	defer s.close()
	result := &WalkResult{}
	left := in.MaxPages
	nobody := false
	for i, name := range in.Plan.userStreams(s.def.Config.UserSearchFilter != nil) {
		before := s.pages
		st := s.users(name, in.Plan)
		if nobody { // whom should the filter show?
			st.fetch = func(context.Context, string, int) ([]okta.User, *okta.Page, error) { return nil, &okta.Page{}, nil }
		}
		p, err := walk(ctx, s, st, left)
		if err != nil {
			return nil, err
		}
		left -= s.pages - before
		result.Page += p.Page
		result.Seen = p.Seen
		if i == 0 {
			result.Mark = mark(p)
			nobody = p.Done && p.Seen == 0
		}
		searched := name != usersStream || s.def.Config.UserSearchFilter != nil
		// A search that goes on beyond what searches show need not be read to its end: it
		// is read anew another way, and might have none.
		enough := p.Done || p.Seen >= 2*a.searchCap
		result.TooMany = enough && p.Seen >= a.searchCap && searched && name != usersRangesStream
		result.Done = p.Done && !result.TooMany
		if !result.Done {
			break
		}
	}
	if result.Done && nobody && in.Plan.UsersSince != nil {
		if err := s.sawNothing(ctx, mesh.User, in.Plan, result); err != nil {
			return nil, err
		}
	}
	result.Cost = s.spent()
	return result, nil
}

// sawNothing believes an empty delta of a type only after a probe; without one its mark
// stays.
func (s *session) sawNothing(ctx context.Context, typ mesh.ObjectType, plan Plan, r *WalkResult) (err error) {
	if plan.Probe == typ {
		r.Done, err = s.probe(ctx, typ)
		return err
	}
	r.Mark = nil
	return nil
}

// probe makes sure that a delta which saw nobody had not just lost the right to see: a
// role that was taken away shows as empty lists (facts.md §10), and a watermark that
// moved on meanwhile would skip the changes of that time. A type of which the mesh
// holds nothing is not asked for. done is false when Okta asks for a wait.
func (s *session) probe(ctx context.Context, typ mesh.ObjectType) (done bool, _ error) {
	holds := typ
	if typ == mesh.Group && !s.def.Config.ImportGroups {
		holds = mesh.GroupMember // the list is read to know whose members to read
	}
	for _, err := range s.a.store.Objects(ctx, mesh.ObjectQuery{Connector: s.fence.Connector, Type: holds, Limit: 1}) {
		if err != nil {
			return false, storeError(err)
		}
		var p mesh.Progress
		if typ == mesh.User {
			p, err = walk(ctx, s, oneOf(s, usersProbeStream, "users", func(ctx context.Context) ([]okta.User, *okta.Page, error) {
				return s.okta.ListUsers(ctx, okta.ListUsers{Limit: 1}, "")
			}), 1)
		} else {
			p, err = walk(ctx, s, oneOf(s, groupsProbeStream, "groups", func(ctx context.Context) ([]okta.Group, *okta.Page, error) {
				return s.okta.ListGroups(ctx, okta.ListGroups{Limit: 1}, "")
			}), 1)
		}
		return p.Done, err
	}
	return true, nil
}

// oneOf is a list of which the first row is enough.
func oneOf[T any](s *session, name, what string, fetch func(ctx context.Context) ([]T, *okta.Page, error)) stream[T] {
	return stream[T]{
		name: name,
		fetch: func(ctx context.Context, _ string, _ int) ([]T, *okta.Page, error) {
			rows, page, err := fetch(ctx)
			if err != nil {
				return nil, nil, err
			}
			page.Next = ""
			return rows, page, nil
		},
		write: func(ctx context.Context, p mesh.Page, rows []T) (mesh.Progress, error) {
			return s.writeObjects(ctx, mesh.ObjectPage{Page: p, Rows: len(rows)})
		},
		empty: func() error { return s.emptyList(what, false) },
	}
}

// users is one walk over users.
func (s *session) users(name string, plan Plan) stream[okta.User] {
	cfg := s.def.Config
	list := okta.ListUsers{Limit: cfg.PageSize}
	if cfg.UserSearchFilter != nil && name != usersChangedStream {
		list.Search = *cfg.UserSearchFilter
	}
	if plan.UsersSince != nil {
		changed := okta.SearchSince(plan.UsersSince.Add(-cfg.WatermarkOverlap.Duration).Truncate(time.Second))
		if list.Search == "" {
			list.Search = changed
		} else {
			list.Search = okta.And(list.Search, changed)
		}
	}
	fetch := func(ctx context.Context, next string, _ int) ([]okta.User, *okta.Page, error) {
		return s.okta.ListUsers(ctx, list, next)
	}
	if name == usersRangesStream {
		fetch = s.byCreated(list)
	}
	st := stream[okta.User]{
		name:  name,
		ahead: true,
		fetch: fetch,
		write: func(ctx context.Context, p mesh.Page, rows []okta.User) (mesh.Progress, error) {
			op := mesh.ObjectPage{
				Page: p, Rows: len(rows), Import: true, Ignore: cfg.IgnoreForChanges,
				Changed:     name == usersChangedStream,
				MembersOnly: s.scope().UsersInGroupsOnly,
			}
			var err error
			if op.Objects, err = mapRows(s, rows, p.Date, mapping.User); err != nil {
				return mesh.Progress{}, err
			}
			return s.writeObjects(ctx, op)
		},
		since: plan.UsersSince,
	}
	if plan.UsersSince == nil {
		st.empty = func() error { return s.emptyList("users", cfg.UserSearchFilter != nil) }
	}
	return st
}

// ReadGroups reads the next pages of groups into the mesh and queues the groups
// whose members are to be read.
func (a *Activities) ReadGroups(ctx context.Context, in WalkInput) (*WalkResult, error) {
	s, err := a.open(ctx, in.Fence, in.Plan.Revision)
	if err != nil {
		return nil, err
	}
	defer s.close()
	result := &WalkResult{}
	for _, name := range in.Plan.groupStreams() {
		p, err := walk(ctx, s, s.groups(name, in.Plan), in.MaxPages)
		if err != nil {
			return nil, err
		}
		result.Page, result.Seen = p.Page, p.Seen
		result.Done, result.Mark, result.Queued = p.Done, mark(p), p.Queued
	}
	if result.Done && result.Seen == 0 && in.Plan.GroupsSince != nil {
		if err := s.sawNothing(ctx, mesh.Group, in.Plan, result); err != nil {
			return nil, err
		}
	}
	if result.Done && in.Plan.ReadsMembers() && !in.Plan.GroupsFull() && s.def.Config.MembershipRefresh == connector.MembershipRefreshAll {
		if result.Queued, err = a.store.QueueKnown(ctx, in.Fence); err != nil {
			return nil, storeError(err)
		}
	}
	result.Cost = s.spent()
	return result, nil
}

// groups is the walk over groups.
func (s *session) groups(name string, plan Plan) stream[okta.Group] {
	cfg := s.def.Config
	list := okta.ListGroups{Limit: cfg.PageSize}
	queue := &mesh.QueueRule{All: true}
	if plan.GroupsSince != nil {
		overlap := cfg.WatermarkOverlap.Duration
		list.Filter = okta.GroupsSince(plan.GroupsSince.Add(-overlap))
		queue = &mesh.QueueRule{Mark: *plan.GroupsSince, Overlap: overlap}
	}
	if !plan.ReadsMembers() {
		queue = nil
	}
	st := stream[okta.Group]{
		name:  name,
		ahead: true,
		fetch: func(ctx context.Context, next string, _ int) ([]okta.Group, *okta.Page, error) {
			return s.okta.ListGroups(ctx, list, next)
		},
		write: func(ctx context.Context, p mesh.Page, rows []okta.Group) (mesh.Progress, error) {
			op := mesh.ObjectPage{Page: p, Rows: len(rows), Import: cfg.ImportGroups, Queue: queue, Ignore: cfg.IgnoreForChanges}
			var err error
			if op.Objects, err = mapRows(s, rows, p.Date, mapping.Group); err != nil {
				return mesh.Progress{}, err
			}
			return s.writeObjects(ctx, op)
		},
		since: plan.GroupsSince,
	}
	if plan.GroupsSince == nil {
		st.empty = func() error { return s.emptyList("groups", false) }
	}
	return st
}

// emptyList refuses a full list without a single row before it is recorded, since a
// service app without an admin role gets exactly that (facts.md §10).
func (s *session) emptyList(what string, filtered bool) error {
	advice := ""
	if filtered {
		advice = ", and that UserSearchFilter matches somebody"
	}
	if s.def.Auth.Mode == connector.ModeOAuth {
		return permanentf(ErrEmpty, "Okta listed no %s for connector %q: the service app has no admin role, or one that shows it no %s; an empty list is never trusted and nothing was deleted; "+
			"assign it Read-Only Administrator in Okta's Admin Console under Applications > Applications > (the app) > Admin roles%s; %s", what, s.def.Name, what, advice, s.suggestCheck())
	}
	return permanentf(ErrEmpty, "Okta listed no %s for connector %q: an empty list is never trusted and nothing was deleted; "+
		"check that the token's owner has a role that reads %s (Read-Only Administrator)%s; %s", what, s.def.Name, what, advice, s.suggestCheck())
}

// walk reads pages of a list of the whole org.
func walk[T any](ctx context.Context, s *session, st stream[T], maxPages int) (mesh.Progress, error) {
	if refuse := st.empty; refuse != nil {
		st.empty = func() error {
			s.flush(context.WithoutCancel(ctx))
			return refuse()
		}
	}
	return read(ctx, s, st, maxPages)
}

// clockTolerance is how far apart two of Okta's machines may be.
const clockTolerance = 10 * time.Second

// checkMark refuses a stored mark that Okta's clock has not reached: it was set by
// hand, or Okta's answer was not Okta's (design invariant 3).
func (s *session) checkMark(since *time.Time, date time.Time) error {
	if since == nil || date.IsZero() || !since.After(date.Add(clockTolerance)) {
		return nil
	}
	return permanentf(ErrWatermark, "the watermark of connector %q is in the future: it holds %s and Okta's clock says %s; correct it with `starter watermark set %s`, or start a Full run, which replaces it",
		s.def.Name, since.UTC().Format(mesh.WatermarkLayout), date.UTC().Format(mesh.WatermarkLayout), s.def.Name)
}

// mark is the watermark of a walk: the Date of its first answer, or the largest
// stamp it saw where no Date was sent (design invariant 3).
func mark(p mesh.Progress) *time.Time {
	t := p.FirstDate
	if t.IsZero() {
		t = p.HighWater
	}
	if t.IsZero() {
		return nil
	}
	return &t
}

// mapRows maps a page of the given Date; a row that cannot be mapped stops the run.
func mapRows[T any](s *session, rows []T, date time.Time, mapRow func(*T, mapping.Options) (mesh.Object, error)) ([]mesh.Object, error) {
	defer s.took("mapping", time.Now())
	o := s.mapping()
	objects := make([]mesh.Object, len(rows))
	for i := range rows {
		var err error
		if objects[i], err = mapRow(&rows[i], o); err != nil {
			return nil, permanent(ErrBadData, err.Error())
		}
		believe(&objects[i], date)
	}
	return objects, nil
}

// believe forgets stamps that Okta's clock has not reached: every true answer that
// follows would look stale beside one, and nothing would be written of it. The
// attributes keep what was sent.
func believe(o *mesh.Object, date time.Time) {
	latest := date.Add(futureTolerance)
	if !date.IsZero() && (o.Stamp.After(latest) || o.MembersStamp.After(latest)) {
		o.Stamp, o.MembersStamp = time.Time{}, time.Time{}
	}
}

// futureTolerance is how far a stamp may be ahead of the answer that shows it.
const futureTolerance = 10 * time.Minute
