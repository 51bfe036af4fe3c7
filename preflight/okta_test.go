package preflight_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/preflight"
)

var quiet = log.New(io.Discard, "", 0)

// html answers with a page of a gateway.
func html(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for h := range w.Header() {
			w.Header().Del(h)
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, "<html><title>Welcome to the corporate portal</title></html>")
	}
}

// rows answers a list.
func rows(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, text)
	}
}

func fault(b *bench, name string) { require.NoError(b.t, b.sim.SetFault(oktasim.Fault{Name: name})) }

// only answers calls with that parameter in another way.
func (b *bench) only(path, parameter string, handle http.HandlerFunc) {
	b.sim.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path || !r.URL.Query().Has(parameter) {
			return false
		}
		handle(w, r)
		return true
	})
}

const (
	usersPath  = "/api/v1/users"
	groupsPath = "/api/v1/groups"
	forbidden  = "403 Forbidden: E0000006 You do not have permission to perform the requested action"
)

var denied = refuse(403, "E0000006", "You do not have permission to perform the requested action")

func TestWhatOktaSays(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		settings      string
		spoil         func(*bench)
		id            preflight.ID
		result        preflight.Result
		found, advice string
	}{
		"a portal":        {"", func(b *bench) { b.answer("", html(200)) }, preflight.IsOkta, preflight.Failed, `non-JSON answer "<html><title>Welcome`, "check OrgDomain"},
		"a 404 page":      {"", func(b *bench) { b.answer("", html(404)) }, preflight.IsOkta, preflight.Failed, "404 Not Found", "the answer is not Okta's: check OrgDomain and any proxy in between"},
		"a gateway's 403": {"", func(b *bench) { b.answer("", html(403)) }, preflight.IsOkta, preflight.Failed, "403 Forbidden", ""},
		"a redirect": {"", func(b *bench) {
			b.answer("", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
			})
		}, preflight.IsOkta, preflight.Failed, "redirect to elsewhere.example refused", "check OrgDomain: Okta's API does not redirect"},
		"no request id": {"", func(b *bench) {
			b.sim.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.Header().Del("X-Okta-Request-Id"); return false })
		}, preflight.IsOkta, preflight.Warning, "no X-Okta-Request-Id", "a gateway in between removes Okta's headers"},
		"no date": {"", func(b *bench) {
			b.sim.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.Header()["Date"] = nil; return false })
		}, preflight.Clock, preflight.Warning, "no Date", "a gateway in between"},
		"slow clock": {"", func(b *bench) { b.now = time.Now().Add(-5 * time.Minute) },
			preflight.Clock, preflight.Warning, "s behind Okta's", "Okta refuses the assertions and DPoP proofs"},
		"fast clock": {"", func(b *bench) { b.now = time.Now().Add(5 * time.Minute) },
			preflight.Clock, preflight.Warning, "s ahead of Okta's", "set it by NTP"},
		"a clock that is 25 s off": {"", func(b *bench) { b.now = time.Now().Add(-25 * time.Second) },
			preflight.Clock, preflight.OK, "of Okta's", ""},

		"401": {"", func(b *bench) { b.answer("", refuse(401, "E0000011", "Invalid token provided")) },
			preflight.Credential, preflight.Failed, "401 Unauthorized: E0000011 Invalid token provided [request", "expired (30 days without use) or was revoked, or the administrator who created it was deactivated"},
		"401, where": {"", func(b *bench) { b.answer("", refuse(401, "E0000011", "Invalid token provided")) },
			preflight.Credential, preflight.Failed, "401", "`starter secret set secret://okta/contoso/apitoken`. Also look whether the token is limited to network zones"},
		"a feature that the org lacks": {"", func(b *bench) {
			b.answer(usersPath, refuse(401, "E0000015", "You do not have permission to access the feature you are requesting"))
		},
			preflight.ListUsers, preflight.Failed, "401 Unauthorized: E0000015", "the token itself is valid"},
		"its credential": {"", func(b *bench) { b.answer(usersPath, refuse(401, "E0000015", "You do not have permission")) },
			preflight.Credential, preflight.OK, "accepts", ""},

		"no right to users":   {"", func(b *bench) { b.answer(usersPath, denied) }, preflight.ListUsers, preflight.Failed, forbidden, "Read-Only Administrator role"},
		"groups all the same": {"", func(b *bench) { b.answer(usersPath, denied) }, preflight.ListGroups, preflight.OK, "allowed", ""},
		"no right to groups":  {"", func(b *bench) { b.answer(groupsPath, denied) }, preflight.ListGroups, preflight.Failed, forbidden, "Read-Only Administrator role"},
		"users all the same":  {"", func(b *bench) { b.answer(groupsPath, denied) }, preflight.GetUser, preflight.OK, "allowed", ""},
		"members unknown":     {"", func(b *bench) { b.answer(groupsPath, denied) }, preflight.Members, preflight.Skipped, "List groups comes first", ""},
		"no right to members": {"", func(b *bench) { b.answer(groupsPath+"/"+b.org.EveryoneID()+"/users", denied) }, preflight.Members, preflight.Failed, forbidden, "Read-Only Administrator role"},
		"no right to look up": {"", func(b *bench) { fault(b, oktasim.FaultForbiddenLookup) }, preflight.GetUser, preflight.Failed, forbidden, "the administrator who owns the token lacks read access"},
		"nor groups":          {"", func(b *bench) { fault(b, oktasim.FaultForbiddenLookup) }, preflight.GetGroup, preflight.Failed, forbidden, "Read-Only Administrator role"},
		"no right to search":  {"", func(b *bench) { b.only(usersPath, "search", denied) }, preflight.SearchIDs, preflight.Failed, forbidden, "Read-Only Administrator role"},

		"nobody":         {"", func(b *bench) { fault(b, oktasim.FaultRoleLost) }, preflight.ListUsers, preflight.Failed, "Okta lists nobody", "an administrator without a role that reads them gets exactly this"},
		"no group":       {"", func(b *bench) { fault(b, oktasim.FaultRoleLost) }, preflight.ListGroups, preflight.Failed, "Okta lists no group", "an administrator without a role that reads them gets exactly this"},
		"an empty group": {"", func(b *bench) { b.answer(groupsPath+"/"+b.org.EveryoneID()+"/users", rows("[]")) }, preflight.Members, preflight.Failed, "Okta lists no member of Everyone", "without a role"},
		"a group administrator": {"", func(b *bench) { b.only(groupsPath, "filter", rows("[]")) },
			preflight.Everyone, preflight.Warning, "Everyone is not shown, so the role most likely sees only a part", "Okta hides Everyone from group administrators"},
		"a hidden member": {"", func(b *bench) {
			b.answer(groupsPath+"/"+b.org.EveryoneID()+"/users", rows(`[{"id":"00uHidden","status":"ACTIVE"}]`))
		}, preflight.GetUser, preflight.Failed, "404 Not Found: E0000007", "the role sees only a part of the users, or the user was deleted just now"},
		"a search that lags": {"", func(b *bench) { fault(b, oktasim.FaultLookupEmpty) }, preflight.SearchIDs, preflight.Warning, "search does not show user 00u", "Okta's index may lag behind"},
		"a server error": {"", func(b *bench) { b.answer(usersPath, refuse(500, "E0000009", "Internal Server Error")) },
			preflight.ListUsers, preflight.Failed, "500 Internal Server Error: E0000009", "a run tries again by itself"},

		"a filter that Okta refuses": {`"UserSearchFilter": "status eq \"ACTIVE\" and nosuch zz \"x\""`, func(*bench) {},
			preflight.UserFilter, preflight.Failed, "400 Bad Request: E0000031", "correct UserSearchFilter"},
		"a filter for nobody": {`"UserSearchFilter": "profile.department eq \"Nowhere\""`, func(*bench) {},
			preflight.UserFilter, preflight.Failed, "matches nobody", "a Full would fail, since an empty list is never trusted"},
		"a filter for leavers": {`"UserSearchFilter": "status eq \"DEPROVISIONED\""`, func(*bench) {},
			preflight.UserFilter, preflight.Warning, "of them DEPROVISIONED, which are not imported", "nobody would be imported"},
		"a filter for many": {`"PageSize": 5, "UserSearchFilter": "status pr"`, func(*bench) {},
			preflight.UserFilter, preflight.OK, "matches first 5 users, and there are more", ""},

		"a prefix for none": {`"GroupFilter": {"Include": {"NamePrefixes": ["IM-"]}}`, func(*bench) {},
			preflight.GroupScope, preflight.Warning, "includes 0 of the 8 groups", "compare NamePrefixes, which are case-sensitive"},
		"none on the first page": {`"PageSize": 5, "GroupFilter": {"Include": {"NamePrefixes": ["IM-"]}}`, func(*bench) {},
			preflight.GroupScope, preflight.Warning, "includes 0 of the first 5 groups, and there are more", "--dry-run"},
		"an id that is not there": {`"GroupFilter": {"Include": {"Types": ["OKTA_GROUP"], "Ids": ["00gNoSuchGroup"]}}`, func(*bench) {},
			preflight.GroupScope, preflight.Warning, "Okta shows no group 00gNoSuchGroup", "correct Include.Ids"},
		"everybody in a group": {`"GroupFilter": {"Exclude": {"Types": ["APP_GROUP"]}, "UsersInGroupsOnly": true}`, func(*bench) {},
			preflight.GroupScope, preflight.Warning, "Everyone among them", "exclude it"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if c.settings == "" {
				b.apply()
			} else {
				b.apply(c.settings)
			}
			c.spoil(b)
			r := b.run()
			requireStep(t, r, c.id, c.result, c.found, c.advice)
		})
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	t.Run("used up by others", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, func(c *oktasim.Config) { c.Rate = 50 })
		b.apply()
		_, err := b.sim.Spend(groupsPath, 47)
		require.NoError(t, err)
		r := b.run()
		requireStep(t, r, preflight.RateLimit, preflight.Warning, "/api/v1/groups: 50 calls a window, 2 left for the next ", "the org's other clients have used up the rest")
		requireStep(t, r, preflight.Members, preflight.Failed, "not sent: the 50 calls of this window are used up, but for the 5 that RateLimitReserve leaves", "check again in ")
		require.Zero(t, b.sim.Stats().Status429, "the reserve is left to others")
	})
	t.Run("429", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, func(c *oktasim.Config) { c.Rate = 50 })
		b.apply()
		_, err := b.sim.Spend(usersPath, 50)
		require.NoError(t, err)
		r := b.run()
		requireStep(t, r, preflight.ListUsers, preflight.Failed, "429 Too Many Requests: E0000047", "check again in ")
		requireStep(t, r, preflight.Credential, preflight.OK, "accepts", "")
	})
	t.Run("a small window", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, func(c *oktasim.Config) { c.Rate = 10 })
		b.apply(`"MaxInFlight": 20`)
		requireStep(t, b.run(), preflight.RateLimit, preflight.Warning, "imports use 9 of a window", "MaxInFlight is 20, more than a window bears: lower it to 4")
	})
	t.Run("no headers", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.apply()
		b.sim.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.Header().Del("X-Rate-Limit-Limit"); return false })
		requireStep(t, b.run(), preflight.RateLimit, preflight.Warning, "no X-Rate-Limit headers", "only MaxInFlight")
	})
}

// counting is a mesh that holds much.
type counting struct {
	preflight.Store

	users, groups, members int
}

func (c counting) LiveCounts(context, string) (map[mesh.ObjectType]int, error) {
	return map[mesh.ObjectType]int{mesh.User: c.users, mesh.Group: c.groups, mesh.GroupMember: c.members}, nil
}

func TestHowLongAFullTakes(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		rate, users, groups, members int
		settings                     string
		result                       preflight.Result
		found                        string
	}{
		"nothing known":   {600, 0, 0, 0, `"PageSize": 200`, preflight.OK, "not known before the first one"},
		"a minute":        {600, 10000, 500, 90000, `"PageSize": 200`, preflight.OK, "553 calls at least, within one window"},
		"a small limit":   {50, 10000, 500, 90000, `"PageSize": 200`, preflight.OK, "553 calls at least; those of /api/v1/groups take 12 windows of a minute at least"},
		"large groups":    {50, 100000, 4, 400000, `"PageSize": 200`, preflight.OK, "901 calls at least; those of /api/v1/users take 12 windows"},
		"too many groups": {50, 1000, 5000, 90000, `"PageSize": 200`, preflight.Warning, "those of /api/v1/groups take 112 windows of a minute at least"},
		"no memberships":  {50, 1000, 5000, 0, `"ImportMemberships": false`, preflight.OK, "30 calls at least, within one window"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *oktasim.Config) { o.Rate = c.rate })
			b.apply(c.settings)
			open := b.cfg.Open
			b.cfg.Open = func(ctx context) (preflight.Store, error) {
				s, err := open(ctx)
				return counting{s, c.users, c.groups, c.members}, err
			}
			b.keep(holding{value: canary})
			r := b.run()
			advice := ""
			if c.result == preflight.Warning {
				advice = "ask Okta's support to raise the limit"
			}
			requireStep(t, r, preflight.FullImport, c.result, c.found, advice)
		})
	}
}
