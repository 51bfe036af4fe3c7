package activities

import (
	"context"
	"time"

	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// The streams of a run; each group's member list is one of its own.
const (
	usersStream   = "users"
	groupsStream  = "groups"
	membersStream = "members/" // + the group's id

	membersAgainStream = "members again/" // + the id of a group that its listing missed
)

// ReadUsers reads the next pages of the user list into the mesh. A Full without a
// UserSearchFilter walks the plain list, which omits DEPROVISIONED users; one with a
// filter searches, which includes them (facts.md §1).
func (a *Activities) ReadUsers(ctx context.Context, in WalkInput) (*WalkResult, error) {
	s, err := a.open(ctx, in.Fence, in.Plan.Revision)
	if err != nil {
		return nil, err
	}
	defer s.close()
	cfg := s.def.Config
	list := okta.ListUsers{Limit: cfg.PageSize}
	if cfg.UserSearchFilter != nil {
		list.Search = *cfg.UserSearchFilter
	}
	return walk(ctx, s, stream[okta.User]{
		name: usersStream,
		fetch: func(ctx context.Context, next string, _ int) ([]okta.User, *okta.Page, error) {
			return s.okta.ListUsers(ctx, list, next)
		},
		write: func(ctx context.Context, p mesh.Page, rows []okta.User) (mesh.Progress, error) {
			op := mesh.ObjectPage{Page: p, Rows: len(rows), Import: true, Ignore: cfg.IgnoreForChanges}
			var err error
			if op.Objects, err = mapRows(rows, mapping.User, s.mapping()); err != nil {
				return mesh.Progress{}, err
			}
			return a.store.WriteObjects(ctx, s.fence, op)
		},
	}, in.MaxPages)
}

// ReadGroups reads the next pages of the group list into the mesh and queues the
// groups whose members are to be read.
func (a *Activities) ReadGroups(ctx context.Context, in WalkInput) (*WalkResult, error) {
	s, err := a.open(ctx, in.Fence, in.Plan.Revision)
	if err != nil {
		return nil, err
	}
	defer s.close()
	cfg := s.def.Config
	return walk(ctx, s, stream[okta.Group]{
		name: groupsStream,
		fetch: func(ctx context.Context, next string, _ int) ([]okta.Group, *okta.Page, error) {
			return s.okta.ListGroups(ctx, okta.ListGroups{Limit: cfg.PageSize}, next)
		},
		write: func(ctx context.Context, p mesh.Page, rows []okta.Group) (mesh.Progress, error) {
			op := mesh.ObjectPage{
				Page: p, Rows: len(rows), Import: cfg.ImportGroups,
				QueueMembers: cfg.ImportMemberships, Ignore: cfg.IgnoreForChanges,
			}
			var err error
			if op.Objects, err = mapRows(rows, mapping.Group, s.mapping()); err != nil {
				return mesh.Progress{}, err
			}
			return a.store.WriteObjects(ctx, s.fence, op)
		},
	}, in.MaxPages)
}

// walk reads pages of a list of the whole org: a list without a single row is
// refused before it is recorded, since a service app without an admin role gets
// exactly that (facts.md §10).
func walk[T any](ctx context.Context, s *session, st stream[T], maxPages int) (*WalkResult, error) {
	st.empty = func() error {
		s.flush(ctx)
		advice := ""
		if st.name == usersStream && s.def.Config.UserSearchFilter != nil {
			advice = ", and that UserSearchFilter matches somebody"
		}
		return permanentf(ErrEmpty, "Okta listed no %s for connector %q: an empty list is never trusted and nothing was deleted; "+
			"check that the token's owner has a role that reads %s (Read-Only Administrator)%s", st.name, s.def.Name, st.name, advice)
	}
	p, err := read(ctx, s, st, maxPages)
	if err != nil {
		return nil, err
	}
	return &WalkResult{Page: p.Page, Seen: p.Seen, Done: p.Done, Mark: mark(p), Cost: s.spent()}, nil
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

// mapRows maps a page; a row that cannot be mapped stops the run.
func mapRows[T any](rows []T, mapRow func(*T, mapping.Options) (mesh.Object, error), o mapping.Options) ([]mesh.Object, error) {
	objects := make([]mesh.Object, len(rows))
	for i := range rows {
		var err error
		if objects[i], err = mapRow(&rows[i], o); err != nil {
			return nil, permanent(ErrBadData, err.Error())
		}
	}
	return objects, nil
}
