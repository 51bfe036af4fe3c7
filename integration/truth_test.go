package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// requireTrue requires that the mesh is the org as it is now, and that the feed,
// replayed from its beginning, rebuilds the mesh.
func (w *world) requireTrue() {
	w.Helper()
	require.Empty(w, w.differences(), "the mesh is not the org")
}

// differences says in what the mesh is not the org as it is now, and requires that the
// feed rebuilds the mesh.
func (w *world) differences() []string {
	w.Helper()
	truth := w.org().Truth()
	want := map[string]map[string]any{} // what is compared
	for id, u := range truth.Users {
		if u.Status != "DEPROVISIONED" {
			want["User "+id] = map[string]any{"status": u.Status, "title": u.Profile["title"], "login": u.Profile["login"]}
		}
	}
	for id, g := range truth.Groups {
		want["Group "+id] = map[string]any{"name": g.Profile["name"]}
	}
	for pair := range truth.Pairs {
		if want["User "+pair.User] != nil {
			want["GroupMember "+pair.Group+":"+pair.User] = map[string]any{"groupId": pair.Group, "memberId": pair.User}
		}
	}
	var differ []string
	live := w.replayFeed()
	for key, attributes := range want {
		if live[key] == nil {
			differ = append(differ, key+" is not in the mesh")
			continue
		}
		for name, v := range attributes {
			if live[key][name] != v {
				differ = append(differ, fmt.Sprintf("%s has %s %v, not %v", key, name, live[key][name], v))
			}
		}
	}
	for key := range live {
		if want[key] == nil {
			differ = append(differ, key+" is not in the org")
		}
	}
	slices.Sort(differ)
	return differ
}

// replayFeed replays the feed from zero and returns what it leaves: no second Add
// without a Delete between, nothing of what is not live, an edge only between live
// ends; and it requires that the mesh holds the same.
func (w *world) replayFeed() map[string]map[string]any {
	w.Helper()
	live := map[string]map[string]any{}
	last := int64(0)
	for c, err := range w.store().Changes(w.Context(), mesh.ChangeQuery{Connector: w.name}) {
		require.NoError(w, err)
		require.Equal(w, last+1, c.Seq, "the feed counts 1, 2, 3 …")
		last = c.Seq
		key := string(c.Type) + " " + c.ExternalID
		_, is := live[key]
		require.Equal(w, c.Op != mesh.Add, is, "%d: %s %s", c.Seq, c.Op, key)
		if c.Op == mesh.Delete {
			require.NotEmpty(w, c.Reason, "%d: %s", c.Seq, key)
			delete(live, key)
			continue
		}
		live[key] = attributesOf(w, c.Attributes)
		if c.Type == mesh.GroupMember {
			for _, end := range []string{"User " + text(live[key]["memberId"]), "Group " + text(live[key]["groupId"])} {
				require.Contains(w, live, end, "%d: %s comes before its ends", c.Seq, key)
			}
		}
	}
	n := 0
	for o, err := range w.store().Objects(w.Context(), mesh.ObjectQuery{Connector: w.name}) {
		require.NoError(w, err)
		key := string(o.Type) + " " + o.ExternalID
		require.Equal(w, live[key], attributesOf(w, o.Attributes), "the feed and the mesh tell the same of %s", key)
		n++
	}
	require.Len(w, live, n, "the feed and the mesh hold the same")
	return live
}

func attributesOf(w *world, raw json.RawMessage) map[string]any {
	w.Helper()
	var a map[string]any
	require.NoError(w, json.Unmarshal(raw, &a))
	return a
}

func text(v any) string {
	s, _ := v.(string) // what is no text is no id
	return s
}

// gate holds requests of the org until it is opened.
type gate struct {
	// Held gets a value for each request that is held.
	Held chan *http.Request
	open chan struct{}
	once sync.Once
}

// hold holds the first n requests that match; n 0 means all. Other requests are
// answered meanwhile.
func (w *world) hold(n int, match func(*http.Request) bool) *gate {
	g := &gate{Held: make(chan *http.Request, 1000), open: make(chan struct{})}
	w.Cleanup(g.Open)
	var mu sync.Mutex
	left := n
	w.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		held := match(r) && (n == 0 || left > 0)
		if held {
			left--
		}
		mu.Unlock()
		if held {
			g.Held <- r
			<-g.open
		}
		return false
	})
	return g
}

// Open lets the held requests go, and holds no more.
func (g *gate) Open() { g.once.Do(func() { close(g.open) }) }

// listing matches the lists of users and of groups.
func listing(r *http.Request) bool {
	return r.URL.Path == "/api/v1/users" || r.URL.Path == "/api/v1/groups"
}
