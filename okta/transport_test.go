package okta

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// roundTrip makes a function a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func failing(t *testing.T, err error) *Client {
	t.Helper()
	client, _ := setup(t, nil, func(o *Options) {
		o.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, err })}
	})
	return client
}

func TestTransportErrors(t *testing.T) {
	t.Parallel()
	reset := &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}
	for name, tt := range map[string]struct {
		err  error
		kind Kind
		says string
	}{
		"DNS":      {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "contoso.okta.test", IsNotFound: true}}, RetryLater, "check OrgDomain"},
		"reset":    {reset, RetryLater, "connection reset by peer"},
		"no TLS":   {http.ErrSchemeMismatch, Permanent, "root certificates"},
		"alert":    {tls.AlertError(40), Permanent, "root certificates"},
		"EOF":      {io.ErrUnexpectedEOF, RetryLater, "unexpected EOF"},
		"echoing":  {errors.New(`malformed HTTP response "SSWS ` + canary + `"`), RetryLater, "SSWS [token]"},
		"location": {errors.New(`failed to parse Location header "x?secret": y`), Permanent, "redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, page, err := failing(t, tt.err).ListUsers(t.Context(), ListUsers{Search: `profile.login eq "anna@example.com"`}, "")
			e := requireKind(t, err, tt.kind)
			require.Nil(t, page)
			require.Zero(t, e.Status)
			require.ErrorContains(t, err, tt.says)
			require.NotContains(t, err.Error(), "anna")
			require.NotContains(t, err.Error(), "search=")
			require.NotContains(t, err.Error(), "secret")
		})
	}
	_, _, err := failing(t, reset).GetUser(t.Context(), "00u1")
	require.ErrorIs(t, err, reset, "the cause stays in the chain")
}

func TestUnknownCertificate(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(answer(200, `[]`))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	client, err := New(Options{BaseURL: server.URL, Credentials: APIToken(canary), HTTPClient: NewHTTPClient()})
	require.NoError(t, err)
	_, _, err = client.ListUsers(t.Context(), ListUsers{}, "")
	requireKind(t, err, Permanent)
	require.ErrorContains(t, err, "certificate")
	require.ErrorContains(t, err, "trust store")

	client, err = New(Options{BaseURL: server.URL, Credentials: APIToken(canary), HTTPClient: server.Client()})
	require.NoError(t, err)
	_, _, err = client.ListUsers(t.Context(), ListUsers{}, "")
	require.NoError(t, err)
}

// hanging answers with a header and a part of the body, then waits for the client to leave.
func hanging(part string) (http.HandlerFunc, chan struct{}) {
	arrived := make(chan struct{}, 10)
	return func(w http.ResponseWriter, r *http.Request) {
		if part != "" {
			_, _ = w.Write([]byte(part))
			_ = http.NewResponseController(w).Flush()
		}
		arrived <- struct{}{}
		<-r.Context().Done()
	}, arrived
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		part    string
		timeout time.Duration
	}{
		"before the answer": {"", 50 * time.Millisecond},
		"within the body":   {`[{"id":"00u1",`, 2 * time.Second}, // the head has to arrive in it, on a busy machine too
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler, _ := hanging(tc.part)
			client, _ := setup(t, handler, func(o *Options) { o.Timeout = tc.timeout })
			_, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
			e := requireKind(t, err, RetryLater)
			require.ErrorContains(t, err, "within "+tc.timeout.String())
			require.True(t, e.SmallerPage)
			require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's own deadline did not pass")
			require.Equal(t, tc.part != "", page != nil)
			_, _, err = client.GetUser(t.Context(), "00u1")
			require.False(t, requireKind(t, err, RetryLater).SmallerPage)
		})
	}
}

// The shorter time-out of a given HTTP client counts, with our message.
func TestTimeoutOfHTTPClient(t *testing.T) {
	t.Parallel()
	handler, _ := hanging("")
	client, _ := setup(t, handler, func(o *Options) { o.HTTPClient = &http.Client{Timeout: 50 * time.Millisecond} })
	_, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
	requireKind(t, err, RetryLater)
	require.ErrorContains(t, err, "within 50ms")
}

func TestCancellation(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{"before the answer": "", "within the body": `[{"id":"00u1",`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler, arrived := hanging(part)
			client, _ := setup(t, handler)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-arrived; cancel() }()
			_, _, err := client.ListUsers(ctx, ListUsers{}, "")
			require.Equal(t, context.Canceled, err, "returned as it is")
			_, page, err := client.ListUsers(ctx, ListUsers{}, "")
			require.Equal(t, context.Canceled, err)
			require.Nil(t, page, "a cancelled context sends nothing")
		})
	}
}

func TestCallersDeadline(t *testing.T) {
	t.Parallel()
	handler, _ := hanging("")
	client, _ := setup(t, handler)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _, err := client.ListUsers(ctx, ListUsers{}, "")
	require.Equal(t, context.DeadlineExceeded, err)
}

// Bodies that end too early on the wire.
func TestHalfAnswerOnTheWire(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"content length": "Content-Length: 500\r\n\r\n",
		"chunked":        "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n", // complete JSON, but no last chunk
		"gzip":           "Content-Encoding: gzip\r\nContent-Length: 500\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := setup(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, buf, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				_, _ = buf.WriteString("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + head)
				if strings.HasPrefix(head, "Content-Length") {
					_, _ = buf.WriteString(`[{"id":"00u1","profile":{}},`)
				}
				_ = buf.Flush()
				_ = conn.Close()
			})
			users, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
			requireKind(t, err, RetryLater)
			require.Nil(t, users)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		})
	}
}

// A redirect is not followed, so the token does not travel.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 1)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	t.Cleanup(other.Close)
	followed := false
	client, _ := setup(t, answer(307, "", "Location: "+other.URL+"/api/v1/users"), func(o *Options) {
		o.HTTPClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { followed = true; return nil }}
	})
	_, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
	requireKind(t, err, Permanent)
	require.ErrorContains(t, err, "redirect to "+strings.TrimPrefix(other.URL, "http://")+" refused")
	require.Equal(t, 307, page.Status)
	require.Empty(t, reached)
	require.False(t, followed)
}

// endless is a body of one lead and then one row after the other, for ever.
type endless struct {
	lead, row string
	n         int64
	left      string
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		e.left = e.lead
	}
	for n := 0; ; {
		if e.left == "" {
			e.left = e.row
		}
		c := copy(p[n:], e.left)
		e.left = e.left[c:]
		e.n += int64(c)
		if n += c; n == len(p) {
			return n, nil
		}
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	const row = `{"id":"00u1","profile":{}},`
	source := &endless{lead: "[", row: row[:len(row)-2] + `,"_links":"` + strings.Repeat("x", 100_000) + `"},`}
	client, _ := setup(t, nil, func(o *Options) {
		o.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(source)}, nil
		})}
	})
	_, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
	e := requireKind(t, err, Permanent)
	require.True(t, e.SmallerPage)
	require.ErrorContains(t, err, "larger than 64 MiB")
	require.ErrorContains(t, err, "PageSize")
	require.Less(t, source.n, int64(MaxResponseBytes)+1<<20)
}
