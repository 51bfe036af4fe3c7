package okta

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every recorded answer of a read that this client makes is decoded as it was sent.
func TestRecordedReads(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(shared(t, "okta/recorded"), "*.http"))
	require.NoError(t, err)
	reads := 0
	for _, file := range files {
		for _, x := range recorded(t, filepath.Base(file)) {
			if x.method != http.MethodGet || x.status != http.StatusOK {
				continue
			}
			if readRecorded(t, filepath.Base(file), x) {
				reads++
			}
		}
	}
	t.Logf("%d recorded reads decoded", reads)
	require.GreaterOrEqual(t, reads, 48)
}

// readRecorded replays x through the method that reads its path, if there is one.
func readRecorded(t *testing.T, file string, x exchanged) bool {
	t.Helper()
	client := replay(t, x.url.Host, func(*url.URL) exchanged { return x })
	var wire []map[string]any
	if strings.HasPrefix(x.body, "{") {
		wire = append(wire, map[string]any{})
		require.NoError(t, json.Unmarshal([]byte(x.body), &wire[0]))
	} else {
		require.NoError(t, json.Unmarshal([]byte(x.body), &wire))
	}
	ids := func(n int, id func(int) string) {
		require.Len(t, wire, n, file)
		for i, w := range wire {
			require.Equal(t, w["id"], id(i), file)
		}
	}
	segments := strings.Split(strings.TrimPrefix(x.url.Path, "/api/v1/"), "/")
	var page *Page
	switch {
	case x.url.Path == "/api/v1/users":
		rows, p, err := client.ListUsers(t.Context(), ListUsers{}, x.url.String())
		require.NoError(t, err, file)
		ids(len(rows), func(i int) string { return rows[i].ID })
		for i, u := range rows {
			requireUser(t, wire[i], u)
		}
		page = p
	case x.url.Path == "/api/v1/groups":
		rows, p, err := client.ListGroups(t.Context(), ListGroups{}, x.url.String())
		require.NoError(t, err, file)
		ids(len(rows), func(i int) string { return rows[i].ID })
		for i, g := range rows {
			requireGroup(t, wire[i], g)
		}
		page = p
	case len(segments) == 3 && segments[0] == "groups" && segments[2] == "users":
		rows, p, err := client.ListGroupMembers(t.Context(), segments[1], 0, x.url.String())
		require.NoError(t, err, file)
		ids(len(rows), func(i int) string { return rows[i].ID })
		page = p
	case len(segments) == 2 && segments[0] == "users":
		u, p, err := client.GetUser(t.Context(), segments[1])
		require.NoError(t, err, file)
		requireUser(t, wire[0], *u)
		page = p
	case len(segments) == 2 && segments[0] == "groups" && segments[1] != "rules":
		g, p, err := client.GetGroup(t.Context(), segments[1])
		require.NoError(t, err, file)
		requireGroup(t, wire[0], *g)
		page = p
	default:
		return false
	}
	requirePage(t, x, page)
	return true
}

func requirePage(t *testing.T, x exchanged, page *Page) {
	t.Helper()
	require.Equal(t, x.status, page.Status)
	require.Equal(t, x.header.Get("X-Okta-Request-Id"), page.RequestID)
	require.Equal(t, x.header.Get("Date"), page.Date.Format(http.TimeFormat))
	require.Equal(t, x.header.Get("X-Rate-Limit-Limit") != "", page.Rate.Known)
	want := ""
	for _, l := range x.header.Values("Link") {
		if strings.HasSuffix(l, `; rel="next"`) {
			want = strings.TrimSuffix(strings.TrimPrefix(l, "<"), `>; rel="next"`)
		}
	}
	require.Equal(t, want, page.Next)
}

func requireUser(t *testing.T, wire map[string]any, u User) {
	t.Helper()
	text := func(name string) *string {
		if s, ok := wire[name].(string); ok {
			return &s
		}
		return nil
	}
	require.Equal(t, wire["id"], u.ID)
	require.Equal(t, wire["status"], u.Status)
	require.Equal(t, text("created"), u.Created)
	require.Equal(t, text("activated"), u.Activated)
	require.Equal(t, text("statusChanged"), u.StatusChanged)
	require.Equal(t, text("lastLogin"), u.LastLogin)
	require.Equal(t, text("lastUpdated"), u.LastUpdated)
	require.Equal(t, text("passwordChanged"), u.PasswordChanged)
	requireSameJSON(t, wire["profile"], u.Profile)
	if wire["type"] != nil {
		requireSameJSON(t, wire["type"], u.Type)
	}
	if wire["realmId"] != nil {
		require.Equal(t, wire["realmId"], u.RealmID)
	}
}

func requireGroup(t *testing.T, wire map[string]any, g Group) {
	t.Helper()
	require.Equal(t, wire["id"], g.ID)
	require.Equal(t, wire["type"], g.Type)
	require.Equal(t, wire["created"], *g.Created)
	require.Equal(t, wire["lastUpdated"], *g.LastUpdated)
	require.Equal(t, wire["lastMembershipUpdated"], *g.LastMembershipUpdated)
	requireSameJSON(t, wire["objectClass"], g.ObjectClass)
	requireSameJSON(t, wire["profile"], g.Profile)
}

func requireSameJSON(t *testing.T, want, got any) {
	t.Helper()
	w, err := json.Marshal(want)
	require.NoError(t, err)
	g, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, string(w), string(g))
}

// The recorded pages are walked by their own next links.
func TestRecordedPaging(t *testing.T) {
	t.Parallel()
	pages := recorded(t, "users_list_plain_paged.http")
	byURL := map[string]exchanged{}
	for _, x := range pages {
		byURL[x.url.RequestURI()] = x
	}
	client := replay(t, "test.okta.com", func(u *url.URL) exchanged {
		if x, ok := byURL[u.RequestURI()]; ok {
			return x
		}
		return exchanged{status: http.StatusOK, body: "[]"} // the recording ends here
	})
	seen := 0
	for u, err := range client.Users(t.Context(), ListUsers{Limit: 1}) {
		require.NoError(t, err)
		require.NotEmpty(t, u.ID)
		seen++
	}
	require.Equal(t, len(byURL), seen)
}

// Every recorded refusal becomes the error that its status and code call for.
func TestRecordedErrors(t *testing.T) {
	t.Parallel()
	files := []string{
		"error_400_other.http", "error_400_user_validation.http", "error_401_403.http",
		"error_404_user_deleted.http", "error_423_group_rule.http", "error_429_org_rate_limit.http", "error_500.http",
	}
	for _, file := range files {
		for i, x := range recorded(t, file) {
			client := replay(t, x.url.Host, func(*url.URL) exchanged { return x })
			_, page, err := client.GetUser(t.Context(), "00u1")
			require.Error(t, err, file)
			require.NotNil(t, page, file)
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok, "%s %d: %v", file, i, err)
			require.Equal(t, x.status, e.Status)

			var body oktaError
			require.NoError(t, json.Unmarshal([]byte(x.body), &body))
			require.Equal(t, body.Code, e.Code)
			require.Equal(t, body.Summary, e.Summary)
			require.Len(t, e.Causes, len(body.Causes))
			require.Contains(t, err.Error(), body.Code)
			require.Contains(t, err.Error(), body.Summary)
			if id := x.header.Get("X-Okta-Request-Id"); id != "" {
				require.Equal(t, id, e.RequestID)
			} else {
				require.Equal(t, body.ID, e.RequestID)
			}
			want := Permanent
			switch x.status {
			case http.StatusNotFound:
				want = Gone
			case http.StatusTooManyRequests, http.StatusInternalServerError:
				want = RetryLater
			}
			require.Equal(t, want, e.Kind, "%s %d", file, i)
			if x.status == http.StatusUnauthorized {
				require.Equal(t, codeNotPermitted, e.Code)
				require.NotContains(t, err.Error(), "starter secret set")
			}
		}
	}
}

// The three real 429s: reset minus Date was 48, 8 and 8 s (facts.md §5).
func TestRecorded429(t *testing.T) {
	t.Parallel()
	var waits []time.Duration
	for _, x := range recorded(t, "error_429_org_rate_limit.http") {
		client := replay(t, x.url.Host, func(*url.URL) exchanged { return x })
		_, _, err := client.GetUser(t.Context(), "00u1")
		rl, ok := errors.AsType[*RateLimitError](err)
		require.True(t, ok)
		require.False(t, rl.Explicit)
		require.False(t, rl.Concurrency)
		require.Equal(t, rl.Wait, rl.RetryAfter)
		waits = append(waits, rl.Wait)
	}
	require.Equal(t, []time.Duration{49 * time.Second, 9 * time.Second, 9 * time.Second}, waits)
}

// The recorded org is listed page by page without losing a byte of any profile.
func TestRecordedOrg(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(shared(t, "okta/recorded/org.json"))
	require.NoError(t, err)
	var org struct{ Users, Groups []json.RawMessage }
	require.NoError(t, json.Unmarshal(text, &org))
	client := setupPages(t, map[string][]json.RawMessage{"/api/v1/users": org.Users, "/api/v1/groups": org.Groups}, 50)

	n := 0
	for u, err := range client.Users(t.Context(), ListUsers{}) {
		require.NoError(t, err)
		var wire map[string]any
		require.NoError(t, json.Unmarshal(org.Users[n], &wire))
		requireUser(t, wire, u)
		n++
	}
	require.Equal(t, len(org.Users), n)
	n = 0
	for g, err := range client.Groups(t.Context(), ListGroups{}) {
		require.NoError(t, err)
		var wire map[string]any
		require.NoError(t, json.Unmarshal(org.Groups[n], &wire))
		requireGroup(t, wire, g)
		n++
	}
	require.Equal(t, len(org.Groups), n)
}
