package oktasim

import (
	"math"
	"slices"
	"time"
)

// Lag is how far what an org shows is behind its writes (facts.md §§1, 2, 14).
// The zero value shows everything at once. All times run on the org's clock.
//
// What no lag touches: GET of a user by id, the plain user list, and whether a
// group and its profile are there when it is read by id or in the plain list.
type Lag struct {
	// Search is the age of the index behind search and filter of users and groups.
	Search time.Duration
	// Members is the age of GET /groups/{id}/users, its users' rows included.
	Members time.Duration
	// MembershipStamp is how long after a membership write a group's
	// lastMembershipUpdated shows it, then back-dated to the write. In search and
	// filter the greater of it and Search counts.
	MembershipStamp time.Duration
	// GroupStamp is the same for a group's lastUpdated.
	GroupStamp time.Duration
	// Everyone is MembershipStamp for the group Everyone.
	Everyone time.Duration
	// Wobble makes every other answer with groups show Everyone's stamp as of
	// twice as far behind, so that it goes back and forth. It was recorded for the
	// copy in GET /users/{id}/groups; here every answer does it, by id too.
	Wobble bool
}

// SetLag sets how far behind the org shows its writes from now on. Writes made
// while nothing lagged stay visible. A greater lag than any before can show no
// more of the past than was kept: twice the greatest lag so far.
func (o *Org) SetLag(lag Lag) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lag = lag
	if lag == (Lag{}) {
		o.keep = 0
	} else {
		o.keep = max(o.keep, 2*max(lag.Search, lag.Members, lag.MembershipStamp, lag.GroupStamp, lag.Everyone))
	}
	o.past.prune(o.oldest())
}

// Lag returns what SetLag has set.
func (o *Org) Lag() Lag {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.lag
}

// SetClock sets the clock of stamps and lag, for an org that no [Server] serves
// yet; a server without a clock of its own takes it over.
func (o *Org) SetClock(now func() time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = now
}

// freezeIndex makes search and filter stand still as of now, or go on.
func (o *Org) freezeIndex(freeze bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if freeze {
		o.frozen = o.instant()
		return
	}
	o.frozen = 0
	o.past.prune(o.oldest())
}

// What follows needs o.mu.

// instant is a time in Unix nanoseconds: lag is finer than stamps.
func (o *Org) instant() int64 { return o.now().UnixNano() }

// behind is the instant that something shows with this lag. Without lag it is
// the end of time: then the present is shown whatever the clock does.
func (o *Org) behind(lag time.Duration) int64 {
	if lag <= 0 {
		return math.MaxInt64
	}
	return o.instant() - int64(lag)
}

// recording says whether writes leave a past.
func (o *Org) recording() bool { return o.keep > 0 || o.frozen != 0 }

// oldest is the instant before which no view looks.
func (o *Org) oldest() int64 {
	at := o.instant() - int64(o.keep)
	if o.frozen != 0 {
		at = min(at, o.frozen)
	}
	return at
}

// indexAt is the instant that search and filter show.
func (o *Org) indexAt() int64 {
	at := o.behind(o.lag.Search)
	if o.frozen != 0 {
		at = min(at, o.frozen)
	}
	return at
}

// indexUsers are the users as search and filter know them, by id.
func (o *Org) indexUsers() []*user { return o.past.users.view(o.users, o.indexAt(), userKind) }

// groupView is what one answer shows of groups: the instants of the objects and
// of their stamps.
type groupView struct{ objects, updated, membership, everyone int64 }

// viewGroups decides what an answer shows of groups; index is for search and filter.
func (o *Org) viewGroups(index bool) groupView {
	everyone := o.lag.Everyone
	if o.lag.Wobble && o.wobble.Add(1)%2 == 0 {
		everyone *= 2
	}
	v := groupView{math.MaxInt64, o.behind(o.lag.GroupStamp), o.behind(o.lag.MembershipStamp), o.behind(everyone)}
	if index {
		v.objects = o.indexAt()
		v.updated, v.membership, v.everyone = min(v.updated, v.objects), min(v.membership, v.objects), min(v.everyone, v.objects)
	}
	return v
}

// shownGroups are all groups as a view shows them, by id.
func (o *Org) shownGroups(v groupView) []*group {
	shown := o.past.groups.view(o.groups, v.objects, groupKind)
	cloned := false
	for _, pasts := range []map[string][]past[stamp]{o.past.updated, o.past.membership} {
		for id := range pasts {
			i, found := slices.BinarySearchFunc(shown, id, compareGroupID)
			if !found {
				continue
			}
			if g := o.shownGroup(shown[i], v); g != shown[i] {
				if !cloned {
					shown, cloned = slices.Clone(shown), true
				}
				shown[i] = g
			}
		}
	}
	return shown
}

// shownGroup is a group with the stamps that a view shows.
func (o *Org) shownGroup(g *group, v groupView) *group {
	membershipAt := v.membership
	if g.isEveryone() {
		membershipAt = v.everyone
	}
	updated := asOf(o.past.updated[g.id], v.updated, g.lastUpdated)
	membership := asOf(o.past.membership[g.id], membershipAt, g.membership)
	if updated == g.lastUpdated && membership == g.membership {
		return g
	}
	shown := *g
	shown.lastUpdated, shown.membership = updated, membership
	shown.render()
	return &shown
}

// shownMembers are a group's members as the member list shows them, by id.
func (o *Org) shownMembers(g *group) []*user {
	at := o.behind(o.lag.Members)
	if at == math.MaxInt64 {
		return g.members
	}
	members := slices.Clone(g.members)
	// The earliest change after the instant says what was true at it.
	changes := o.past.members[g.id]
	for _, change := range slices.Backward(changes) {
		if change.until <= at {
			break
		}
		i, found := slices.BinarySearchFunc(members, change.was.user.id, compareUserID)
		switch {
		case change.was.in && !found:
			members = slices.Insert(members, i, change.was.user)
		case !change.was.in && found:
			members = slices.Delete(members, i, i+1)
		}
	}
	for id, versions := range o.past.users {
		if i, found := slices.BinarySearchFunc(members, id, compareUserID); found {
			if was := asOf(versions, at, members[i]); was != nil {
				members[i] = was
			}
		}
	}
	return members
}
