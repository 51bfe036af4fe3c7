package oktasim_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestEveryAnswerIsTheOrgOfTheInstantItShows draws writes and moves of the clock
// and holds every lagging answer against copies of the org that were taken after
// each write.
func TestEveryAnswerIsTheOrgOfTheInstantItShows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		clock := oktasim.StandingClock(testNow)
		org, err := oktasim.Generate(oktasim.Spec{Users: rapid.IntRange(0, 5).Draw(rt, "users"), Groups: rapid.IntRange(1, 4).Draw(rt, "groups"), Seed: 5, Now: testNow})
		require.NoError(rt, err)
		srv := oktasim.New(oktasim.Config{Org: org, Clock: clock})
		get := asker(rt, srv)
		seconds := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(0, 6).Draw(rt, name)) * 500 * time.Millisecond
		}
		lag := oktasim.Lag{
			Search: seconds("search"), Members: seconds("members"), MembershipStamp: seconds("membershipStamp"),
			GroupStamp: seconds("groupStamp"), Everyone: seconds("everyone"),
		}
		org.SetLag(lag)

		type copied struct {
			at    time.Time
			truth oktasim.Truth
		}
		copies := []copied{{time.Time{}, org.Truth()}}
		back := func(lag time.Duration) oktasim.Truth {
			at := clock.Now().Add(-lag)
			i := len(copies) - 1
			for copies[i].at.After(at) {
				i--
			}
			return copies[i].truth
		}
		n := 0
		drawn := func(name string, ids []string) string {
			if len(ids) == 0 {
				rt.Skip("none")
			}
			return rapid.SampledFrom(ids).Draw(rt, name)
		}
		actions := map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				copies = append(copies, copied{clock.Now(), org.Truth()})

				index := back(lag.Search)
				seen := map[string]string{}
				for _, u := range get("/api/v1/users" + query("search", "status pr")) {
					seen[text(u, "id")] = text(u, "status") + text(u, "lastUpdated")
				}
				want := map[string]string{}
				for id, u := range index.Users {
					want[id] = u.Status + wire(u.LastUpdated)
				}
				require.Equal(rt, want, seen, "search")
				seen, want = map[string]string{}, map[string]string{}
				for _, u := range get("/api/v1/users" + query("filter", `lastUpdated gt "2000-01-01T00:00:00.000Z"`)) {
					seen[text(u, "id")] = text(u, "status")
				}
				for id, u := range index.Users {
					want[id] = u.Status
				}
				require.Equal(rt, want, seen, "filter")

				now := org.Truth()
				stamps := func(id string, behind time.Duration, shown map[string]any) {
					membership := lag.MembershipStamp
					if id == org.EveryoneID() {
						membership = lag.Everyone
					}
					// A group younger than its stamp's lag shows the stamp of its creation.
					created := text(shown, "created")
					at := func(lag time.Duration, stamp func(oktasim.TruthGroup) time.Time) string {
						if g, ok := back(max(lag, behind)).Groups[id]; ok {
							return wire(stamp(g))
						}
						return created
					}
					require.Equal(rt, at(membership, func(g oktasim.TruthGroup) time.Time { return g.LastMembershipUpdated }), text(shown, "lastMembershipUpdated"), id)
					require.Equal(rt, at(lag.GroupStamp, func(g oktasim.TruthGroup) time.Time { return g.LastUpdated }), text(shown, "lastUpdated"), id)
				}
				var found []string
				for _, g := range get("/api/v1/groups" + query("filter", `type eq "OKTA_GROUP" or type eq "APP_GROUP" or type eq "BUILT_IN"`)) {
					found = append(found, text(g, "id"))
					require.Equal(rt, index.Groups[text(g, "id")].Profile, g["profile"])
					stamps(text(g, "id"), lag.Search, g)
				}
				require.Equal(rt, slices.Sorted(maps.Keys(index.Groups)), found)
				for _, g := range get("/api/v1/groups") {
					id := text(g, "id")
					require.Equal(rt, now.Groups[id].Profile, g["profile"], "the plain list is the present")
					stamps(id, 0, g)
					past := back(lag.Members)
					want, seen := map[string]string{}, map[string]string{}
					for p := range past.Pairs {
						if p.Group == id {
							want[p.User] = past.Users[p.User].Status
						}
					}
					for _, u := range get("/api/v1/groups/" + id + "/users") {
						seen[text(u, "id")] = text(u, "status")
					}
					require.Equal(rt, want, seen, "members")
				}
				for _, u := range get("/api/v1/users") {
					require.Equal(rt, now.Users[text(u, "id")].Status, text(u, "status"), "the plain list is the present")
				}
			},
			"advance": func(rt *rapid.T) {
				clock.Advance(time.Duration(rapid.IntRange(1, 8).Draw(rt, "steps")) * 300 * time.Millisecond)
			},
			"create user": func(rt *rapid.T) {
				n++
				mail := string(rune('a'+n%26)) + time.Duration(n).String() + "@example.com"
				_, err := org.CreateUser(map[string]any{"login": mail, "email": mail, "firstName": "F", "lastName": "L"}, false)
				require.NoError(rt, err)
			},
			"status": func(rt *rapid.T) {
				require.NoError(rt, org.SetStatus(drawn("user", org.UserIDs()), rapid.SampledFrom(oktasim.Statuses).Draw(rt, "status")))
			},
			"delete user": func(rt *rapid.T) { require.NoError(rt, org.DeleteUser(drawn("user", org.UserIDs()))) },
			"create group": func(rt *rapid.T) {
				n++
				_, err := org.CreateGroup(map[string]any{"name": time.Duration(n).String()})
				require.NoError(rt, err)
			},
			"rename group": func(rt *rapid.T) {
				n++
				require.NoError(rt, org.ReplaceGroup(drawn("group", org.GroupIDsByType(oktasim.OktaGroup)), map[string]any{"name": time.Duration(n).String()}))
			},
			"delete group": func(rt *rapid.T) {
				require.NoError(rt, org.DeleteGroup(drawn("group", org.GroupIDsByType(oktasim.OktaGroup))))
			},
			"join": func(rt *rapid.T) {
				require.NoError(rt, org.AddMember(drawn("group", org.GroupIDsByType(oktasim.OktaGroup)), drawn("user", org.UserIDs())))
			},
			"leave": func(rt *rapid.T) {
				require.NoError(rt, org.RemoveMember(drawn("group", org.GroupIDsByType(oktasim.OktaGroup)), drawn("user", org.UserIDs())))
			},
			"touch": func(rt *rapid.T) { require.NoError(rt, org.TouchMembership(org.GroupIDs()...)) },
		}
		rt.Repeat(actions)
	})
}

// asker reads whole lists through the transport.
func asker(tb require.TestingT, srv *oktasim.Server) func(path string) []map[string]any {
	client := http.Client{Transport: srv.Transport()}
	return func(path string) []map[string]any {
		req, err := http.NewRequest(http.MethodGet, "http://okta.test"+path, nil) //nolint:noctx // in process
		require.NoError(tb, err)
		req.Header.Set("Authorization", "SSWS "+oktasim.DefaultToken)
		resp, err := client.Do(req)
		require.NoError(tb, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(tb, err)
		require.NoError(tb, resp.Body.Close())
		require.Equal(tb, http.StatusOK, resp.StatusCode, "%s", body)
		var list []map[string]any
		require.NoError(tb, json.Unmarshal(body, &list))
		return list
	}
}

func text(v map[string]any, name string) string {
	s, _ := v[name].(string)
	return s
}

func wire(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func TestLagOfEachAnswer(t *testing.T) {
	t.Parallel()
	org := generated(t, 5, 3)
	s := newSim(t, org)
	org.SetLag(oktasim.Lag{Search: 2 * time.Second, Members: 4 * time.Second, MembershipStamp: 3 * time.Second, GroupStamp: time.Second})
	wrote := wire(testNow.Truncate(time.Second))
	group := org.GroupIDsByType(oktasim.OktaGroup)[0]
	old := object(t, org.Group(group))

	id, err := org.CreateUser(map[string]any{"login": "new@example.com", "email": "new@example.com", "firstName": "N", "lastName": "N"}, true)
	require.NoError(t, err)
	require.NoError(t, org.AddMember(group, id))
	require.NoError(t, org.ReplaceGroup(group, map[string]any{"name": "Renamed"}))

	byID := query("search", `id eq "`+id+`"`)
	s.get("/api/v1/users/" + id).ok(200)
	require.Empty(t, s.get("/api/v1/users"+byID).list(), "a newcomer is not in a lagging search")
	require.Len(t, s.get("/api/v1/users").list(), 6-len(org.UserIDsByStatus(oktasim.Deprovisioned)), "but in the plain list")
	require.NotContains(t, ids(s.get("/api/v1/groups/"+group+"/users").list()), id)
	shown := s.get("/api/v1/groups/" + group).ok(200)
	require.Equal(t, "Renamed", profileOf(t, shown)["name"])
	require.Equal(t, old["lastUpdated"], shown["lastUpdated"])
	require.Equal(t, old["lastMembershipUpdated"], shown["lastMembershipUpdated"])
	require.Equal(t, wrote, object(t, org.Group(group))["lastMembershipUpdated"], "the truth does not lag")

	s.clock.Advance(2 * time.Second)
	require.Len(t, s.get("/api/v1/users"+byID).list(), 1)
	changed := query("filter", `lastUpdated gt "`+wire(testNow.Add(-time.Hour))+`" or lastMembershipUpdated gt "`+wire(testNow.Add(-time.Hour))+`"`)
	found := s.get("/api/v1/groups" + changed).list()
	require.Equal(t, wrote, found[slices.Index(ids(found), group)]["lastUpdated"])
	require.Equal(t, old["lastMembershipUpdated"], found[slices.Index(ids(found), group)]["lastMembershipUpdated"])
	s.clock.Advance(time.Second)
	require.Equal(t, wrote, s.get("/api/v1/groups/" + group).ok(200)["lastMembershipUpdated"], "back-dated to the write")
	require.NotContains(t, ids(s.get("/api/v1/groups/"+group+"/users").list()), id, "the stamp is there before the member")
	s.clock.Advance(time.Second)
	require.Contains(t, ids(s.get("/api/v1/groups/"+group+"/users").list()), id)

	require.NoError(t, org.DeleteUser(id))
	require.Contains(t, ids(s.get("/api/v1/groups/"+group+"/users").list()), id, "a deleted user is still listed")
	require.Len(t, s.get("/api/v1/users"+byID).list(), 1)
	s.get("/api/v1/users/"+id).fails(404, "E0000007")
	org.SetLag(oktasim.Lag{})
	require.Equal(t, oktasim.Lag{}, org.Lag())
	require.NotContains(t, ids(s.get("/api/v1/groups/"+group+"/users").list()), id)
	require.Empty(t, s.get("/api/v1/users"+byID).list())
}

func TestWobbleMakesTheStampOfEveryoneGoBack(t *testing.T) {
	t.Parallel()
	org := generated(t, 3, 2)
	s := newSim(t, org)
	org.SetLag(oktasim.Lag{Everyone: time.Minute, Wobble: true})
	path := "/api/v1/groups/" + org.EveryoneID()
	stamp := func() string { return text(s.get(path).ok(200), "lastMembershipUpdated") }
	old := stamp()
	require.NoError(t, org.TouchMembership(org.EveryoneID()))
	s.clock.Advance(90 * time.Second)
	seen := []string{stamp(), stamp(), stamp(), stamp()}
	fresh := wire(testNow.Truncate(time.Second))
	require.NotEqual(t, old, fresh)
	require.ElementsMatch(t, []string{fresh, old, fresh, old}, seen)
	require.NotEqual(t, seen[0], seen[1])
	s.clock.Advance(time.Minute)
	require.Equal(t, []string{fresh, fresh}, []string{stamp(), stamp()})
}

func TestStampsAreWholeSecondsAndRepeatInTheSameSecond(t *testing.T) {
	t.Parallel()
	org := generated(t, 2, 1)
	s := newSim(t, org)
	id := org.UserIDs()[0]
	require.NoError(t, org.UpdateUser(id, map[string]any{"title": "A"}))
	first := s.get("/api/v1/users/" + id).ok(200)["lastUpdated"]
	s.clock.Advance(300 * time.Millisecond)
	require.NoError(t, org.SetStatus(id, oktasim.Deprovisioned))
	require.Equal(t, "2026-03-14T15:09:26.000Z", first)
	require.Equal(t, first, s.get("/api/v1/users/" + id).ok(200)["lastUpdated"])
}
