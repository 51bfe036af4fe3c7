package workflows_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// TestPipelineProperty lets random orgs change at random between, before and during
// deltas and reconciles, and holds the mesh against them. A failing sequence is
// printed shrunk, with the seed that replays it.
func TestPipelineProperty(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	rapid.Check(t, func(t *rapid.T) {
		o := drawOrg(t, store)
		o.full(t)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"change", "change", "change", "delta", "delta", "settled delta", "busy full", "full", "wait"}).Draw(t, "step") {
			case "change":
				o.changes(t)
			case "delta":
				o.delta(t)
			case "settled delta":
				o.settledDelta(t)
			case "busy full":
				o.during(t, func() { o.start(t, workflows.Full) })
				o.checkFeed(true)
			case "full":
				o.full(t)
			case "wait":
				o.clock.Advance(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 7 * time.Minute}).Draw(t, "for"))
			}
		}
		o.settledDelta(t)
		o.full(t)
		o.checkFeed(true)
	})
}

// livingOrg is a small org that changes at random under a pipeline.
type livingOrg struct {
	*pipeline
	born   int
	prefix string // GroupFilter, "" for none
	filter string // UserSearchFilter, "" for none
	only   bool   // GroupFilter.UsersInGroupsOnly
	logins bool
	// unannounced are the things that no delta sees, since the last full walk.
	unannounced map[string]bool
}

// drawOrg makes an org and a connector's definition.
func drawOrg(t *rapid.T, store mesh.Store) *livingOrg {
	start := time.Date(2026, 4, 22, 8, 15, 30, 0, time.UTC)
	clock := oktasim.StandingClock(start)
	org, err := oktasim.Generate(oktasim.Spec{Users: rapid.IntRange(1, 6).Draw(t, "users"), Groups: rapid.IntRange(1, 3).Draw(t, "groups"), Seed: 11, Now: start})
	require.NoError(t, err)
	o := &livingOrg{unannounced: map[string]bool{}}
	cfg := map[string]any{"PageSize": rapid.SampledFrom([]int{2, 3, 200}).Draw(t, "page")}
	if rapid.Bool().Draw(t, "no overlap") {
		cfg["WatermarkOverlap"] = "0s"
	} else {
		lag := func(name string) time.Duration {
			return rapid.SampledFrom([]time.Duration{0, 0, time.Second, 3 * time.Second}).Draw(t, name)
		}
		org.SetLag(oktasim.Lag{Search: lag("search lag"), Members: lag("member lag"), MembershipStamp: lag("stamp lag"), Everyone: lag("everyone lag")})
	}
	switch rapid.SampledFrom([]string{"", "", "status", "title"}).Draw(t, "filter") {
	case "status":
		o.filter = `status eq "ACTIVE"`
	case "title":
		o.filter = `profile.title eq "in" or profile.title eq "out\"side"`
	}
	if o.filter != "" {
		cfg["UserSearchFilter"] = o.filter
	}
	if rapid.IntRange(0, 2).Draw(t, "group filter") == 0 {
		o.prefix, o.only = "IM-", rapid.Bool().Draw(t, "users in groups only")
		cfg["GroupFilter"] = map[string]any{"Include": map[string]any{"NamePrefixes": []string{o.prefix}}, "UsersInGroupsOnly": o.only}
	}
	if rapid.IntRange(0, 3).Draw(t, "refresh") == 0 {
		cfg["MembershipRefresh"] = "all"
	}
	if rapid.IntRange(0, 3).Draw(t, "external id") == 0 {
		o.logins = true
		cfg["ExternalIdAttribute"] = "login"
	}
	o.pipeline = newPipeline(t, store, org, clock, cfg)
	o.tick(0)
	return o
}

// tick lets a request take some milliseconds, so that a run sees the second change.
func (o *livingOrg) tick(d time.Duration) {
	o.before(func() { o.clock.Advance(d) })
}

// run runs an import, during which changes may come.
func (o *livingOrg) during(t *rapid.T, f func()) {
	at := rapid.IntRange(0, 8).Draw(t, "change at request") // 0: none
	d := rapid.SampledFrom([]time.Duration{0, 150 * time.Millisecond, 700 * time.Millisecond}).Draw(t, "a request takes")
	n := 0
	o.before(func() {
		o.clock.Advance(d)
		if n++; n == at {
			o.change(t)
		}
	})
	f()
	o.before(nil)
}

// start runs an import that may fail only for what a change at a bad moment can do.
func (o *livingOrg) start(t *rapid.T, mode workflows.Mode) {
	if _, err := o.run(workflows.ImportInput{Mode: mode}); err != nil {
		require.Contains(t, err.Error(), "empty list", "%v", err)
	}
}

func (o *livingOrg) delta(t *rapid.T) {
	o.during(t, func() { o.start(t, workflows.Delta) })
	o.checkFeed(true)
}

// settledDelta runs a delta once the changes are visible: then the mesh is true but
// for what Okta does not announce.
func (o *livingOrg) settledDelta(t *rapid.T) {
	o.settle()
	if !o.listable() {
		return
	}
	o.start(t, workflows.Delta)
	o.checkFeed(true)
	o.approve()
	want, got := o.want(), o.live()
	for key := range maps.Keys(want) {
		if !o.excused(key) {
			require.Equal(t, want[key], facts(got[key]), "after a delta, %s", key)
		}
	}
	for key := range maps.Keys(got) {
		if _, known := want[key]; !known {
			require.True(t, o.excused(key) || o.purged(key, got[key]), "after a delta the mesh still holds %s", key)
		}
	}
}

// full runs a reconcile once the changes are visible: then the mesh is the org.
func (o *livingOrg) full(t *rapid.T) {
	o.settle()
	if !o.listable() {
		return
	}
	o.start(t, workflows.Full)
	o.checkFeed(true)
	o.approve()
	clear(o.unannounced)
	want, got := o.want(), o.live()
	require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)), "after a reconcile")
	for key := range want {
		require.Equal(t, want[key], facts(got[key]), "after a reconcile, %s", key)
	}
}

// settle waits until every change is visible. Where member lists lag, two deltas may
// have read one too early both times, which is made good when the overlap is over.
func (o *livingOrg) settle() {
	if o.org.Lag().Members > 0 {
		o.clock.Advance(5*time.Minute + 2*time.Second)
	} else {
		o.clock.Advance(10 * time.Second)
	}
}

// listable says whether a list is empty, which no run accepts.
func (o *livingOrg) listable() bool {
	n := 0
	for _, u := range o.org.Truth().Users {
		if u.Status != "DEPROVISIONED" && o.matches(u) {
			n++
		}
	}
	return n > 0
}

// matches evaluates the two filters that drawOrg draws.
func (o *livingOrg) matches(u oktasim.TruthUser) bool {
	switch {
	case o.filter == "":
		return true
	case strings.HasPrefix(o.filter, "status"):
		return u.Status == "ACTIVE"
	default:
		return u.Profile["title"] == "in" || u.Profile["title"] == `out"side`
	}
}

// facts are the attributes that are compared.
func facts(attributes map[string]any) map[string]any {
	if attributes == nil {
		return nil
	}
	picked := map[string]any{}
	for _, name := range []string{"status", "login", "title", "name", "memberId"} {
		if v, ok := attributes[name]; ok {
			picked[name] = v
		}
	}
	return picked
}

// want is what the mesh should hold of the org as it is.
func (o *livingOrg) want() map[string]map[string]any {
	truth := o.org.Truth()
	want := map[string]map[string]any{}
	groups := map[string]bool{}
	for id, g := range truth.Groups {
		if name, _ := g.Profile["name"].(string); strings.HasPrefix(name, o.prefix) {
			groups[id] = true
			want["Group "+id] = map[string]any{"name": g.Profile["name"]}
		}
	}
	in := map[string]bool{}
	for pair := range truth.Pairs {
		if groups[pair.Group] {
			in[pair.User] = true
		}
	}
	users := map[string]bool{}
	for id, u := range truth.Users {
		if u.Status == "DEPROVISIONED" || !o.matches(u) || o.only && !in[id] {
			continue
		}
		users[id] = true
		key := id
		if o.logins {
			key = fmt.Sprint(u.Profile["login"])
		}
		want["User "+key] = map[string]any{"status": u.Status, "login": u.Profile["login"], "title": u.Profile["title"]}
	}
	for pair := range truth.Pairs {
		if groups[pair.Group] && users[pair.User] {
			want["GroupMember "+pair.Group+":"+pair.User] = map[string]any{"memberId": pair.User}
		}
	}
	return want
}

// purged says whether Okta no longer knows a user of the mesh at all.
func (o *livingOrg) purged(key string, attributes map[string]any) bool {
	id, isUser := strings.CutPrefix(key, "User ")
	if oktaID, ok := attributes["oktaId"].(string); ok {
		id = oktaID
	}
	_, there := o.org.Truth().Users[id]
	return isUser && !there
}

// excuse notes that no delta sees what became of a user, whom the mesh may know by an
// earlier login.
func (o *livingOrg) excuse(id string, u oktasim.TruthUser) {
	o.unannounced[id] = true
	o.unannounced[fmt.Sprint("User ", u.Profile["login"])] = true
	for key, attributes := range o.live() {
		if attributes["oktaId"] == id {
			o.unannounced[key] = true
		}
	}
}

// excused says whether a delta may miss what key names.
func (o *livingOrg) excused(key string) bool {
	for id := range o.unannounced {
		if strings.Contains(key, id) {
			return true
		}
	}
	return false
}

// changes makes a few changes, some of them in one second.
func (o *livingOrg) changes(t *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		o.change(t)
		o.clock.Advance(rapid.SampledFrom([]time.Duration{0, 0, time.Second}).Draw(t, "later"))
	}
}

// change makes one change in the org. One that Okta refuses changes nothing.
func (o *livingOrg) change(t *rapid.T) {
	user := func() string { return pick(t, "user", o.org.UserIDs()) }
	group := func() string { return pick(t, "group", o.org.GroupIDsByType("OKTA_GROUP")) }
	o.born++
	var err error
	what := rapid.SampledFrom([]string{
		"hire", "edit", "edit", "deactivate", "reactivate", "suspend", "purge", "takeover", "schema", "login",
		"new group", "rename group", "drop group", "join", "join", "join", "leave", "leave", "empty",
	}).Draw(t, "change")
	switch what {
	case "hire":
		_, err = o.org.CreateUser(map[string]any{
			"login": fmt.Sprintf("new%d@example.com", o.born), "email": fmt.Sprintf("new%d@example.com", o.born),
			"firstName": "New", "lastName": "Hire", "title": "in",
		}, true)
	case "edit":
		err = o.org.UpdateUser(user(), map[string]any{"title": rapid.SampledFrom([]string{"in", "out", `out"side`}).Draw(t, "title")})
	case "login":
		err = o.org.UpdateUser(user(), map[string]any{"login": fmt.Sprintf("renamed%d@example.com", o.born)})
	case "deactivate":
		err = o.org.SetStatus(user(), "DEPROVISIONED")
	case "reactivate":
		err = o.org.SetStatus(user(), "ACTIVE")
	case "suspend":
		err = o.org.SetStatus(user(), "SUSPENDED")
	case "purge":
		id := user()
		if u, ok := o.org.Truth().Users[id]; ok {
			o.excuse(id, u)
			err = o.org.DeleteUser(id)
		}
	case "takeover": // a new user gets the login of one who was deleted
		id := user()
		u, ok := o.org.Truth().Users[id]
		if !ok {
			break
		}
		for range 2 { // the first one deactivates
			if _, there := o.org.Truth().Users[id]; there {
				_ = o.org.DeleteUser(id)
			}
		}
		for key, attributes := range o.live() {
			if attributes["oktaId"] == id && key != fmt.Sprint("User ", u.Profile["login"]) {
				o.unannounced[key] = true
			}
		}
		o.unannounced[id] = true
		if rapid.Bool().Draw(t, "at once") {
			o.clock.Advance(time.Second)
		}
		id, err = o.org.CreateUser(map[string]any{
			"login": u.Profile["login"], "email": u.Profile["login"], "firstName": "Next", "lastName": "One", "title": "in",
		}, true)
		if o.only || err != nil || !o.matches(o.org.Truth().Users[id]) { // nobody takes the login over in the mesh
			o.excuse(id, u)
		}
	case "schema":
		for id, u := range o.org.Truth().Users {
			o.excuse(id, u)
		}
		err = o.org.RemoveAttribute("title")
	case "new group":
		_, err = o.org.CreateGroup(map[string]any{"name": fmt.Sprintf("%sgroup %d", rapid.SampledFrom([]string{"IM-", ""}).Draw(t, "prefix"), o.born)})
	case "rename group":
		err = o.org.ReplaceGroup(group(), map[string]any{"name": fmt.Sprintf("%srenamed %d", rapid.SampledFrom([]string{"IM-", ""}).Draw(t, "prefix"), o.born)})
	case "drop group":
		id := group()
		o.unannounced[id] = true
		if o.only { // who was in it is out of scope, which nothing announces
			for _, u := range o.org.MemberIDs(id) {
				o.excuse(u, o.org.Truth().Users[u])
			}
		}
		err = o.org.DeleteGroup(id)
	case "join":
		err = o.org.AddMember(group(), user())
	case "leave":
		err = o.org.RemoveMember(group(), user())
	case "empty":
		g := group()
		for _, u := range o.org.MemberIDs(g) {
			if err = o.org.RemoveMember(g, u); err != nil {
				break
			}
		}
	}
	_ = err // Okta refuses some, such as a second deactivation
}

// pick draws one of ids, an unknown one when there are none.
func pick(t *rapid.T, label string, ids []string) string {
	if len(ids) == 0 {
		return "00unknown"
	}
	return rapid.SampledFrom(ids).Draw(t, label)
}
