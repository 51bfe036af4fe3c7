package preflight_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/preflight"
)

func TestAGoodConnector(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply(`"UserSearchFilter": "status eq \"ACTIVE\""`, `"GroupFilter": {"Exclude": {"Types": ["BUILT_IN"]}}`)
	before := database(t, b)
	r := b.run()
	require.Equal(t, preflight.OK, r.Result, text(r))
	require.Equal(t, len(r.Steps), r.Count(preflight.OK), text(r))
	require.Equal(t, b.web.URL, r.Org)
	require.Equal(t, 8, r.Calls, "one for each right, and one for the filter")
	require.Equal(t, 1, b.sim.Stats().MaxInFlight, "one call at a time")
	require.Equal(t, before, database(t, b), "nothing was written")
	b.withStore(func(ctx context, store mesh.Store) {
		holder, err := store.Holder(ctx, name)
		require.NoError(t, err)
		require.Empty(t, holder)
		runs, err := store.Runs(ctx, name, 0)
		require.NoError(t, err)
		require.Empty(t, runs)
	})
	requireStep(t, r, preflight.UserFilter, preflight.OK, "matches 49 users", "")
	requireStep(t, r, preflight.GroupScope, preflight.OK, "includes 7 of the 8 groups", "")
	requireStep(t, r, preflight.RateLimit, preflight.OK, "/api/v1/groups: 600 calls a window, 597 left", "")

	var shown map[string]any
	out, err := json.Marshal(r)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &shown))
	require.ElementsMatch(t, []string{"connector", "org", "result", "calls", "steps"}, slices.Collect(maps.Keys(shown)))
}

// database is the content of the mesh's file.
func database(t *testing.T, b *bench) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(b.dir, "mesh.db"))
	require.NoError(t, err)
	return string(content)
}

// The exact calls of a check, by the passes that are on.
func TestCalls(t *testing.T) {
	t.Parallel()
	const users, groups, members = `"ImportUsers": false`, `"ImportGroups": false`, `"ImportMemberships": false`
	const (
		listUsers, getUser   = "GET /api/v1/users", "GET /api/v1/users/{id}"
		listGroups, getGroup = "GET /api/v1/groups", "GET /api/v1/groups/{id}"
		listMembers          = "GET /api/v1/groups/{id}/users"
	)
	for what, c := range map[string]struct {
		settings []string
		want     map[string]int
	}{
		"everything":       {nil, map[string]int{listUsers: 2, getUser: 1, listGroups: 2, getGroup: 1, listMembers: 1}},
		"with a filter":    {[]string{`"UserSearchFilter": "status pr"`}, map[string]int{listUsers: 3, getUser: 1, listGroups: 2, getGroup: 1, listMembers: 1}},
		"users":            {[]string{groups, members}, map[string]int{listUsers: 2, getUser: 1}},
		"groups":           {[]string{users, members}, map[string]int{listGroups: 2, getGroup: 1}},
		"memberships":      {[]string{users, groups}, map[string]int{listGroups: 2, getGroup: 1, listMembers: 1}},
		"users and groups": {[]string{members}, map[string]int{listUsers: 2, getUser: 1, listGroups: 2, getGroup: 1}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.apply(c.settings...)
			r := b.run()
			require.Equal(t, preflight.OK, r.Result, text(r))
			require.Equal(t, c.want, b.sim.Stats().ByEndpoint)
			total := 0
			for _, n := range c.want {
				total += n
			}
			require.Equal(t, total, r.Calls)
		})
	}
}

// Whatever fails first, the steps are the same ones in the same order, and none is
// forgotten in silence.
func TestTheStepsDoNotDependOnWhatFails(t *testing.T) {
	t.Parallel()
	ids := func(r *preflight.Report) []preflight.ID {
		var all []preflight.ID
		for _, s := range r.Steps {
			if len(all) == 0 || all[len(all)-1] != s.ID { // one step for each bucket
				all = append(all, s.ID)
			}
		}
		return all
	}
	settings := []string{`"UserSearchFilter": "status pr"`, `"GroupFilter": {"Exclude": {"Types": ["BUILT_IN"]}}`}
	b := newBench(t)
	b.apply(settings...)
	want := ids(b.run())
	for what, spoil := range map[string]func(*bench){
		"refused token": func(b *bench) { b.answer("", refuse(401, "E0000011", "Invalid token provided")) },
		"no Okta":       func(b *bench) { b.answer("", html(200)) },
		"nobody":        func(b *bench) { b.web.Close() },
		"no role":       func(b *bench) { fault(b, "role-lost") },
		"forbidden":     func(b *bench) { b.answer("", refuse(403, "E0000006", "You do not have permission")) },
		"server error":  func(b *bench) { b.answer("", refuse(500, "E0000009", "Internal Server Error")) },
	} {
		b := newBench(t)
		b.apply(settings...)
		spoil(b)
		r := b.run()
		require.Equal(t, preflight.Failed, r.Result, what)
		got := ids(r)
		require.ElementsMatch(t, unaged(want), unaged(got), "%s\n%s", what, text(r))
	}
	missing := newBench(t)
	missing.applyAs(missing.definition(settings...))
	require.ElementsMatch(t, unaged(want), unaged(ids(missing.run())), "without a secret")
}

// unaged leaves out what is not asked of a secret that is not there.
func unaged(ids []preflight.ID) []preflight.ID {
	return slices.DeleteFunc(slices.Clone(ids), func(id preflight.ID) bool {
		return id == preflight.SecretAge || id == preflight.SecretUse
	})
}
