package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/identitymesh/okta-connector/internal/stack"
)

// step is one write to the org; an empty what belongs to the step after it.
type step struct {
	what, method, path string
	body               any
}

// change does to the org what Okta announces: a profile is edited, people are
// suspended, deactivated and hired into a group, somebody leaves one.
func change(ctx context.Context, o *stack.Org, active []stack.OrgUser, tell func(string)) error {
	joined, left, member, err := smallGroups(ctx, o)
	if err != nil {
		return err
	}
	const users = "/api/v1/users/"
	edited, suspended, deactivated, added := active[0], active[1], active[2], active[3]
	for _, s := range []step{
		{"edited: " + edited.Name() + " has a new title", http.MethodPost, users + edited.ID, map[string]any{"profile": map[string]any{"title": "Head of Demonstrations"}}},
		{"suspended: " + suspended.Name(), http.MethodPost, users + suspended.ID + "/lifecycle/suspend", nil},
		{"deactivated: " + deactivated.Name(), http.MethodPost, users + deactivated.ID + "/lifecycle/deactivate", nil},
		{"added to " + joined.Profile.Name + ": " + added.Name(), http.MethodPut, "/api/v1/groups/" + joined.ID + "/users/" + added.ID, nil},
		{"removed from " + left.Profile.Name + ": " + member.Name(), http.MethodDelete, "/api/v1/groups/" + left.ID + "/users/" + member.ID, nil},
	} {
		if err := o.Call(ctx, s.method, s.path, s.body, nil); err != nil {
			return err
		}
		tell(s.what)
	}
	return nil
}

// smallGroups picks two small groups, so that the feed stays short, and somebody whom
// the second can lose.
func smallGroups(ctx context.Context, o *stack.Org) (joined, left stack.OrgGroup, member stack.OrgUser, err error) {
	groups, err := o.Groups(ctx)
	if err != nil {
		return joined, left, member, err
	}
	for _, g := range groups {
		members, err := o.Members(ctx, g.ID, 7)
		if err != nil {
			return joined, left, member, err
		}
		// A group that lists nobody is read once more before its edges go, and somebody
		// who is DEPROVISIONED has no edge.
		i := slices.IndexFunc(members, func(u stack.OrgUser) bool { return u.Status == "ACTIVE" })
		switch {
		case i < 0 || len(members) < 2 || len(members) > 6:
		case joined.ID == "":
			joined = g
		default:
			return joined, g, members[i], nil
		}
	}
	return joined, left, member, fmt.Errorf("the org is too small for the demo: none of %d groups, or one, has 2 to 6 members", len(groups))
}
