package okta

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchPage returns n users with the attributes of a full profile, as Okta sends them.
func benchPage(n int) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"00u%017d","status":"ACTIVE","created":"2026-05-15T17:24:32.000Z","activated":"2026-05-15T17:24:41.000Z",`+
			`"statusChanged":"2026-05-15T17:24:41.000Z","lastLogin":null,"lastUpdated":"2026-05-15T17:24:44.000Z","passwordChanged":null,`+
			`"type":{"id":"oty1"},"profile":{"mobilePhone":null,"secondEmail":null,"login":"user%d@example.com"`, i, i)
		for a := range 28 {
			fmt.Fprintf(&b, `,"attribute%d":"value %d of user %d"`, a, a, i)
		}
		fmt.Fprintf(&b, `},"_links":{"self":{"href":"https://contoso.okta.com/api/v1/users/00u%017d"}}}`, i)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// benchGroups returns n groups as Okta sends them.
func benchGroups(n int) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"00g%017d","created":"2026-05-15T17:24:32.000Z","lastUpdated":"2026-05-15T17:24:41.000Z",`+
			`"lastMembershipUpdated":"2026-05-15T17:24:41.000Z","objectClass":["okta:user_group"],"type":"OKTA_GROUP",`+
			`"profile":{"name":"Group %d","description":null},"_links":{"users":{"href":"https://contoso.okta.com/api/v1/groups/00g%017d/users"}}}`, i, i, i)
	}
	b.WriteByte(']')
	return b.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	b.Run("200 users", func(b *testing.B) { benchDecode(b, 200, benchPage(200), userKind) })
	b.Run("200 groups", func(b *testing.B) { benchDecode(b, 200, benchGroups(200), groupKind) })
	b.Run("1000 members", func(b *testing.B) { benchDecode(b, 1000, benchPage(1000), memberKind) })
}

func benchDecode[T any](b *testing.B, n int, page []byte, k kind[T]) {
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		rows, err := decodeList(bytes.NewReader(page), k)
		if err != nil || len(rows) != n {
			b.Fatal(len(rows), err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkList is a whole call: with a page in memory what this package costs, with
// a server on the loopback interface also what net/http costs on both sides.
func BenchmarkList(b *testing.B) {
	small, large := benchPage(1), benchPage(1000)
	b.Run("1 member in memory", func(b *testing.B) { benchList(b, 1, small, false, false) })
	b.Run("1 member", func(b *testing.B) { benchList(b, 1, small, true, false) })
	b.Run("1000 members", func(b *testing.B) { benchList(b, 1000, large, true, false) })
	b.Run("1000 members gzip", func(b *testing.B) { benchList(b, 1000, large, true, true) })
}

func benchList(b *testing.B, n int, page []byte, served, zipped bool) {
	header := http.Header{
		"Content-Type": {"application/json"}, "Date": {"Mon, 04 May 2026 12:00:00 GMT"}, "X-Okta-Request-Id": {"Xreq1"},
		"Link":               {`<https://contoso.okta.com/api/v1/groups/00g1/users?limit=1000>; rel="self"`},
		"X-Rate-Limit-Limit": {"600"}, "X-Rate-Limit-Remaining": {"599"}, "X-Rate-Limit-Reset": {"1777896060"},
	}
	o := Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken(canary)}
	if zipped {
		page = zip(b, page)
		header.Set("Content-Encoding", "gzip")
	}
	if served {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for name, values := range header {
				w.Header()[name] = values
			}
			_, _ = w.Write(page)
		}))
		b.Cleanup(server.Close)
		o.BaseURL = server.URL
	} else {
		o.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(bytes.NewReader(page))}, nil
		})}
	}
	client, err := New(o)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		rows, _, err := client.ListGroupMembers(b.Context(), "00g1", 1000, "")
		if err != nil || len(rows) != n {
			b.Fatal(len(rows), err)
		}
	}
}

func zip(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(text)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}
