package okta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func oktaBody(code, summary string, causes ...string) string {
	var list []string
	for _, c := range causes {
		list = append(list, fmt.Sprintf(`{"errorSummary":%q}`, c))
	}
	return fmt.Sprintf(`{"errorCode":%q,"errorSummary":%q,"errorLink":%q,"errorId":"oae1","errorCauses":[%s]}`,
		code, summary, code, strings.Join(list, ","))
}

// Each refusal has its kind, keeps Okta's words and names the remedy.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const html = "<html>\n\t<body><h1>502  Bad Gateway</h1></body></html>"
	for name, tt := range map[string]struct {
		status  int
		body    string
		header  []string
		kind    Kind
		smaller bool // expected of a list
		says    []string
		not     []string
	}{
		"expired token": {
			status: 401, body: oktaBody("E0000011", "Invalid token provided"), header: []string{"X-Okta-Request-Id: Xreq1"},
			kind: Permanent, says: []string{"401 Unauthorized", "E0000011 Invalid token provided", "[request Xreq1]", "30 days", "Security > API > Tokens", "starter secret set", "deactivated"},
		},
		"401 of a proxy": {status: 401, kind: Permanent, says: []string{"401", "Security > API > Tokens"}},
		"401 about a feature": {
			status: 401, body: oktaBody("E0000015", "You do not have permission to access the feature you are requesting"),
			kind: Permanent, says: []string{"token itself is valid", "Read-Only Administrator", "[request oae1]"}, not: []string{"30 days"},
		},
		"no read access": {
			status: 403, body: oktaBody("E0000006", "You do not have permission to perform the requested action"),
			kind: Permanent, says: []string{"403 Forbidden", "E0000006", "Read-Only Administrator"},
		},
		"403 that only the header explains": {
			status: 403, header: []string{`WWW-Authenticate: Bearer realm="r", error="insufficient_scope", error_description="The access token provided does not contain the required scopes."`},
			kind: Permanent, says: []string{"insufficient_scope", "does not contain the required scopes", "Read-Only Administrator"},
		},
		"gone":                  {status: 404, body: oktaBody("E0000007", "Not found: Resource not found: 00g1 (UserGroup)"), kind: Gone, says: []string{"404 Not Found", "E0000007", "00g1"}},
		"404 of a proxy":        {status: 404, body: html, kind: Permanent, says: []string{"non-JSON answer", "OrgDomain"}},
		"404 without a body":    {status: 404, kind: Permanent, says: []string{"OrgDomain"}},
		"404 about a path":      {status: 404, body: oktaBody("E0000008", "The requested path was not found"), kind: Permanent, says: []string{"E0000008"}},
		"bad search":            {status: 400, body: oktaBody("E0000031", "Invalid search criteria."), kind: Permanent, says: []string{"E0000031 Invalid search criteria."}},
		"causes":                {status: 400, body: oktaBody("E0000001", "Api validation failed: limit", "limit: too big", "x: y"), kind: Permanent, says: []string{"(limit: too big; x: y)"}},
		"invalid cursor":        {status: 400, body: oktaBody("E0000029", "Invalid paging request.", "Invalid cursor."), kind: Permanent, says: []string{"Invalid cursor."}},
		"conflict":              {status: 409, body: oktaBody("E0000001", "x"), kind: Conflict},
		"precondition":          {status: 412, body: oktaBody("E0000001", "x"), kind: Conflict},
		"request time-out":      {status: 408, kind: RetryLater, smaller: true},
		"teapot":                {status: 418, kind: Permanent, says: []string{"418"}},
		"time-out of a list":    {status: 500, body: oktaBody("E0000009", "Internal Server Error"), kind: RetryLater, smaller: true, says: []string{"500", "E0000009"}},
		"other 500":             {status: 500, body: `{}`, kind: RetryLater},
		"bad gateway in HTML":   {status: 502, body: html, kind: RetryLater, says: []string{"502 Bad Gateway", `non-JSON answer "<html> <body><h1>502 Bad Gateway</h1></body></html>"`}},
		"gateway time-out":      {status: 504, body: html, kind: RetryLater, smaller: true},
		"long HTML":             {status: 502, body: strings.Repeat("x", 500), kind: RetryLater, says: []string{strings.Repeat("x", 120) + "…"}, not: []string{strings.Repeat("x", 121)}},
		"binary":                {status: 502, body: "a\x00\x1b[31mb\xff", kind: RetryLater, says: []string{`"a[31mb"`}},
		"read-only mode":        {status: 503, body: oktaBody("E0000010", "Service is in read only mode"), kind: RetryLater},
		"short Retry-After":     {status: 503, header: []string{"Retry-After: 7"}, kind: RetryLater, says: []string{"wait 7s"}},
		"long Retry-After":      {status: 503, header: []string{"Retry-After: 31"}, kind: Permanent, says: []string{"Retry-After asks for 31s", "30 s"}},
		"accepted":              {status: 202, body: `[]`, kind: RetryLater, says: []string{"202"}},
		"partial content":       {status: 206, body: `[]`, kind: RetryLater, says: []string{"206"}},
		"no content":            {status: 204, kind: RetryLater, says: []string{"204"}},
		"redirect":              {status: 302, header: []string{"Location: https://evil.example/login?secret=1"}, kind: Permanent, says: []string{"redirect to evil.example refused"}, not: []string{"secret"}},
		"redirect in the org":   {status: 301, header: []string{"Location: /api/v1/users/"}, kind: Permanent, says: []string{"redirect to another path refused"}},
		"redirect to nonsense":  {status: 302, header: []string{"Location: https://a b%zz/?secret=1"}, kind: Permanent, says: []string{"redirect to a malformed URL refused"}, not: []string{"secret"}},
		"redirect to nowhere":   {status: 302, kind: Permanent, says: []string{"302"}},
		"JSON of the wrong way": {status: 500, body: `["x"]`, kind: RetryLater, says: []string{"non-JSON answer"}},
		"OAuth body":            {status: 403, body: `{"error":"access_denied","error_description":"Nope."}`, kind: Permanent, says: []string{"access_denied Nope."}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := setup(t, answer(tt.status, tt.body, tt.header...))
			calls := map[string]func() (*Page, error){
				"list": func() (*Page, error) {
					_, p, err := client.ListGroupMembers(t.Context(), "00g1", 200, "")
					return p, err
				},
				"one": func() (*Page, error) { _, p, err := client.GetUser(t.Context(), "00g1"); return p, err },
			}
			for name, call := range calls {
				page, err := call()
				e := requireKind(t, err, tt.kind)
				if e.Status != 0 { // 0: net/http itself could not read the redirect
					require.NotNil(t, page)
					require.Equal(t, tt.status, page.Status)
					require.Equal(t, tt.status, e.Status)
				}
				require.Equal(t, "00g1", e.ObjectID)
				require.Equal(t, http.MethodGet, e.Method)
				require.Equal(t, tt.smaller && name == "list", e.SmallerPage)
				require.Contains(t, err.Error(), e.Endpoint)
				require.NotContains(t, err.Error(), "\n")
				require.Equal(t, strings.TrimSuffix(e.Message()+": "+e.Remedy(), ": "), e.Error())
				for _, s := range tt.says {
					require.Contains(t, err.Error(), s)
				}
				for _, s := range tt.not {
					require.NotContains(t, err.Error(), s)
				}
			}
		})
	}
}

// A list has no object that could be gone; a bad expression is named by its field.
func TestRefusalsOfLists(t *testing.T) {
	t.Parallel()
	gone, _ := setup(t, answer(404, oktaBody("E0000007", "Not found: x")))
	_, _, err := gone.ListUsers(t.Context(), ListUsers{}, "")
	requireKind(t, err, Permanent)
	_, _, err = gone.ListGroups(t.Context(), ListGroups{}, "")
	requireKind(t, err, Permanent)
	_, _, err = gone.GetGroup(t.Context(), "00g1")
	requireKind(t, err, Gone)

	for _, code := range []string{"E0000031", "E0000053", "E0000001"} {
		bad, _ := setup(t, answer(400, oktaBody(code, "Invalid search criteria.", "near anna@example.com")))
		_, _, err = bad.ListUsers(t.Context(), ListUsers{Search: `profile.lastName zz "Müller"`}, "")
		requireKind(t, err, Permanent)
		require.ErrorContains(t, err, "400 Bad Request: "+code+" Invalid search criteria. (near [e-mail])")
		require.ErrorContains(t, err, "correct UserSearchFilter in the connector's definition")
		require.NotContains(t, err.Error(), "Müller")
		_, _, err = bad.ListGroups(t.Context(), ListGroups{Filter: "x"}, "")
		require.ErrorContains(t, err, "the connector's own filter")
	}
	mute, _ := setup(t, answer(400, `{"errorCode":"E0000031"}`))
	_, _, err = mute.ListUsers(t.Context(), ListUsers{Search: "x"}, "")
	require.ErrorContains(t, err, "400 Bad Request: E0000031: Okta gave no reason: Okta refused the search expression")
	cursor, server := setup(t, answer(400, oktaBody("E0000029", "Invalid paging request.")))
	_, _, err = cursor.ListUsers(t.Context(), ListUsers{}, server.URL+"/api/v1/users?after=x&search=status+pr")
	requireKind(t, err, Permanent)
	require.NotContains(t, err.Error(), "UserSearchFilter", "the cursor is bad, not the search")
	long, _ := setup(t, answer(414, "<html>Request-URI Too Large</html>"))
	_, _, err = long.ListUsers(t.Context(), ListUsers{Search: "x"}, "")
	requireKind(t, err, Permanent)
	require.ErrorContains(t, err, "shorten UserSearchFilter")
}

func TestRateLimited(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	rate := func(limit, remaining int, reset time.Time) []string {
		return []string{
			"Date: " + date.Format(http.TimeFormat),
			fmt.Sprintf("X-Rate-Limit-Limit: %d", limit),
			fmt.Sprintf("X-Rate-Limit-Remaining: %d", remaining),
			fmt.Sprintf("X-Rate-Limit-Reset: %d", reset.Unix()),
		}
	}
	for name, tt := range map[string]struct {
		header      []string
		min, max    time.Duration
		kind        Kind
		explicit    bool
		concurrency bool
	}{
		"reset":                         {header: rate(600, 0, date.Add(40*time.Second)), min: 41 * time.Second, max: 41 * time.Second, kind: RetryLater},
		"reset in the past":             {header: rate(600, 0, date.Add(-time.Hour)), min: time.Second, max: time.Second, kind: RetryLater},
		"reset far away":                {header: rate(600, 0, date.Add(time.Hour)), min: 5 * time.Minute, max: 5 * time.Minute, kind: RetryLater},
		"no headers":                    {header: nil, min: 10 * time.Second, max: 10 * time.Second, kind: RetryLater},
		"Retry-After wins":              {header: append(rate(600, 0, date.Add(40*time.Second)), "Retry-After: 3"), min: 3 * time.Second, max: 3 * time.Second, kind: RetryLater, explicit: true},
		"Retry-After 0":                 {header: []string{"Retry-After: 0"}, min: time.Second, max: time.Second, kind: RetryLater, explicit: true},
		"Retry-After as a date":         {header: append(rate(600, 0, date), "Retry-After: "+date.Add(20*time.Second).Format(http.TimeFormat)), min: 20 * time.Second, max: 20 * time.Second, kind: RetryLater, explicit: true},
		"Retry-After at the limit":      {header: []string{"Retry-After: 30"}, min: 30 * time.Second, max: 30 * time.Second, kind: RetryLater, explicit: true},
		"Retry-After too long":          {header: []string{"Retry-After: 31"}, min: 31 * time.Second, max: 31 * time.Second, kind: Permanent, explicit: true},
		"Retry-After overflows nothing": {header: []string{"Retry-After: 999999999999"}, min: time.Hour, max: 1 << 62, kind: Permanent, explicit: true},
		"Retry-After of nonsense":       {header: append(rate(600, 0, date.Add(4*time.Second)), "Retry-After: soon"), min: 5 * time.Second, max: 5 * time.Second, kind: RetryLater},
		"concurrency":                   {header: rate(0, 0, date.Add(5*time.Second)), min: time.Second, max: 6 * time.Second, kind: RetryLater, concurrency: true},
		"concurrency, reset lies":       {header: rate(0, 0, date.Add(time.Hour)), min: 5 * time.Second, max: 10 * time.Second, kind: RetryLater, concurrency: true},
		"concurrency, reset in past":    {header: rate(0, 0, date.Add(-time.Hour)), min: time.Second, max: time.Second, kind: RetryLater, concurrency: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := setup(t, answer(429, oktaBody("E0000047", "API call exceeded rate limit due to too many requests."), tt.header...))
			_, page, err := client.ListGroupMembers(t.Context(), "00g1", 0, "")
			e := requireKind(t, err, tt.kind)
			rl, ok := errors.AsType[*RateLimitError](err)
			require.True(t, ok)
			require.Equal(t, 429, page.Status)
			require.Equal(t, "E0000047", rl.Code)
			require.GreaterOrEqual(t, rl.Wait, tt.min)
			require.LessOrEqual(t, rl.Wait, tt.max)
			require.Equal(t, rl.Wait, e.RetryAfter)
			require.Equal(t, tt.explicit, rl.Explicit)
			require.Equal(t, tt.concurrency, rl.Concurrency)
			require.Contains(t, err.Error(), "429 Too Many Requests: E0000047")
		})
	}
}

// A 200 that is not what was asked for.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	const user = `{"id":"00u1","status":"ACTIVE","profile":{"login":"anna.secret@example.com"}}`
	for name, tt := range map[string]struct {
		body string
		kind Kind
		half bool
		says string
	}{
		"empty":               {"", RetryLater, true, "half an answer"},
		"cut after bracket":   {"[", RetryLater, true, "half an answer"},
		"cut in a row":        {`[` + user + `,{"id":"00u2","pro`, RetryLater, true, "half an answer"},
		"cut between rows":    {`[` + user + `,`, RetryLater, true, "half an answer"},
		"cut before the end":  {`[` + user, RetryLater, true, "half an answer"},
		"HTML":                {"<!doctype html>\n<title>Sign in</title>", RetryLater, false, `non-JSON answer "<!doctype html> <title>Sign in</title>"`},
		"malformed":           {`[` + user + ` ` + user + `]`, RetryLater, false, "malformed JSON"},
		"malformed at once":   {`[anna.secret@example.com]`, RetryLater, false, "malformed JSON"},
		"wrong bracket":       {`[` + user + `}`, RetryLater, false, "malformed JSON"},
		"text after":          {`[` + user + `] []`, RetryLater, false, "text follows"},
		"garbage after":       {`[` + user + `] x`, RetryLater, false, "malformed JSON"},
		"an object":           {`{"ok":true}`, RetryLater, false, "not a list"},
		"a row is a string":   {`[` + user + `,"anna.secret@example.com"]`, Permanent, false, "row 2 of the page is no object but a JSON string"},
		"a row is null":       {`[null]`, Permanent, false, "row 1 of the page has no id"},
		"a row is a list":     {`[[]]`, Permanent, false, "row 1 of the page is no object but a JSON array"},
		"no id":               {`[` + user + `,{"profile":{}}]`, Permanent, false, "row 2 of the page has no id"},
		"id is a number":      {`[{"id":4711471147,"profile":{}}]`, Permanent, false, `row 1 of the page has a JSON number for "id"`},
		"no profile":          {`[` + user + `,{"id":"00u2"}]`, Permanent, false, "row 2 of the page (id 00u2) has no profile object"},
		"profile null":        {`[{"id":"00u2","profile":null}]`, Permanent, false, "row 1 of the page (id 00u2) has no profile object"},
		"profile is a string": {`[{"id":"00u2","profile":"anna.secret@example.com"}]`, Permanent, false, `row 1 of the page (id 00u2) has a JSON string for "profile"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := setup(t, answer(200, tt.body, `Link: </api/v1/users?after=1>; rel="next"`, "X-Okta-Request-Id: Xreq1"))
			users, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
			e := requireKind(t, err, tt.kind)
			require.Nil(t, users, "no row of a bad page is used")
			require.Equal(t, 200, page.Status)
			require.Empty(t, page.Next, "a bad page leads nowhere")
			require.Contains(t, err.Error(), tt.says)
			require.Contains(t, err.Error(), "/api/v1/users")
			require.Equal(t, "Xreq1", e.RequestID)
			require.Equal(t, tt.half, errors.Is(err, io.ErrUnexpectedEOF))
			require.NotContains(t, err.Error(), "anna.secret", "no personal data in errors")
			require.NotContains(t, err.Error(), "4711471147") // longer than a port
		})
	}
}

func TestBadObjects(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body string
		kind Kind
		says string
	}{
		"another user": {`{"id":"00u9","profile":{}}`, Permanent, "(id 00u9) is not the one that was asked for"},
		"no profile":   {`{"id":"00u1"}`, Permanent, "(id 00u1) has no profile object"},
		"half":         {`{"id":"00u1","profile":{`, RetryLater, "half an answer"},
		"two":          {`{"id":"00u1","profile":{}}{}`, RetryLater, "text follows"},
		"a list":       {`[]`, Permanent, "no object but a JSON array"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := setup(t, answer(200, tt.body))
			u, page, err := client.GetUser(t.Context(), "00u1")
			requireKind(t, err, tt.kind)
			require.Nil(t, u)
			require.NotNil(t, page)
			require.ErrorContains(t, err, tt.says)
			_, _, err = client.GetGroup(t.Context(), "00u1")
			requireKind(t, err, tt.kind)
		})
	}
	client, _ := setup(t, answer(200, `{"id":"00u1","type":null,"lastLogin":null,"created":"2026-01-01T00:00:00.000Z","unknown":[1],"profile":{"a":null,"b":[1,"x"]}}`))
	u, _, err := client.GetUser(t.Context(), "00u1")
	require.NoError(t, err)
	require.Nil(t, u.Type)
	require.Nil(t, u.LastLogin)
	require.Equal(t, ptr("2026-01-01T00:00:00.000Z"), u.Created)
	require.Contains(t, u.Profile, "a")
	for _, id := range []string{"", ".", ".."} {
		_, page, err := client.GetUser(t.Context(), id)
		requireKind(t, err, Permanent)
		require.Nil(t, page)
		_, _, err = client.ListGroupMembers(t.Context(), id, 0, "")
		requireKind(t, err, Permanent)
	}
}

func TestKind(t *testing.T) {
	t.Parallel()
	require.Equal(t, "permanent", Kind(0).String())
	require.Equal(t, "retry later", RetryLater.String())
	require.Equal(t, "gone", Gone.String())
	require.Equal(t, "conflict", Conflict.String())
	require.Equal(t, "Kind(9)", Kind(9).String())
	require.NotErrorIs(t, timeoutError{time.Second}, context.DeadlineExceeded)
}
