package workflows_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// row is a user, group or member as Okta sends it.
type row map[string]any

// rewrite edits what the org answers with status 200: the rows of a list, or the one
// object of a read by id, and the header.
func (p *pipeline) rewrite(edit func(r *http.Request, rows []row, h http.Header) any) {
	p.rewriteWith(0, edit)
}

// rewriteWith is rewrite of an org whose searches show searchCap rows at most.
func (p *pipeline) rewriteWith(searchCap int, edit func(r *http.Request, rows []row, h http.Header) any) {
	inner := p.transport()
	p.acts = activities.New(activities.Config{Store: p.store, Secrets: simToken{}, SearchCap: searchCap, HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		asked := r
		if query := r.URL.Query(); strings.HasPrefix(query.Get("after"), "hostile") { // no cursor of the org: its first page
			query.Del("after")
			asked = r.Clone(r.Context())
			asked.URL.RawQuery = query.Encode()
		}
		resp, err := inner.RoundTrip(asked)
		if err != nil || resp.StatusCode != http.StatusOK {
			return resp, err
		}
		body, err := io.ReadAll(resp.Body)
		require.NoError(p, err)
		var rows []row
		one := body[0] == '{'
		if one {
			rows = []row{{}}
			require.NoError(p, json.Unmarshal(body, &rows[0]))
		} else {
			require.NoError(p, json.Unmarshal(body, &rows))
		}
		edited := edit(r, rows, resp.Header)
		if list, ok := edited.([]row); ok && one {
			edited = list[0]
		}
		text, err := json.Marshal(edited)
		require.NoError(p, err)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		return resp, nil
	})}})
}

// onList edits one list only.
func onList(path string, edit func(rows []row) any) func(*http.Request, []row, http.Header) any {
	return func(r *http.Request, rows []row, _ http.Header) any {
		if r.URL.Path == path || path == "members" && strings.HasSuffix(r.URL.Path, "/users") && r.URL.Path != usersPath {
			return edit(rows)
		}
		return rows
	}
}

const usersPath, groupsPath = "/api/v1/users", "/api/v1/groups"

// nextIs sets the next link of every answer of a list.
func nextIs(path string, next func(r *http.Request) string) func(*http.Request, []row, http.Header) any {
	return func(r *http.Request, rows []row, h http.Header) any {
		if r.URL.Path == path || path == "members" && strings.HasSuffix(r.URL.Path, "/users") && r.URL.Path != usersPath {
			h.Set("Link", "<"+next(r)+`>; rel="next"`)
		}
		return rows
	}
}

// always is a next link that was never seen before.
func always() func(*http.Request) string {
	var n atomic.Int64
	return func(r *http.Request) string { return fmt.Sprintf("%s?after=hostile%d", r.URL.Path, n.Add(1)) }
}

// emptyPipeline is an org that was not imported yet.
func emptyPipeline(t *testing.T, users, groups int, cfg map[string]any) *pipeline {
	t.Helper()
	return smallOrg(t, openStore(t), users, groups, cfg)
}

func smallOrg(t *testing.T, store mesh.Store, users, groups int, cfg map[string]any) *pipeline {
	t.Helper()
	start := time.Date(2026, 4, 22, 8, 15, 30, 0, time.UTC)
	org, err := oktasim.Generate(oktasim.Spec{Users: users, Groups: groups, Seed: 5, Now: start})
	require.NoError(t, err)
	return newPipeline(t, store, org, oktasim.StandingClock(start), cfg)
}

// requireOrg requires that the mesh is what the org is.
func (p *pipeline) requireOrg() {
	p.Helper()
	truth, want := p.org.Truth(), map[string]any{}
	for id, u := range truth.Users {
		if u.Status != oktasim.Deprovisioned {
			want["User "+id] = []any{u.Status, u.Profile["login"], u.Profile["title"]}
		}
	}
	for id, g := range truth.Groups {
		want["Group "+id] = g.Profile["name"]
	}
	for pair := range truth.Pairs {
		if want["User "+pair.User] != nil {
			want["GroupMember "+pair.Group+":"+pair.User] = true
		}
	}
	got := map[string]any{}
	for key, a := range p.live() {
		switch typ, _, _ := strings.Cut(key, " "); mesh.ObjectType(typ) {
		case mesh.User:
			got[key] = []any{a["status"], a["login"], a["title"]}
		case mesh.Group:
			got[key] = a["name"]
		default:
			got[key] = true
		}
	}
	require.Equal(p, want, got)
}

// TestHostileListings: a walk that is led astray ends, says why, and changes nothing.
func TestHostileListings(t *testing.T) {
	t.Parallel()
	pingPong := func(r *http.Request) string {
		if r.URL.Query().Get("after") == "hostileA" {
			return usersPath + "?after=hostileB"
		}
		return usersPath + "?after=hostileA"
	}
	member := func(id string) row { return row{"id": id, "status": "ACTIVE"} }
	for name, tc := range map[string]struct {
		edit func(*http.Request, []row, http.Header) any
		err  string
	}{
		"a loop over two pages":         {nextIs(usersPath, pingPong), "repeats an earlier one"},
		"users for ever":                {nextIs(usersPath, always()), "128 pages of users brought"},
		"groups for ever":               {nextIs(groupsPath, always()), "128 pages of groups brought"},
		"members for ever":              {nextIs("members", always()), "the listing does not end"},
		"empty pages for ever":          {then(onList(usersPath, func([]row) any { return []row{} }), nextIs(usersPath, always())), "the listing does not end: 1024 pages of users brought 0 rows"},
		"another org's link":            {nextIs(usersPath, func(*http.Request) string { return "https://evil.example" + usersPath + "?after=1" }), "evil.example"},
		"another list's link":           {nextIs(usersPath, func(*http.Request) string { return groupsPath + "?after=1" }), "leads to another list"},
		"a link of a megabyte":          {nextIs(usersPath, func(*http.Request) string { return usersPath + "?after=" + strings.Repeat("x", 1<<20) }), "bytes long"},
		"null for a list":               {onList(usersPath, func([]row) any { return nil }), "not a list"},
		"an object for a list":          {onList(groupsPath, func([]row) any { return row{"id": "00g1"} }), "not a list"},
		"a null row":                    {onList(usersPath, func(rows []row) any { return append(rows, nil) }), "has no id"},
		"a row of another type":         {onList(usersPath, func(rows []row) any { return []any{rows[0], "x"} }), "is no object"},
		"a member without an id":        {onList("members", func(rows []row) any { return append(rows, member("")) }), "has no id"},
		"a member without a status":     {onList("members", func(rows []row) any { return append(rows, row{"id": "00u1"}) }), "has no status"},
		"a member of a megabyte":        {onList("members", func(rows []row) any { return append(rows, member(strings.Repeat("x", 3<<20))) }), "more than 1 MiB"},
		"more rows than a page has":     {onList("members", func([]row) any { return slices.Repeat([]row{member("00u1")}, 10_001) }), "more than 10000 rows"},
		"a user nested without end":     {onList(usersPath, func(rows []row) any { rows[0]["profile"] = row{"title": nested(5000)}; return rows }), "nests deeper"},
		"a group with a path for an id": {onList(groupsPath, func(rows []row) any { rows[0]["id"] = "../users"; return rows }), "cannot be one of Okta's"},
		"users where groups should be":  {onList(groupsPath, func([]row) any { return []row{{"id": "00u1", "status": "ACTIVE"}} }), "no profile"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 60, 8, map[string]any{"PageSize": 50})
			before := p.live()
			p.rewrite(tc.edit)
			_, err := p.run(workflows.ImportInput{Mode: workflows.Full})
			require.ErrorContains(t, err, tc.err)
			require.Less(t, len(err.Error()), 4000)
			require.Equal(t, before, p.live())
			p.checkFeed(true)
			p.serve(0)
			p.must(workflows.Full, mesh.Completed)
			require.Equal(t, before, p.live(), "the next run is as if nothing had happened")
		})
	}
}

func then(edits ...func(*http.Request, []row, http.Header) any) func(*http.Request, []row, http.Header) any {
	return func(r *http.Request, rows []row, h http.Header) any {
		var edited any = rows
		for _, edit := range edits {
			edited = edit(r, edited.([]row), h) //nolint:forcetypeassert // the first edits give rows
		}
		return edited
	}
}

func nested(levels int) any {
	return json.RawMessage(strings.Repeat("[", levels) + strings.Repeat("]", levels))
}

// TestASearchWithoutAnEnd: a delta whose search goes on for ever is read another way.
func TestASearchWithoutAnEnd(t *testing.T) {
	t.Parallel()
	p := imported(t, 60, 8, map[string]any{"PageSize": 20})
	edit(t, p.org)
	p.clock.Advance(time.Minute)
	p.serve(100)
	more := always()
	p.rewriteWith(100, func(r *http.Request, rows []row, h http.Header) any {
		if r.URL.Query().Has("search") {
			next := more(r)
			rows = make([]row, 20)
			for i := range rows { // always others, whom the mesh never held
				_, n, _ := strings.Cut(next, "after=")
				rows[i] = row{"id": fmt.Sprint(n, "-", i), "status": "DEPROVISIONED", "profile": row{}}
			}
			h.Set("Link", "<"+next+`&search=status+pr>; rel="next"`)
		}
		return rows
	})
	r := p.must(workflows.Delta, mesh.Completed)
	require.Equal(t, 1, r.Counts[mesh.User].Updated)
	p.checkFeed(true)
}

// TestDuplicateRows: what is listed twice, in a page and across pages, is there once.
func TestDuplicateRows(t *testing.T) {
	t.Parallel()
	p := emptyPipeline(t, 60, 8, map[string]any{"PageSize": 20})
	var last []row
	p.rewrite(func(r *http.Request, rows []row, _ http.Header) any {
		if strings.Contains(r.URL.RawQuery, "search") {
			return rows
		}
		twice := slices.Concat(rows, rows)
		if r.URL.Path == usersPath {
			twice, last = append(twice, last...), rows
		}
		return twice
	})
	p.must(workflows.Full, mesh.Completed)
	got := p.live()
	p.checkFeed(true)
	p.serve(0)
	r := p.must(workflows.Full, mesh.Completed)
	require.Equal(t, got, p.live())
	for typ, c := range r.Counts {
		require.Zero(t, c.Added+c.Updated+c.Deleted, typ)
	}
	p.requireOrg()
}

// TestSwappedIDs: a look-up by id that shows another object proves nothing.
func TestSwappedIDs(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(r *http.Request, rows []row) any{
		"another user": func(_ *http.Request, rows []row) any { rows[0]["id"] = "00uSomebodyElse"; return rows },
		"no id":        func(_ *http.Request, rows []row) any { rows[0]["id"] = nil; return rows },
		"no status":    func(_ *http.Request, rows []row) any { rows[0]["status"] = nil; return rows },
		"a list":       func(_ *http.Request, rows []row) any { return []any{rows[0]} },
		"null":         func(*http.Request, []row) any { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 60, 8, nil)
			before := p.live()
			require.NoError(t, p.sim.SetFault(oktasim.Fault{Name: oktasim.FaultDropRows, Path: usersPath, IDs: p.org.UserIDsByStatus("ACTIVE")[:3]}))
			require.NoError(t, p.sim.SetFault(oktasim.Fault{Name: oktasim.FaultLookupEmpty}))
			p.rewrite(func(r *http.Request, rows []row, _ http.Header) any {
				if strings.HasPrefix(r.URL.Path, usersPath+"/") {
					return edit(r, rows)
				}
				return rows
			})
			_, err := p.run(workflows.ImportInput{Mode: workflows.Full})
			require.Error(t, err)
			require.Equal(t, before, p.live())
			p.checkFeed(true)
		})
	}
}

// TestEveryFieldNullOrWrong: a field that is null, of another type or not there is a
// clear error or an import in which it is null. Nothing is lost and nobody is deleted.
func TestEveryFieldNullOrWrong(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	values := map[string]any{"null": nil, "object": row{"x": 1}}
	if testing.Short() {
		t.Log("SKIPPED: texts, lists and absent fields (-short)")
	} else {
		values["text"], values["list"], values["absent"] = "x", []string{"x"}, nil
	}
	fields := map[string][]string{
		usersPath: {
			"id", "status", "created", "activated", "statusChanged", "lastLogin", "lastUpdated", "passwordChanged", "type", "realmId",
			"transitioningToStatus", "profile", "profile.login", "profile.firstName", "_links",
		},
		groupsPath: {
			"id", "type", "created", "lastUpdated", "lastMembershipUpdated", "objectClass", "source", "profile", "profile.name", "profile.description", "_links",
		},
		"members": {"id", "status", "profile", "lastUpdated"},
	}
	for list, names := range fields {
		for _, name := range names {
			t.Run(list+" "+name, func(t *testing.T) {
				t.Parallel()
				p := smallOrg(t, store, 12, 3, nil)
				p.must(workflows.Full, mesh.Completed)
				before := p.live()
				for kind, value := range values {
					p.rewrite(onList(list, func(rows []row) any {
						for _, r := range rows {
							spoil(r, name, value, kind == "absent")
						}
						return rows
					}))
					_, err := p.run(workflows.ImportInput{Mode: workflows.Full})
					after := p.live()
					if err != nil {
						require.Less(t, len(err.Error()), 4000)
						for key, attributes := range before { // a list without its true ids adds strangers until it is seen to be incomplete
							require.Equal(t, attributes, after[key], "%s %s: %v", kind, key, err)
						}
					} else {
						require.ElementsMatch(t, slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)), "%s: nothing is lost", kind)
					}
					p.serve(0)
					p.must(workflows.Full, mesh.Completed)
					require.Equal(t, before, p.live(), "%s: all is as the org says when it is itself again", kind)
				}
				p.checkFeed(true)
			})
		}
	}
}

// spoil sets a field, such as "profile.login", to value, or takes it away.
func spoil(r row, field string, value any, absent bool) {
	if inner, ok := strings.CutPrefix(field, "profile."); ok {
		r, field = row(r["profile"].(map[string]any)), inner //nolint:forcetypeassert // the simulator's
	}
	if r[field] = value; absent {
		delete(r, field)
	}
}

// TestOddNames: whatever people are called, the mesh says what Okta says.
func TestOddNames(t *testing.T) {
	t.Parallel()
	names := []string{
		strings.Repeat("Zoë", 3_334), strings.Repeat("𝔘", 10_000), "\u202eevil\u202c", "\u05d0\u05d1 \u0627\u0628", "ad\u200bmin\ufeff", "a\x00b\x01\x1b[2J\x7f\u009b",
		"line\r\nbreak\ttab", "😀👩\u200d💻\U0010ffff", "\uffff\u2028\u2029", `<script>"&'\`, `'); DROP TABLE im_objects; --`, "%s%n{{.}}$(id)", " ", ".", "\u00c5 A\u030a",
	}
	for _, by := range []string{"id", "login"} {
		p := emptyPipeline(t, 40, len(names)+2, map[string]any{"ExternalIdAttribute": by})
		p.rewrite(func(r *http.Request, rows []row, _ http.Header) any {
			for _, one := range rows {
				profile, ok := one["profile"].(map[string]any)
				if !ok {
					continue
				}
				id := fmt.Sprint(one["id"])
				name := names[int(id[len(id)-8]+id[len(id)-7]+id[len(id)-6])%len(names)]
				if _, isUser := profile["login"]; isUser {
					profile["firstName"], profile["displayName"] = name, []string{name, name}
					if len(name) < 200 && by == "login" && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
						profile["login"] = name + fmt.Sprint(profile["login"])
					}
				} else {
					profile["name"], profile["description"] = name, name
				}
			}
			return rows
		})
		p.must(workflows.Full, mesh.Completed)
		p.checkFeed(true)
		shown := map[string]bool{}
		for _, attributes := range p.live() {
			for _, name := range []string{"firstName", "name"} {
				if text, ok := attributes[name].(string); ok {
					require.Contains(t, names, text)
					shown[text] = true
				}
			}
		}
		require.Greater(t, len(shown), len(names)/2)
		r := p.must(workflows.Full, mesh.Completed)
		for typ, c := range r.Counts {
			require.Zero(t, c.Added+c.Updated+c.Deleted, "%s: what was read again is as it was", typ)
		}
	}
}

// TestStampsFromTheFuture: a wrong lastUpdated does not make the true ones look stale.
func TestStampsFromTheFuture(t *testing.T) {
	t.Parallel()
	p := emptyPipeline(t, 40, 5, nil)
	p.rewrite(func(_ *http.Request, rows []row, _ http.Header) any {
		for _, r := range rows {
			for _, name := range []string{"lastUpdated", "lastMembershipUpdated"} {
				if _, has := r[name]; has {
					r[name] = "9999-12-31T23:59:59.000Z"
				}
			}
		}
		return rows
	})
	p.must(workflows.Full, mesh.Completed)
	p.serve(0)
	p.clock.Advance(time.Hour)
	edit(t, p.org)
	require.NoError(t, addOne(p.org))
	p.clock.Advance(time.Hour)
	p.must(workflows.Delta, mesh.Completed)
	p.must(workflows.Full, mesh.Completed)
	p.requireOrg()
	p.checkFeed(true)
}
