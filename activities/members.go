package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// Member pages start at Okta's largest and halve with every failure, down to the
// smallest: a 500 usually means "smaller page" (facts.md §3).
const (
	maxMemberPage = 1000
	minMemberPage = 100
)

// memberPagesAgain bounds one reading of a group that a listing missed.
const memberPagesAgain = 100

// How a lane takes groups: a share of what is left, so that all lanes end together.
const (
	sharesPerLane = 4
	mostGroups    = 20
)

// ReadMembers reads the member lists of a lane's groups, one after the other, and takes
// new ones until no group is left, or the page budget or its turn ends.
func (a *Activities) ReadMembers(ctx context.Context, in MembersInput) (*MembersResult, error) {
	s, err := a.open(ctx, in.Fence, in.Plan.Revision)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.turn = laneTurn(a.turn, in.Lane, in.Plan.MaxInFlight)
	r := &MembersResult{}
	read := 0 // the last group that was read to its end; groups are taken in order
	for more := true; more; {
		claimed, err := a.store.ClaimGroups(ctx, in.Fence, mesh.ClaimGroups{
			Lane: in.Lane, Prefix: membersStream, Owner: s.owner,
			Share: sharesPerLane * max(in.Plan.MaxInFlight, 1), Most: mostGroups,
		})
		if err != nil {
			return nil, storeError(err)
		}
		r.Queued, r.Done = claimed.Queued, len(claimed.Groups) == 0
		more = !r.Done
		for _, g := range claimed.Groups {
			if g.Ordinal <= read {
				return nil, permanentf(ErrRefused, "group %s was read to its end and is still queued: start a new run, and report this one", g.OktaID)
			}
			if more, err = s.readGroup(ctx, g, in.MaxPages-r.Pages, r); err != nil {
				return nil, err
			}
			if !more {
				break
			}
			r.Groups++
			read = g.Ordinal
		}
	}
	r.Cost = s.spent()
	return r, nil
}

// laneTurn spreads the turns of lanes that begin together from half a turn to a whole one:
// one after the other they tell how far they are.
func laneTurn(turn time.Duration, lane, lanes int) time.Duration {
	return turn/2 + turn/2*time.Duration(lane)/time.Duration(max(lanes, 1))
}

// readGroup reads one group's members and adds to r. done is false when the budget or
// the turn ended first, the rate limit asks for a wait, or the activity is to stop.
func (s *session) readGroup(ctx context.Context, g mesh.QueuedGroup, maxPages int, r *MembersResult) (done bool, err error) {
	if maxPages <= 0 || stopping(ctx) || r.Groups+s.pages > 0 && s.turnIsOver() {
		return false, ctx.Err()
	}
	before := s.pages
	p, err := s.readMembers(ctx, membersStream+g.OktaID, &g.Progress, g, maxMemberPage, maxPages, r)
	r.Pages += s.pages - before
	if _, gone := errors.AsType[*goneError](err); gone {
		return true, s.groupGone(ctx, g.OktaID, p)
	}
	return p.Done, err
}

// readMembers reads pages of a group's member list into the mesh. A walk that is
// stuck in its middle gives way to one with pages of half the size.
func (s *session) readMembers(ctx context.Context, name string, at *mesh.Progress, g mesh.QueuedGroup, size, maxPages int, r *MembersResult) (mesh.Progress, error) {
	p, err := read(ctx, s, stream[okta.Member]{
		name:    name,
		at:      at,
		smaller: size/2 >= minMemberPage,
		fetch: func(ctx context.Context, next string, failures int) ([]okta.Member, *okta.Page, error) {
			return s.listMembers(ctx, g, max(size>>failures, minMemberPage), next)
		},
		write: func(ctx context.Context, p mesh.Page, rows []okta.Member) (mesh.Progress, error) {
			members := make([]mesh.Member, len(rows))
			for i := range rows {
				members[i] = mapping.Member(&rows[i])
			}
			r.Seen += len(rows)
			defer s.took("store", time.Now())
			return s.a.store.WriteMembers(ctx, s.fence, mesh.MemberPage{Page: p, GroupID: g.OktaID, Members: members})
		},
	}, maxPages)
	if errors.Is(err, errStuck) {
		s.log.Warn("A member list is read again in smaller pages", "group", g.OktaID, "page", p.Page+1, "size", size/2)
		return s.readMembers(ctx, fmt.Sprintf("%s%s/%d", membersStream, g.OktaID, size/2), nil, g, size/2, maxPages, r)
	}
	return p, err
}

// listMembers reads a page of members. A group that had members and lists none is read
// once more before that is believed: member lists lag behind (facts.md §14).
func (s *session) listMembers(ctx context.Context, g mesh.QueuedGroup, size int, next string) ([]okta.Member, *okta.Page, error) {
	rows, page, err := s.okta.ListGroupMembers(ctx, g.OktaID, size, next)
	if err == nil && g.Had && next == "" && len(rows) == 0 && page.Next == "" {
		s.log.Info("A group that had members lists none: reading it once more", "group", g.OktaID)
		return s.okta.ListGroupMembers(ctx, g.OktaID, size, next)
	}
	return rows, page, err
}

// groupGone records that a group was deleted between its listing and its reading:
// the run goes on and settles its Delete (facts.md §3).
func (s *session) groupGone(ctx context.Context, id string, p mesh.Progress) error {
	s.log.Info("Group was deleted while the run was reading", "group", id)
	work, cancel := detach(ctx)
	defer cancel()
	return storeError(s.a.store.GroupGone(work, s.fence, mesh.Page{
		Stream: p.Stream, Owner: s.owner, Number: p.Page + 1, Done: true, Calls: s.takeCalls(),
	}, id))
}
