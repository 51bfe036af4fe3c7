package oktasim_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

func TestControl(t *testing.T) {
	t.Parallel()
	org := generated(t, 10, 4)
	s := newSim(t, org, func(c *oktasim.Config) { c.Control = true })
	user, group := org.UserIDs()[0], org.GroupIDs()[1]
	require.NoError(t, org.UpdateUser(user, map[string]any{"badgeNumber": "B-1"}))

	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string // JSON of a 200, else a part of the text
	}{
		{"GET", "clock", "", 200, `{"now":"2026-03-14T15:09:26.535Z"}`},
		{"POST", "clock", `{"advance":"15m"}`, 200, `{"now":"2026-03-14T15:24:26.535Z"}`},
		{"POST", "clock", `{"advance":"-15m"}`, 200, `{"now":"2026-03-14T15:09:26.535Z"}`},
		{"POST", "clock", `{"set":"2026-04-01T00:00:00Z","advance":"1s"}`, 200, `{"now":"2026-04-01T00:00:01Z"}`},
		{"POST", "clock", `{"freeze":true}`, 200, `{"now":"2026-04-01T00:00:01Z"}`},
		{"POST", "clock", `{"advance":"soon"}`, 400, "invalid duration"},
		{"POST", "clock", `{"advnace":"1m"}`, 400, "unknown field"},
		{"POST", "clock", `{} {}`, 400, "more than one"},
		{"DELETE", "clock", "", 405, "takes GET or POST"},
		{"POST", "lag", `{"search":"5s","wobble":true}`, 200, `{"search":"5s","members":"0s","membershipStamp":"0s","groupStamp":"0s","everyone":"0s","wobble":true}`},
		{"POST", "lag", `{"members":"2s","membershipStamp":"3s","groupStamp":"1s","everyone":"1m"}`, 200, `{"search":"0s","members":"2s","membershipStamp":"3s","groupStamp":"1s","everyone":"1m0s","wobble":false}`},
		{"GET", "lag", "", 200, `{"search":"0s","members":"2s","membershipStamp":"3s","groupStamp":"1s","everyone":"1m0s","wobble":false}`},
		{"POST", "fault", `{"name":"drop-rows","count":2,"share":0.25,"path":"/api/v1/users"}`, 200, `[{"name":"drop-rows","count":2,"share":0.25,"path":"/api/v1/users"}]`},
		{"POST", "fault", `{"name":"control-missing","ids":["00u1"]}`, 200, `[{"name":"control-missing","ids":["00u1"]},{"name":"drop-rows","count":2,"share":0.25,"path":"/api/v1/users"}]`},
		{"POST", "fault", `{"name":"nonsense"}`, 400, "is none of role-lost"},
		{"DELETE", "fault?name=drop-rows", "", 200, `[{"name":"control-missing","ids":["00u1"]}]`},
		{"DELETE", "fault", "", 200, `[]`},
		{"GET", "fault", "", 200, `[]`},
		{"GET", "limits", "", 200, `{"rate":0,"concurrency":0}`},
		{"POST", "limits", `{"rate":5,"concurrency":3}`, 200, `{"rate":5,"concurrency":3}`},
		{"POST", "spend", `{"bucket":"/api/v1/groups","calls":3}`, 200, `{"spent":3}`},
		{"POST", "spend", `{"bucket":"/api/v1/groups","calls":3}`, 200, `{"spent":2}`},
		{"POST", "spend", `{"bucket":"/api/v1/group","calls":3}`, 400, "is none of /api/v1/users"},
		{"POST", "spend", `{"bucket":"/api/v1/groups","calls":-1}`, 400, "-1 is negative"},
		{"GET", "spend", "", 405, "takes POST"},
		{"POST", "limits", `{}`, 200, `{"rate":0,"concurrency":0}`},
		{"POST", "spend", `{"bucket":"/api/v1/groups","calls":3}`, 200, `{"spent":0}`},
		{"GET", "stats", "", 200, `{"total":0,"byEndpoint":{},"status429":0,"maxInFlight":0}`},
		{"POST", "stats", "", 405, "takes GET"},
		{"POST", "stats/reset", "", 200, `{"total":0,"byEndpoint":{},"status429":0,"maxInFlight":0}`},
		{"POST", "touch", `{"groups":["` + group + `"]}`, 200, `{}`},
		{"POST", "touch", `{"groups":["00gnone"]}`, 400, "E0000007"},
		{"DELETE", "attribute?name=badgeNumber", "", 200, `{}`},
		{"DELETE", "attribute?name=login", "", 400, "cannot be removed"},
		{"GET", "nonsense", "", 404, "there are /-/clock"},
	} {
		a := s.do(tt.method, "/-/"+tt.path, tt.body)
		require.Equal(t, tt.status, a.StatusCode, "%s %s %s: %s", tt.method, tt.path, tt.body, a.body)
		if tt.status == 200 {
			require.JSONEq(t, tt.want, string(a.body))
		} else {
			require.Contains(t, string(a.body), tt.want)
		}
	}
	require.Equal(t, oktasim.Lag{Members: 2 * time.Second, MembershipStamp: 3 * time.Second, GroupStamp: time.Second, Everyone: time.Minute}, org.Lag())
	require.Equal(t, "2026-04-01T00:00:01.000Z", object(t, org.Group(group))["lastMembershipUpdated"])
	require.NotContains(t, profileOf(t, object(t, org.User(user))), "badgeNumber")
	require.Equal(t, "Wed, 01 Apr 2026 00:00:01 GMT", s.get("/api/v1/users").Header.Get("Date"))
}

func TestControlIsOffUnlessAsked(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 1, 1))
	s.do("POST", "/-/clock", `{"advance":"1h"}`).fails(404, "E0000007")
	require.Equal(t, testNow, s.clock.Now())

	fixed := newSim(t, generated(t, 1, 1), func(c *oktasim.Config) { c.Control, c.Clock, c.Now = true, nil, time.Now })
	require.Equal(t, 409, fixed.do("POST", "/-/clock", `{"advance":"1h"}`).StatusCode)
	require.Equal(t, 200, fixed.do("GET", "/-/clock", "").StatusCode)
}

func TestClock(t *testing.T) {
	t.Parallel()
	var c oktasim.Clock
	require.WithinDuration(t, time.Now(), c.Now(), time.Minute, "it starts at the real time")
	c.Advance(time.Hour)
	require.WithinDuration(t, time.Now().Add(time.Hour), c.Now(), time.Minute)
	c.Set(testNow)
	first := c.Now()
	require.WithinDuration(t, testNow, first, time.Minute)
	require.False(t, first.Before(testNow), "and it runs on")
	c.Freeze()
	at := c.Now()
	require.Equal(t, at, c.Now())
	c.Advance(-time.Minute)
	require.Equal(t, at.Add(-time.Minute), c.Now())
	c.Set(testNow)
	require.Equal(t, testNow, c.Now())
}

func TestTheClockSetBackDoesNotLeaveARateWindowOpen(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 1, 1), func(c *oktasim.Config) { c.Rate = 1 })
	s.get("/api/v1/users").list()
	s.get("/api/v1/users").fails(429, "E0000047")
	s.clock.Advance(-time.Hour)
	s.get("/api/v1/users").list()
	s.get("/api/v1/users").fails(429, "E0000047")
	s.clock.Advance(time.Minute)
	s.get("/api/v1/users").list()
}

func TestAServerWithoutAClockTakesTheOrgs(t *testing.T) {
	t.Parallel()
	org := generated(t, 1, 1)
	org.SetClock(func() time.Time { return testNow })
	s := newSim(t, org, func(c *oktasim.Config) { c.Clock = nil })
	require.Equal(t, "Sat, 14 Mar 2026 15:09:26 GMT", s.get("/api/v1/users").Header.Get("Date"))
	body, err := json.Marshal(org.Truth().Users[org.UserIDs()[0]])
	require.NoError(t, err)
	require.Contains(t, string(body), "LastUpdated")
}
