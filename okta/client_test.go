package okta

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNew(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://contoso.okta.com":      "",
		"https://contoso.okta.com:8443": "",
		"https://[2001:db8::1]:8443":    "",
		"http://127.0.0.1:18080":        "",
		"http://localhost:18080":        "",
		"http://[::1]":                  "",
		"":                              "no http(s) scheme",
		"contoso.okta.com":              "no http(s) scheme",
		"ftp://contoso.okta.com":        "no http(s) scheme",
		"https://":                      "no host",
		"https://contoso.okta.com/":     "more than a host",
		"https://contoso.okta.com/api":  "more than a host",
		"https://contoso.okta.com?x":    "more than a host",
		"https://contoso.okta.com#x":    "more than a host",
		"https://u:" + url.QueryEscape(canary) + "@okta.co": "more than a host",
		"https://a b":             "no URL",
		"http://contoso.okta.com": "unencrypted",
		"http://10.0.0.1":         "unencrypted",
	} {
		_, err := New(Options{BaseURL: base, Credentials: APIToken(canary)})
		if want == "" {
			require.NoError(t, err, base)
			continue
		}
		require.ErrorContains(t, err, want, base)
		require.NotContains(t, err.Error(), canary)
	}
	for _, token := range []string{"", "SSWS " + canary, canary + "\n", "ü" + canary} {
		_, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken(token)})
		require.ErrorContains(t, err, "API token")
		require.NotContains(t, err.Error(), canary)
	}
	_, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken(canary), Timeout: -1})
	require.ErrorContains(t, err, "Timeout")
	for _, percent := range []int{-1, 91} {
		_, err = New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken(canary), RateLimitReserve: percent})
		require.ErrorContains(t, err, "RateLimitReserve must be from 0 to 90")
	}
	_, err = New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken(canary), UserAgent: "a\nb"})
	require.ErrorContains(t, err, "UserAgent")
	c, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken(canary)})
	require.NoError(t, err)
	require.Equal(t, DefaultTimeout, c.timeout)
}

func TestNewHTTPClient(t *testing.T) {
	t.Parallel()
	transport, ok := NewHTTPClient().Transport.(*http.Transport)
	require.True(t, ok)
	require.EqualValues(t, 0x0303, transport.TLSClientConfig.MinVersion)
	require.True(t, transport.ForceAttemptHTTP2)
	require.Equal(t, 75, transport.MaxIdleConnsPerHost, "a connection for every call that Okta takes at one time")
	require.NotNil(t, transport.Proxy)

	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `[{"id":%q,"profile":{}}]`, strings.ReplaceAll(r.Proto, "/", "-"))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	trusting, ok := server.Client().Transport.(*http.Transport)
	require.True(t, ok)
	transport.TLSClientConfig.RootCAs = trusting.TLSClientConfig.RootCAs
	client, err := New(Options{BaseURL: server.URL, Credentials: APIToken(canary), HTTPClient: &http.Client{Transport: transport}})
	require.NoError(t, err)
	users, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
	require.NoError(t, err)
	require.Equal(t, "HTTP-2.0", users[0].ID)
}

func TestOnCall(t *testing.T) {
	t.Parallel()
	var calls []Call
	client, server := setup(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Okta-Request-Id", "Xreq1")
		if r.URL.Path == "/api/v1/groups/00g1/users" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(oktaBody("E0000007", "Not found")))
			return
		}
		_, _ = w.Write([]byte(`[]`))
	}, func(o *Options) { o.OnCall = func(c Call) { calls = append(calls, c) } })
	_, _, err := client.ListUsers(t.Context(), ListUsers{Search: "secret"}, "")
	require.NoError(t, err)
	_, _, errGone := client.ListGroupMembers(t.Context(), "00g1", 0, "")
	server.Close()
	_, _, errDown := client.GetUser(t.Context(), "00u1")
	require.Error(t, errDown)

	require.Len(t, calls, 3)
	for i := range calls {
		require.Positive(t, calls[i].Duration)
		calls[i].Duration = 0
	}
	require.Equal(t, []Call{
		{Method: "GET", Endpoint: "/api/v1/users", Status: 200, Rate: Rate{Bucket: "/api/v1/users"}, RequestID: "Xreq1"},
		{Method: "GET", Endpoint: "/api/v1/groups/{id}/users", Status: 404, Rate: Rate{Bucket: "/api/v1/groups"}, RequestID: "Xreq1", Err: errGone},
		{Method: "GET", Endpoint: "/api/v1/users/{id}", Err: errDown},
	}, calls)
}

// The token shows up nowhere, whatever a server echoes and however things are printed.
func TestTokenCanary(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var calls []Call
	options := Options{Credentials: APIToken(canary), OnCall: func(c Call) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, c)
	}}
	var texts []string
	show := func(values ...any) {
		for _, v := range values {
			texts = append(texts, fmt.Sprintf("%v %+v %#v %s %q %d %x", v, v, v, v, v, v, v))
		}
	}
	spellings := []string{canary, "SSWS " + canary, url.QueryEscape(canary), html.EscapeString(canary), canary[:9] + "\x00" + canary[9:]}
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 409, 429, 500, 502, 503} {
		for _, echo := range spellings {
			header := strings.ReplaceAll(echo, "\x00", "")
			quoted, err := json.Marshal(echo)
			require.NoError(t, err)
			for _, body := range []string{
				echo,
				strings.Repeat("x", 100) + echo,
				"[" + string(quoted) + "]",
				`[{"id":` + string(quoted) + `}]`,
				`[{"id":"1","profile":{}}]`,
				fmt.Sprintf(`{"errorCode":%[1]s,"errorSummary":%[1]s,"errorId":%[1]s,"errorCauses":[{"errorSummary":%[1]s}]}`, quoted),
			} {
				for _, link := range []string{`<https://` + header + `.example/>; rel="next"`, `</x?` + header + `>; rel="next"`, header} {
					options.HTTPClient, options.Limits = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
						w := httptest.NewRecorder()
						answer(status, body, "X-Okta-Request-Id: "+header, "Retry-After: "+header, "Link: "+link,
							"X-Rate-Limit-Limit: "+header, "Location: https://"+header+"/?"+header,
							`WWW-Authenticate: SSWS error="`+header+`", error_description="`+header+`"`)(w, r)
						return w.Result(), nil
					})}, nil
					options.BaseURL = "https://contoso.okta.com"
					client, err := New(options)
					require.NoError(t, err)
					_, page, err := client.ListUsers(t.Context(), ListUsers{Search: canary}, "")
					show(err, page)
					_, page, err = client.ListGroupMembers(t.Context(), canary, 0, "")
					show(err, page)
					_, page, err = client.GetUser(t.Context(), "00u1")
					show(err, page)
					if e, ok := errors.AsType[*Error](err); ok {
						show(*e, e.Err)
					}
					show(client, *client, struct{ C *Client }{client}, struct{ c Client }{*client})
				}
			}
		}
	}
	client := failing(t, errors.New("dial "+canary))
	_, _, err := client.ListUsers(t.Context(), ListUsers{}, "https://"+canary+".example/?"+canary)
	show(err, errors.Unwrap(err))
	_, _, err = client.ListUsers(t.Context(), ListUsers{}, "")
	show(err, errors.Unwrap(err))
	show(options, &options, struct{ O Options }{options})
	texts = append(texts, options.String(), options.GoString(), client.String(), client.GoString())
	field, ok := reflect.TypeFor[Options]().FieldByName("Credentials")
	require.True(t, ok)
	require.Equal(t, "-", field.Tag.Get("json"), "JSON loggers leave the secrets out")
	for _, c := range calls {
		show(c, c.Err)
	}
	require.Greater(t, len(calls), 1000)
	hexed := fmt.Sprintf("%x", canary)
	for _, text := range texts {
		require.NotContains(t, text, canary)
		require.NotContains(t, text, url.QueryEscape(canary))
		require.NotContains(t, text, hexed)
	}
}

// Clients that share limits and a transport may be used from many goroutines.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	client, _ := setup(t, answer(200, `[{"id":"00u1","profile":{}}]`, "X-Rate-Limit-Limit: 9", "X-Rate-Limit-Remaining: 5",
		fmt.Sprintf("X-Rate-Limit-Reset: %d", time.Now().Add(time.Minute).Unix())))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if _, _, err := client.ListUsers(t.Context(), ListUsers{}, ""); err != nil {
					t.Error(err)
				}
				client.limits.Snapshot()
			}
		})
	}
	wg.Wait()
}
