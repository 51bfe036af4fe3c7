package oktasim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestListsFollowTheWrites draws sequences of writes and holds every paged list
// against a plain model of what was written.
func TestListsFollowTheWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		org, err := oktasim.Generate(oktasim.Spec{Users: rapid.IntRange(0, 12).Draw(rt, "users"), Groups: rapid.IntRange(1, 6).Draw(rt, "groups"), Seed: 1, Now: testNow})
		require.NoError(rt, err)
		srv := oktasim.New(oktasim.Config{Org: org, Now: func() time.Time { return testNow }})

		status, members := map[string]string{}, map[string]map[string]bool{}
		for _, st := range oktasim.Statuses {
			for _, id := range org.UserIDsByStatus(st) {
				status[id] = st
			}
		}
		writable := map[string]bool{}
		for _, id := range org.GroupIDs() {
			members[id] = map[string]bool{}
			for _, m := range org.MemberIDs(id) {
				members[id][m] = true
			}
		}
		for _, id := range org.GroupIDsByType(oktasim.OktaGroup) {
			writable[id] = true
		}
		user := func(rt *rapid.T) string {
			if len(status) == 0 {
				rt.Skip("no user")
			}
			return rapid.SampledFrom(slices.Sorted(maps.Keys(status))).Draw(rt, "user")
		}
		group := func(rt *rapid.T) string {
			if len(writable) == 0 {
				rt.Skip("no group")
			}
			return rapid.SampledFrom(slices.Sorted(maps.Keys(writable))).Draw(rt, "group")
		}
		n := 0
		rt.Repeat(map[string]func(*rapid.T){
			"create user": func(*rapid.T) {
				n++
				login := fmt.Sprintf("drawn%d@example.com", n)
				id, err := org.CreateUser(map[string]any{"login": login, "email": login, "firstName": "D", "lastName": "D"}, n%2 == 0)
				require.NoError(rt, err)
				status[id] = map[bool]string{true: oktasim.Provisioned, false: oktasim.Staged}[n%2 == 0]
				members[org.EveryoneID()][id] = true
			},
			"set status": func(rt *rapid.T) {
				id := user(rt)
				status[id] = rapid.SampledFrom(oktasim.Statuses).Draw(rt, "status")
				require.NoError(rt, org.SetStatus(id, status[id]))
			},
			"update user": func(rt *rapid.T) {
				id := user(rt)
				err := org.UpdateUser(id, map[string]any{"title": rapid.String().Draw(rt, "title")})
				var e *oktasim.Error
				require.Equal(rt, status[id] == oktasim.Deprovisioned, errors.As(err, &e))
			},
			"delete user": func(rt *rapid.T) {
				id := user(rt)
				require.NoError(rt, org.DeleteUser(id))
				delete(status, id)
				for _, m := range members {
					delete(m, id)
				}
			},
			"create group": func(*rapid.T) {
				n++
				id, err := org.CreateGroup(map[string]any{"name": fmt.Sprint("Drawn ", n)})
				require.NoError(rt, err)
				members[id], writable[id] = map[string]bool{}, true
			},
			"delete group": func(rt *rapid.T) {
				id := group(rt)
				require.NoError(rt, org.DeleteGroup(id))
				delete(members, id)
				delete(writable, id)
			},
			"add member": func(rt *rapid.T) {
				g, u := group(rt), user(rt)
				require.NoError(rt, org.AddMember(g, u))
				members[g][u] = true
			},
			"remove member": func(rt *rapid.T) {
				g, u := group(rt), user(rt)
				require.NoError(rt, org.RemoveMember(g, u))
				delete(members[g], u)
			},
			"": func(rt *rapid.T) {
				limit := rapid.IntRange(1, 9).Draw(rt, "limit")
				everyone, live := slices.Sorted(maps.Keys(status)), []string{}
				for _, id := range everyone {
					if status[id] != oktasim.Deprovisioned {
						live = append(live, id)
					}
				}
				same := func(want []string, target string) {
					if got := walkHandler(rt, srv, target); len(want) > 0 || len(got) > 0 {
						require.Equal(rt, want, got, target)
					}
				}
				same(live, fmt.Sprintf("/api/v1/users?limit=%d", limit))
				same(everyone, fmt.Sprintf("/api/v1/users?limit=%d&search=status+pr", limit))
				same(slices.Sorted(maps.Keys(members)), fmt.Sprintf("/api/v1/groups?limit=%d", limit))
				total := 0
				for g, m := range members {
					same(slices.Sorted(maps.Keys(m)), fmt.Sprintf("/api/v1/groups/%s/users?limit=%d", g, limit))
					total += len(m)
				}
				require.Equal(rt, total, org.Memberships())
			},
		})
	})
}

// walkHandler follows next links without a network between.
func walkHandler(t require.TestingT, h http.Handler, target string) (got []string) {
	for target != "" {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
		r.Header.Set("Authorization", "SSWS "+oktasim.DefaultToken)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var items []struct {
			ID string `json:"id"`
		}
		require.Equal(t, http.StatusOK, w.Code)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &items))
		for _, item := range items {
			got = append(got, item.ID)
		}
		target = ""
		for _, link := range w.Header().Values("Link") {
			if m := linkForm.FindStringSubmatch(link); m[2] == "next" {
				target = m[1]
			}
		}
	}
	return got
}

// TestReadersAndWriters is for the race detector; what it asserts is that no
// page is ever torn: each parses and is ordered by id.
func TestReadersAndWriters(t *testing.T) {
	t.Parallel()
	org := generated(t, 300, 20)
	s := newSim(t, org, func(c *oktasim.Config) { c.Now = time.Now })
	group, users := org.GroupIDsByType(oktasim.OktaGroup)[0], org.UserIDs()
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := range 60 {
				login := fmt.Sprintf("writer%d-%d@example.com", w, i)
				id, err := org.CreateUser(map[string]any{"login": login, "email": login, "firstName": "W", "lastName": "W"}, true)
				if err != nil {
					t.Error(err)
					return
				}
				_ = org.AddMember(group, users[(w*60+i)%len(users)])
				_ = org.UpdateUser(id, map[string]any{"title": fmt.Sprint(i)})
				_ = org.SetStatus(id, oktasim.Suspended)
				_ = org.SignIn(users[i])
				_ = org.RemoveMember(group, users[i])
				if i%2 == 0 {
					_ = org.DeleteUser(id)
				}
				_ = s.do(http.MethodPost, "/api/v1/users/"+users[w], `{"profile":{"title":"T"}}`)
			}
		})
	}
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, target := range []string{"/api/v1/users?limit=50", "/api/v1/groups?expand=stats", "/api/v1/groups/" + group + "/users?limit=20",
					"/api/v1/users" + query("search", `profile.title pr and lastUpdated gt "2026-01-01T00:00:00.000Z"`), "/api/v1/users/" + users[0] + "/groups"} {
					if got := ids(s.walk(target)); !slices.IsSorted(got) {
						t.Errorf("%s is not ordered by id: %v", target, got)
						return
					}
				}
				_ = org.Snapshot()
				_ = s.srv.Stats()
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	require.Len(t, org.UserIDs(), 300+90)
}

func TestGoWritesFailLikeTheEndpoints(t *testing.T) {
	t.Parallel()
	org := generated(t, 5, 1)
	var e *oktasim.Error
	require.ErrorAs(t, org.DeleteUser("00unone"), &e)
	require.Equal(t, oktasim.Error{Status: 404, Code: "E0000007", Summary: "Not found: Resource not found: 00unone (User)"}, *e)
	require.ErrorAs(t, org.SetStatus(org.UserIDs()[0], "AWAKE"), &e)
	require.ErrorAs(t, org.SetStatus("00unone", oktasim.Active), &e)
	require.ErrorAs(t, org.DeleteGroup(org.EveryoneID()), &e)
	require.Equal(t, 403, e.Status)
	require.ErrorAs(t, org.ReplaceGroup("00gnone", nil), &e)
	_, err := org.CreateUser(map[string]any{"login": "x@example.com"}, true)
	require.ErrorAs(t, err, &e)
	require.Equal(t, 400, e.Status)
	require.Contains(t, e.Error(), "firstName: The field cannot be left blank")
	_, err = org.CreateGroup(nil)
	require.ErrorAs(t, err, &e)
	require.Nil(t, org.User("00unone"))
	require.Nil(t, org.Group("00gnone"))
	require.Nil(t, org.MemberIDs("00gnone"))

	id := org.UserIDs()[0]
	before := object(t, org.User(id))
	require.NoError(t, org.SignIn(id))
	after := object(t, org.User(id))
	require.NotEqual(t, before["lastLogin"], after["lastLogin"])
	require.Equal(t, before["lastUpdated"], after["lastUpdated"], "a login does not move lastUpdated")
}
