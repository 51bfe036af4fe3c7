package okta

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// from answers every call with a status of 200 and a body of its own.
func from(body func() io.Reader) func(*Options) {
	return func(o *Options) {
		o.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: io.NopCloser(body())}, nil
		})}
	}
}

func says(text string) func(*Options) {
	return from(func() io.Reader { return strings.NewReader(text) })
}

// Rows that no user, group or member can be are refused with their number; the id, where
// it is one, is named, and nothing else of them.
func TestHostileRows(t *testing.T) {
	t.Parallel()
	const good = `{"id":"00u1","status":"ACTIVE","profile":{}}`
	nested := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
	big := strings.Repeat("x", 2*maxValue+1)
	for name, tt := range map[string]struct {
		row  string
		says string
	}{
		"null row":            {`null`, "row 2 of the page has no id"},
		"a list":              {`[]`, "row 2 of the page is no object but a JSON array"},
		"null id":             {`{"id":null,"status":"ACTIVE","profile":{}}`, "row 2 of the page has no id"},
		"null profile":        {`{"id":"00u2","status":"ACTIVE","profile":null}`, "row 2 of the page (id 00u2) has no profile object"},
		"list profile":        {`{"id":"00u2","status":"ACTIVE","profile":["secret"]}`, `row 2 of the page (id 00u2) has a JSON array for "profile"`},
		"id is a number":      {`{"id":7,"status":"ACTIVE","profile":{}}`, `row 2 of the page has a JSON number for "id"`},
		"status is an object": {`{"id":"00u2","status":{"secret":1},"profile":{}}`, `has a JSON object for "status"`},
		"long id":             {`{"id":"secret` + strings.Repeat("x", maxID) + `","profile":{}}`, "row 2 of the page has an id that cannot be one of Okta's"},
		"huge id":             {`{"id":"secret` + big + `","profile":{}}`, "row 2 of the page holds a value of more than 1 MiB"},
		"path in the id":      {`{"id":"../groups","profile":{}}`, "row 2 of the page has an id that cannot"},
		"colon in the id":     {`{"id":"secret:00u1","profile":{}}`, "row 2 of the page has an id that cannot"},
		"NUL in the id":       {`{"id":"secret\u0000","profile":{}}`, "row 2 of the page has an id that cannot"},
		"escape in the id":    {`{"id":"secret\u001b[2J","profile":{}}`, "row 2 of the page has an id that cannot"},
		"letters of Greece":   {`{"id":"sεcret","profile":{}}`, "row 2 of the page has an id that cannot"},
		"surrogate in the id": {`{"id":"secret\ud800","profile":{}}`, "row 2 of the page has an id that cannot"},
		"deep attribute":      {`{"id":"00u2","profile":{"secret":` + nested(maxNesting+1) + `}}`, "row 2 of the page (id 00u2) holds a value that nests deeper than 32 levels"},
		"deep type":           {`{"id":"00u2","type":` + nested(maxNesting+1) + `,"profile":{}}`, "row 2 of the page (id 00u2) holds a value that nests deeper than 32 levels"},
		"deepest":             {`{"id":"00u2","_links":` + nested(20_000) + `}`, "row 2 of the page (id 00u2) nests deeper than any answer"},
		"huge attribute":      {`{"id":"00u2","profile":{"secret":"` + big + `"}}`, "row 2 of the page (id 00u2) holds a value of more than 1 MiB"},
		"huge name":           {`{"id":"00u2","profile":{"` + big + `":"secret"}}`, "row 2 of the page (id 00u2) holds a value of more than 1 MiB"},
		"huge link":           {`{"id":"00u2","_links":{"secret":"` + big + `"}}`, "row 2 of the page (id 00u2) holds a value of more than 1 MiB"},
		"huge number":         {`{"id":"00u2","profile":{"secret":` + strings.Repeat("7", 2*maxValue+1) + `}}`, "row 2 of the page (id 00u2) holds a value of more than 1 MiB"},
		"many attributes":     {`{"id":"00u2","profile":{"secret":1` + numbered(40_000, `,"a%d":1`) + `}}`, "row 2 of the page (id 00u2) would take more than 4 MiB"},
		"wide attribute":      {`{"id":"00u2","profile":{"secret":[[]` + strings.Repeat(",[]", 100_000) + `]}}`, "row 2 of the page (id 00u2) would take more than 4 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := setup(t, nil, says("["+good+","+tt.row+"]"))
			users, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
			require.ErrorContains(t, err, tt.says)
			require.NotContains(t, err.Error(), "secret")
			require.Less(t, len(err.Error()), 1000)
			requireKind(t, err, Permanent)
			require.Nil(t, users)
		})
	}
	for name, text := range map[string]string{"member": `[{"id":"00u1"}]`, "null": `[{"id":"00u1","status":null}]`} {
		client, _ := setup(t, nil, says(text))
		_, _, err := client.ListGroupMembers(t.Context(), "00g1", 0, "")
		require.ErrorContains(t, err, "row 1 of the page (id 00u1) has no status", name)
	}
	client, _ := setup(t, nil, says("null"))
	_, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
	requireKind(t, err, RetryLater)
	require.ErrorContains(t, err, "JSON, but not a list")
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// Texts come through as they are, whatever they are made of.
func TestOddTextsAreKept(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"long": strings.Repeat("Zoë", 10_000/3), "rtl": "\u202eevil\u202c \u05d0\u05d1", "zero": "ad\u200bmin\ufeff", "control": "a\x00\x01\x1b[2J\x7f\u009b\r\n\t",
		"astral": "𝔘😀\U0010ffff", "noncharacter": "\uffff\ufdd0", "separators": "\u2028\u2029", "html": `<script>"&'\`, "empty": "",
	}
	profile, err := json.Marshal(texts)
	require.NoError(t, err)
	client, _ := setup(t, nil, says(`[{"id":"00u1","status":"ACTIVE","profile":`+string(profile[:len(profile)-1])+`,"half":"a\ud800b\udc00","raw":"`+"\xff\xed\xa0\x80"+`"}}]`))
	users, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
	require.NoError(t, err)
	want := map[string]any{"half": "a\ufffdb\ufffd", "raw": "\ufffd\ufffd\ufffd\ufffd"}
	for name, text := range texts {
		want[name] = text
	}
	require.Equal(t, want, users[0].Profile)
}

// More rows than were asked for are a page; more than any page has are none.
func TestManyRows(t *testing.T) {
	t.Parallel()
	const row = `{"id":"00u1","status":"ACTIVE"}`
	page := func(n int) func(*Options) { return says("[" + strings.Repeat(row+",", n-1) + row + "]") }
	client, _ := setup(t, nil, page(maxRows))
	members, _, err := client.ListGroupMembers(t.Context(), "00g1", 200, "")
	require.NoError(t, err)
	require.Len(t, members, maxRows)
	client, _ = setup(t, nil, page(maxRows+1))
	_, _, err = client.ListGroupMembers(t.Context(), "00g1", 200, "")
	requireKind(t, err, Permanent)
	require.ErrorContains(t, err, "has more than 10000 rows")
}

// A member list that is too large is asked for in smaller pages, another one by people.
func TestTooLargeMemberPages(t *testing.T) {
	t.Parallel()
	const lead, row = "[", `{"id":"00u1","status":"ACTIVE","_links":"`
	client, _ := setup(t, nil, from(func() io.Reader { return &endless{lead: lead, row: row + strings.Repeat("x", 500_000) + `"},`} }))
	_, _, err := client.ListGroupMembers(t.Context(), "00g1", 0, "")
	require.True(t, requireKind(t, err, RetryLater).SmallerPage)
	_, _, err = client.ListGroups(t.Context(), ListGroups{}, "")
	require.ErrorContains(t, err, "no profile") // the first row already
	_, _, err = client.GetUser(t.Context(), "00u1")
	require.False(t, requireKind(t, err, Permanent).SmallerPage)
}

// The memory of a call is bounded, whatever it is answered: what is kept, and what the
// decoder holds meanwhile.
func TestHostileAnswersTakeBoundedMemory(t *testing.T) { //nolint:paralleltest // measures the memory of the process
	if testing.Short() {
		t.Skip("SKIPPED: the memory of hostile answers (-short): the race detector takes memory of its own")
	}
	const most = 2 * maxPageMemory
	user := func(profile string) string { return `{"id":"00u1","status":"ACTIVE","profile":{` + profile + `}},` }
	wide := user(`"a":[[]` + strings.Repeat(",[]", 40_000) + `]`)
	for name, row := range map[string]string{
		"small rows":                  user(""),
		"small attributes":            user(`"a0":1` + numbered(5000, `,"b%d":1`)),
		"a wide row, then empty ones": user(`"a0":1`+numbered(1000, `,"b%d":1`)) + strings.Repeat(user(""), 3),
		"wide attributes":             wide,
		"long texts":                  user(`"a":"` + strings.Repeat("x", 900_000) + `"`),
		"escaped texts":               user(`"a":"` + strings.Repeat(`\n`, 400_000) + `"`),
		"one text":                    `{"id":"` + strings.Repeat("x", 1<<20),
		"opening brackets":            strings.Repeat("[", 1<<20),
		"blanks":                      strings.Repeat(" ", 1<<20),
		"skipped":                     `{"id":"00u1","status":"ACTIVE","profile":{},"_embedded":[` + strings.Repeat("{},", 300_000) + `{}]},`,
	} {
		for _, zipped := range []bool{false, true} {
			client, _ := setup(t, nil, func(o *Options) {
				o.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: endlessBody(zipped, row)}, nil
				})}
			})
			var err error
			grown := peak(t, func() { _, _, err = client.ListUsers(t.Context(), ListUsers{}, "") })
			require.Error(t, err, name)
			require.Less(t, len(err.Error()), 1000, name)
			require.LessOrEqual(t, grown, uint64(most), "%s, zipped %v: %d MiB", name, zipped, grown>>20)
		}
	}
}

// endlessBody is a list of row, for ever; zipped, as what net/http unpacks.
func endlessBody(zipped bool, row string) io.ReadCloser {
	plain := &endless{lead: "[", row: row}
	if !zipped {
		return io.NopCloser(plain)
	}
	r, w := io.Pipe()
	go func() {
		z := gzip.NewWriter(w)
		_, err := io.Copy(z, plain)
		_ = w.CloseWithError(err)
	}()
	unpacked, err := gzip.NewReader(r)
	if err != nil {
		panic(err) // the pipe begins as gzip does
	}
	return struct {
		io.Reader
		io.Closer
	}{unpacked, r}
}

// peak is how far the memory in use grows during f: with the collector at every 4 MiB,
// what is in use is what is held.
func peak(t *testing.T, f func()) uint64 {
	t.Helper()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	stop, highest := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				highest <- most
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc-min(m.HeapAlloc, before))
			}
		}
	}()
	f()
	close(stop)
	return <-highest
}

// drip is a body of a byte a second.
type drip struct {
	ctx  context.Context
	text string
}

func (d *drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
	n := copy(p[:1], d.text)
	d.text = d.text[n:]
	return n, nil
}

// An answer that comes slowly is no answer once the time-out of the call is over, and a
// smaller page is asked for.
func TestSlowDrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken(canary), HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			body := &drip{r.Context(), "[" + strings.Repeat(`{"id":"00u1","status":"ACTIVE","profile":{}},`, 100)}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: io.NopCloser(body)}, nil
		})}})
		require.NoError(t, err)
		began := time.Now()
		_, _, err = client.ListUsers(t.Context(), ListUsers{}, "")
		require.True(t, requireKind(t, err, RetryLater).SmallerPage)
		require.ErrorContains(t, err, "no complete answer within 1m0s")
		require.Equal(t, DefaultTimeout, time.Since(began))
	})
}

// Headers are bounded, too: their size, and so their number.
func TestHostileHeaders(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]func(http.Header){
		"a long link": func(h http.Header) {
			h.Set("Link", "</api/v1/users?after="+strings.Repeat("x", 2*maxHeader)+`>; rel="next"`)
		},
		"many links": func(h http.Header) { h["Link"] = strings.Split(strings.Repeat(`</a>; rel="self"|`, 20_000), "|") },
		"many headers": func(h http.Header) {
			for i := range 20_000 {
				h.Set(fmt.Sprint("X-", i), "x")
			}
		},
	} {
		for _, h2 := range []bool{false, true} {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				header(w.Header())
				_, _ = io.WriteString(w, `[]`)
			}))
			server.EnableHTTP2 = h2
			server.StartTLS()
			t.Cleanup(server.Close)
			client, err := New(Options{BaseURL: server.URL, Credentials: APIToken(canary), HTTPClient: NewHTTPClient(func(tr *http.Transport) {
				tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the test's own server
			})})
			require.NoError(t, err)
			_, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
			requireKind(t, err, RetryLater)
			require.Nil(t, page, name)
			require.Less(t, len(err.Error()), 1000)
		}
	}
}

// A next link stays within its list, and is short enough to be stored.
func TestNextLinkOfAnotherList(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]string{
		"another path":    "/api/v1/groups?after=x",
		"another group":   "/api/v1/groups/00g2/users?after=x",
		"no API":          "/oauth2/v1/token?after=x",
		"dots":            "/api/v1/groups/00g1/../00g2/users?after=x",
		"dots in the end": "/api/v1/groups/00g1/users/..?after=x",
		"encoded dots":    "/api/v1/groups/00g1/%2e%2e/00g2/users?after=x",
		"encoded slash":   "/api/v1/groups/00g1%2Fusers?after=x",
		"double slash":    "/api/v1//groups/00g1/users?after=x",
		"trailing slash":  "/api/v1/groups/00g1/users/?after=x",
		"other case":      "/API/v1/groups/00g1/users?after=x",
		"root":            "/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			client, server := setup(t, func(w http.ResponseWriter, _ *http.Request) {
				calls++
				w.Header().Set("Link", "<"+link+`>; rel="next"`)
				_, _ = io.WriteString(w, `[]`)
			})
			_, page, err := client.ListGroupMembers(t.Context(), "00g1", 0, "")
			requireKind(t, err, Permanent)
			require.ErrorContains(t, err, "leads to another list")
			require.Empty(t, page.Next)
			_, _, err = client.ListGroupMembers(t.Context(), "00g1", 0, server.URL+link) // as if it had been stored
			requireKind(t, err, Permanent)
			require.Equal(t, 1, calls)
		})
	}
	client, _ := setup(t, answer(200, `[]`, "Link: </api/v1/users?after="+strings.Repeat("x", maxNextLink)+`>; rel="next"`))
	_, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
	requireKind(t, err, Permanent)
	require.ErrorContains(t, err, "bytes long, more than 16384")
	require.Less(t, len(err.Error()), 1000)

	// A fragment is not sent: it makes no next page of one that was read.
	client, _ = setup(t, answer(200, `[]`, `Link: </api/v1/users?after=1#2>; rel="next"`))
	_, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(page.Next, "/api/v1/users?after=1"))
	_, _, err = client.ListUsers(t.Context(), ListUsers{}, page.Next)
	require.ErrorContains(t, err, "repeats itself")
}

// Hosts that look like the org's, or are it in another spelling.
func TestHostsThatLookAlike(t *testing.T) {
	t.Parallel()
	for link, fits := range map[string]bool{
		"https://contoso.okta.com/api/v1/users?after=1":                 true,
		"https://contoso.okta.com:443/api/v1/users?after=1":             true,
		"HTTPS://CONTOSO.okta.com/api/v1/users?after=1":                 true,
		"https://contoso.okta.com:/api/v1/users?after=1":                true,
		"https://contoso.okta.com:0443/api/v1/users?after=1":            false,
		"https://contoso.okta.com.:443/api/v1/users?after=1":            false,
		"https://contoso.okta.com:8443/api/v1/users?after=1":            false,
		"http://contoso.okta.com:443/api/v1/users?after=1":              false,
		"https://contoso.o\u212ata.com/api/v1/users?after=1":            false, // the sign of Kelvin folds to k
		"https://conto\u017fo.okta.com/api/v1/users?after=1":            false, // the long s folds to s
		"https://contos\u043e.okta.com/api/v1/users?after=1":            false, // o of Cyrillic
		"https://xn--contos-6bh.okta.com/api/v1/users?after=1":          false,
		"https://contoso\u3002okta\u3002com/api/v1/users?after=1":       false, // the full stop of Chinese
		"https://contoso.okta.com%00.evil.example/api/v1/users?after=1": false,
		"https://contoso.okta.com%2eevil.example/api/v1/users?after=1":  false,
		"https://contoso%2eokta.com/api/v1/users?after=1":               false,
		`https://contoso.okta.com\.evil.example/api/v1/users?after=1`:   false,
		"https://contoso.okta.com;.evil.example/api/v1/users?after=1":   false,
		"https://contoso.okta.com@evil.example/api/v1/users?after=1":    false,
		"https://@contoso.okta.com/api/v1/users?after=1":                false,
		"//contoso.okta.com/api/v1/users?after=1":                       true,
		"//evil.example/api/v1/users?after=1":                           false,
		"///evil.example/api/v1/users?after=1":                          false,
		`/\evil.example/api/v1/users?after=1`:                           false,
		"javascript:alert(1)":                                           false,
	} {
		client, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken(canary), HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Link": {"<" + link + `>; rel="next"`}}, Request: r, Body: io.NopCloser(bytes.NewReader([]byte(`[]`)))}, nil
		})}})
		require.NoError(t, err)
		_, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
		if fits {
			require.NoError(t, err, link)
			require.NotEmpty(t, page.Next)
			continue
		}
		require.Error(t, err, link)
		requireKind(t, err, Permanent)
		require.Empty(t, page.Next, link)
	}
}

// An error below HTTP quotes what the other side sent: it is made fit, too.
func TestTransportErrorsAreFit(t *testing.T) {
	t.Parallel()
	_, _, err := failing(t, fmt.Errorf("malformed HTTP response %q of anna@example.com\x1b[2J\u202e%s", "x", strings.Repeat("long ", 10_000))).ListUsers(t.Context(), ListUsers{}, "")
	requireKind(t, err, RetryLater)
	require.NotContains(t, err.Error(), "anna")
	require.NotContains(t, err.Error(), "\x1b")
	require.NotContains(t, err.Error(), "\u202e")
	require.Less(t, len(err.Error()), 1500)
}

// What stands in a URL is escaped, and an answer about another object is refused.
func TestAnotherObject(t *testing.T) {
	t.Parallel()
	var uri string
	client, _ := setup(t, func(w http.ResponseWriter, r *http.Request) {
		uri = r.RequestURI
		_, _ = io.WriteString(w, `{"id":"00u2","status":"ACTIVE","profile":{}}`)
	})
	_, _, err := client.GetUser(t.Context(), "00u1")
	requireKind(t, err, Permanent)
	require.ErrorContains(t, err, "(id 00u2) is not the one that was asked for")
	_, _, err = client.GetUser(t.Context(), "a/b?c#d")
	requireKind(t, err, Permanent)
	require.Equal(t, "/api/v1/users/a%2Fb%3Fc%23d", uri)
	_, _, err = client.GetGroup(t.Context(), "00g1")
	requireKind(t, err, Permanent)
}
