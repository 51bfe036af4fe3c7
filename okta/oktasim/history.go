package oktasim

import "slices"

// past is what something was until an instant, in Unix nanoseconds.
type past[T any] struct {
	until int64
	was   T
}

// asOf returns what something was at an instant, by its past in order of time
// and what it is now.
func asOf[T any](list []past[T], at int64, now T) T {
	for i := range list {
		if list[i].until > at {
			return list[i].was
		}
	}
	return now
}

// versions are the past forms of objects by id; nil where there was none.
type versions[T any] map[string][]past[*T]

// view is a list by id as it was at an instant. The list itself stays as it is.
func (v versions[T]) view(list []*T, at int64, k objectKind[T]) []*T {
	cloned := false
	for id, forms := range v {
		if forms[len(forms)-1].until <= at {
			continue
		}
		i, found := slices.BinarySearchFunc(list, id, k.compare)
		var now *T
		if found {
			now = list[i]
		}
		was := asOf(forms, at, now)
		if was == now {
			continue
		}
		if !cloned {
			list, cloned = slices.Clone(list), true
		}
		switch {
		case was == nil:
			list = slices.Delete(list, i, i+1)
		case now == nil:
			list = slices.Insert(list, i, was)
		default:
			list[i] = was
		}
	}
	return list
}

// pair is whether a user was a member of a group.
type pair struct {
	user *user
	in   bool
}

// history is what an org's views of the past are made of. It holds what is
// younger than the greatest lag and is empty when nothing lags.
type history struct {
	users      versions[user]
	groups     versions[group]
	members    map[string][]past[pair]  // by group id
	updated    map[string][]past[stamp] // lastUpdated by group id
	membership map[string][]past[stamp] // lastMembershipUpdated by group id

	records   int // since the last pruning
	afterLast int // records that the last pruning left
}

// prune forgets what no view at an instant from oldest on needs.
func (h *history) prune(oldest int64) {
	h.records = 0
	h.afterLast = pruned(h.users, oldest) + pruned(h.groups, oldest) + pruned(h.members, oldest) +
		pruned(h.updated, oldest) + pruned(h.membership, oldest)
}

func pruned[T any, M ~map[string][]past[T]](m M, oldest int64) (left int) {
	for id, list := range m {
		list = slices.DeleteFunc(list, func(p past[T]) bool { return p.until <= oldest })
		if len(list) == 0 {
			delete(m, id)
			continue
		}
		m[id] = list
		left += len(list)
	}
	return left
}

// record appends what something was until now.
func record[T any, M ~map[string][]past[T]](o *Org, m *M, id string, was T) {
	if !o.recording() {
		return
	}
	// Pruned when it has doubled, so that the cost per write stays the same.
	if h := &o.past; h.records > h.afterLast+64 {
		h.prune(o.oldest())
	}
	o.past.records++
	if *m == nil {
		*m = M{}
	}
	(*m)[id] = append((*m)[id], past[T]{o.instant(), was})
}

// What follows needs o.mu and comes before the write.

// keepUser remembers a user as he is.
func (o *Org) keepUser(u *user) {
	if o.recording() {
		was := *u
		record(o, &o.past.users, u.id, &was)
	}
}

// keepGroup remembers a group as it is, without its members.
func (o *Org) keepGroup(g *group) {
	if o.recording() {
		was := *g
		record(o, &o.past.groups, g.id, &was)
		record(o, &o.past.updated, g.id, g.lastUpdated)
	}
}

// keepMember remembers whether a user is in a group.
func (o *Org) keepMember(g *group, u *user, in bool) {
	record(o, &o.past.members, g.id, pair{u, in})
}
