package okta

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// answering returns a client that gets one answer to every call; seen is told of each.
func answering(t *testing.T, seen func(*http.Request), status int, header http.Header, body string) *Client {
	t.Helper()
	client, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken(canary), HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if seen != nil {
			seen(r)
		}
		return &http.Response{StatusCode: status, Header: header.Clone(), Request: r, Body: io.NopCloser(strings.NewReader(body))}, nil
	})}})
	require.NoError(t, err)
	return client
}

// fit requires that an error can go to logs, to Temporal and to a terminal.
func fit(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	require.NotContains(t, text, canary)
	require.True(t, utf8.ValidString(text), "%q", text)
	require.False(t, strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", text)
	require.Less(t, len(text), 24<<10)
}

// FuzzAnswer: a page of any text is rows or an error, whichever list it answers; rows
// are what their kind must be, and say the same when they are written and read again.
func FuzzAnswer(f *testing.F) {
	for _, row := range []string{wireUser, wireGroup, `{"id":"00u1","status":"ACTIVE"}`, `null`, `{"id":"a:b","profile":{}}`, `{"id":"00u1","profile":{"a":[[[[]]]]}}`} {
		f.Add("[" + row + "," + row + "]")
		f.Add("[" + row)
	}
	f.Add(`[{"id":"00u1","status":"ACTIVE","profile":{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}}]`)
	f.Add("{\"errorCode\":\"E0000011\",\"x\":\"" + canary + "\"}")
	f.Fuzz(func(t *testing.T, body string) {
		client := answering(t, nil, 200, nil, body)
		users, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
		again(t, users, page, err, userKind)
		groups, page, err := client.ListGroups(t.Context(), ListGroups{}, "")
		again(t, groups, page, err, groupKind)
		members, page, err := client.ListGroupMembers(t.Context(), "00g1", 0, "")
		again(t, members, page, err, memberKind)
		for _, id := range []string{"00u1", "1"} {
			if user, _, err := client.GetUser(t.Context(), id); err != nil {
				fit(t, err)
			} else {
				require.Equal(t, id, user.ID)
			}
		}
	})
}

func again[T any](t *testing.T, rows []T, page *Page, err error, k kind[T]) {
	t.Helper()
	require.NotNil(t, page)
	if err != nil {
		fit(t, err)
		require.Nil(t, rows)
		return
	}
	for i := range rows {
		id, problem := k.check(&rows[i])
		require.Empty(t, problem)
		require.True(t, validID(id))
	}
	text, err := json.Marshal(rows)
	require.NoError(t, err)
	if len(rows) == 0 {
		return // null
	}
	back, err := decodeList(strings.NewReader(string(text)), k)
	require.NoError(t, err)
	written, err := json.Marshal(back)
	require.NoError(t, err)
	require.Equal(t, string(text), string(written))
}

// FuzzFollow: whatever a Link header says, the token goes to the org and to this list
// only, and what is to be stored holds no token and is not long.
func FuzzFollow(f *testing.F) {
	for _, link := range []string{
		`<https://contoso.okta.com/api/v1/users?after=1>; rel="next"`, `</api/v1/users?after=1>; rel=next`, `<?after=x>;rel="self next"`,
		`<https://contoso.okta.com:443/api/v1/users?after=%zz>; rel=next`, `<https://contoso.okta.com@evil.example/api/v1/users>; rel=next`,
		`<//evil.example/api/v1/users>; rel=next`, `<https://contoso.okta.com./api/v1/users>; rel=next`, `<https://conto` + "\u017f" + `o.okta.com/api/v1/users?x>; rel=next`,
		`<https:contoso.okta.com/api/v1/users>; rel=next`, `<https://contoso.okta.com/api/v1/users#f>; rel=next`, `</api/v1/users/../groups>; rel=next`,
		`<https://contoso.okta.com\@evil.example/>; rel=next`, `</api/v1/users?after=` + canary + `>; rel=next`, `<https://[::1]/api/v1/users>; rel=next`,
	} {
		f.Add(link)
	}
	f.Fuzz(func(t *testing.T, link string) {
		requests := 0
		seen := func(r *http.Request) {
			requests++
			require.Equal(t, "https", r.URL.Scheme)
			require.True(t, strings.EqualFold("contoso.okta.com", r.URL.Hostname()), r.URL.Host)
			require.Contains(t, []string{"", "443"}, r.URL.Port())
			require.Contains(t, []string{"", r.URL.Host}, r.Host)
			require.Nil(t, r.URL.User)
			require.Equal(t, "/api/v1/users", r.URL.EscapedPath())
		}
		client := answering(t, seen, 200, http.Header{"Link": {link}}, `[]`)
		_, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
		require.Equal(t, 1, requests)
		if err != nil {
			fit(t, err)
			require.Empty(t, page.Next)
			return
		}
		require.NotContains(t, page.Next, canary)
		require.LessOrEqual(t, len(page.Next), maxNextLink+len("https://contoso.okta.com/api/v1/users"))
		if page.Next == "" {
			return
		}
		_, _, err = client.ListUsers(t.Context(), ListUsers{}, page.Next)
		if err != nil {
			fit(t, err)
		}
		require.Equal(t, 2, requests, "what was accepted can be followed")
		// A link that was stored is checked as one that arrives.
		if _, _, err := client.ListUsers(t.Context(), ListUsers{}, link); err != nil {
			fit(t, err)
		}
	})
}

// FuzzRefusal: an error of any status, body and headers can be shown; the token that a
// server echoes is not in it, and nobody waits longer than he may.
func FuzzRefusal(f *testing.F) {
	f.Add(401, `{"errorCode":"E0000011","errorSummary":"Invalid token TOKEN","errorCauses":[{"errorSummary":"TOKEN"}]}`, `DPoP error="x", error_description="TOKEN"`, "", "", "")
	f.Add(429, `{"errorCode":"E0000047"}`, "", "1757607758", "Thu, 11 Sep 2025 16:21:50 GMT", "")
	f.Add(503, `<html>TOKEN</html>`, "", "0", "", "7")
	f.Add(302, "TOK\x00EN TOKE\u200bN", "https://TOKEN@evil.example/", "-1", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 GMT")
	f.Add(404, `{"errorCode":"E0000007"}`, "", "99999999999999999999", "x", "999999999999")
	f.Add(206, `[`, "", "", "", "-7")
	f.Add(200, `{"error":"TOKEN","error_description":"TOKEN`, "", "", "", "")
	f.Fuzz(func(t *testing.T, status int, body, other, reset, date, retryAfter string) {
		if status < 200 || status > 599 {
			return // net/http gives no other
		}
		echo := func(s string) string { return strings.ReplaceAll(s, "TOKEN", canary) }
		header := http.Header{}
		for name, value := range map[string]string{
			"Www-Authenticate": other, "Location": other, "X-Okta-Request-Id": other, "X-Rate-Limit-Limit": reset, "X-Rate-Limit-Remaining": reset,
			"X-Rate-Limit-Reset": reset, "Date": date, "Retry-After": retryAfter,
		} {
			header.Set(name, echo(value))
		}
		client := answering(t, nil, status, header, echo(body))
		_, page, err := client.GetUser(t.Context(), "00u1")
		if page == nil { // net/http wants to know a redirect's target
			require.Error(t, err)
			page = &Page{}
		}
		require.NotContains(t, page.RequestID, canary)
		if page.Rate.Known {
			require.GreaterOrEqual(t, min(page.Rate.Limit, page.Rate.Remaining), 0)
		}
		if err == nil {
			require.Equal(t, 200, status)
			return
		}
		fit(t, err)
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok, "%T", err)
		if e.Kind != Permanent {
			require.LessOrEqual(t, e.RetryAfter, maxWait)
		}
		require.GreaterOrEqual(t, e.RetryAfter, time.Duration(0))
		if e.Kind == Gone {
			require.Equal(t, http.StatusNotFound, e.Status)
			require.Equal(t, codeNotFound, e.Code)
		}
	})
}

// FuzzToken: whatever the token endpoint answers, calls carry a token that it gave or
// none, and the token is in no error, also when the org echoes it.
func FuzzToken(f *testing.F) {
	f.Add(200, `{"token_type":"DPoP","expires_in":3600,"access_token":"TOKEN","scope":"okta.users.read okta.groups.read"}`, "a-nonce", 401, `{"errorCode":"E0000011","errorSummary":"TOKEN"}`)
	f.Add(200, `{"token_type":"bearer","expires_in":-1e300,"access_token":"TOKEN"}`, "", 403, `TOKEN`)
	f.Add(200, `{"token_type":"Bearer","expires_in":1e308,"access_token":"TOKEN\r\nX: y","scope":null}`, "\x00", 200, `[]`)
	f.Add(200, `{"token_type":"mac","access_token":"TOKEN"}`, "", 200, `[]`)
	f.Add(400, `{"error":"use_dpop_nonce","error_description":"TOKEN"}`, "n", 200, `[]`)
	f.Add(429, `{"errorCode":"E0000047"}`, "", 200, `[`)
	f.Add(302, `[]`, "", 200, `x`)
	f.Add(200, `access_token=TOKEN&token_type=Bearer`, "", 200, `x`)
	f.Add(206, `access_token=TOKEN`, "", 200, `x`)
	credentials := appOf(f)
	f.Fuzz(func(t *testing.T, status int, body, nonce string, apiStatus int, api string) {
		if min(status, apiStatus) < 200 || max(status, apiStatus) > 599 {
			return // net/http gives no other
		}
		echo := func(s string) string { return strings.ReplaceAll(s, "TOKEN", canary) }
		client, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: credentials, HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			require.Equal(t, "contoso.okta.com", r.URL.Host)
			resp := &http.Response{StatusCode: apiStatus, Header: http.Header{"Dpop-Nonce": {nonce}}, Request: r, Body: io.NopCloser(strings.NewReader(echo(api)))}
			if r.URL.Path == TokenEndpoint {
				require.Empty(t, r.Header.Get("Authorization"))
				resp.StatusCode, resp.Body = status, io.NopCloser(strings.NewReader(body))
				if status < 400 { // a refusal holds no token
					resp.Body = io.NopCloser(strings.NewReader(echo(body)))
				}
				return resp, nil
			}
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			require.Contains(t, []string{"DPoP", "Bearer"}, scheme)
			require.NotEmpty(t, token)
			require.False(t, strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }), "%q", token)
			return resp, nil
		})}})
		require.NoError(t, err)
		if _, _, err = client.ListUsers(t.Context(), ListUsers{}, ""); err != nil {
			fit(t, err)
		}
	})
}
