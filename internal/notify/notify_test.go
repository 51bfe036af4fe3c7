package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

var ended = time.Date(2026, 4, 22, 8, 0, 0, 0, time.UTC)

// run is an ended run after some failed ones.
func run(outcome mesh.Outcome, before int) *mesh.EndedRun {
	return &mesh.EndedRun{FailedBefore: before, Run: mesh.Run{
		RunID: "r1", Connector: "contoso", WorkflowID: "import-contoso", Namespace: "default", Mode: "Delta", Outcome: outcome,
		StartedAt: ended.Add(-time.Minute), EndedAt: &ended, DurationMs: 60_000, APICalls: 3,
		Counts: map[mesh.ObjectType]mesh.Counts{mesh.User: {Seen: 9, Held: 7}},
	}}
}

func TestWhatIsNews(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		outcome mesh.Outcome
		before  int
		event   Event
	}{
		{mesh.Failed, 0, Failed}, {mesh.Failed, 1, Failed}, {mesh.Failed, 2, ""}, {mesh.Failed, 3, Failed},
		{mesh.Failed, 4, ""}, {mesh.Failed, 31, Failed}, {mesh.Failed, 63, Failed}, {mesh.Failed, 95, ""}, {mesh.Failed, 127, Failed},
		{mesh.Failed, 191, Failed}, {mesh.Failed, 255, Failed},
		{mesh.Completed, 0, ""}, {mesh.Completed, 2, Recovered},
		{mesh.HeldDeletes, 0, Held}, {mesh.HeldDeletes, 2, Held},
		{mesh.Skipped, 2, ""}, {mesh.Cancelled, 2, ""},
	} {
		require.Equal(t, tc.event, eventOf(run(tc.outcome, tc.before)), "%s after %d", tc.outcome, tc.before)
	}
}

func TestNotices(t *testing.T) {
	t.Parallel()
	failed := run(mesh.Failed, 1)
	failed.Run.Error = "okta: 401 [request abc]"
	n := newNotice(Failed, failed, nil)
	require.Equal(t, "failed/r1", n.ID)
	require.Equal(t, "contoso: the Delta import failed (2 in a row): okta: 401 [request abc]", n.Text)
	require.Equal(t, 2, n.FailedRuns)
	require.Equal(t, []string{"starter runs show r1", "starter status contoso"}, n.Commands)

	hold := &mesh.Hold{RunID: "r1", Deletes: map[mesh.ObjectType]int{mesh.User: 20, mesh.Group: 1}, ExpiresAt: ended,
		Sample: []mesh.HeldDelete{{ExternalID: "anna@example.com"}}}
	n = newNotice(Held, run(mesh.HeldDeletes, 0), hold)
	require.Equal(t, "contoso: the Delta import held deletes back (7 User); in all 20 User, 1 Group wait for an answer until 2026-04-22 08:00Z", n.Text)
	require.Equal(t, []string{"starter runs show r1", "starter status contoso", "starter approve r1", "starter reject r1"}, n.Commands)
	body, err := json.Marshal(n)
	require.NoError(t, err)
	require.NotContains(t, string(body), "anna", "external ids may be logins")

	for _, other := range []*mesh.Hold{nil, {RunID: "r2"}} {
		n = newNotice(Held, run(mesh.HeldDeletes, 0), other)
		require.Contains(t, n.Text, "answered or changed since")
		require.Nil(t, n.Hold)
		require.Len(t, n.Commands, 2, "an approval of this run would be refused")
	}

	n = newNotice(Recovered, run(mesh.Completed, 3), nil)
	require.Equal(t, "contoso: the Delta import completed again, after 3 failed", n.Text)
	require.Equal(t, Test, Sample(ended).Event)
}

// script writes an executable shell script.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700))
	return path
}

func TestCommand(t *testing.T) {
	t.Setenv("IDENTITYMESH_DB", "postgres://user:password@host/db")
	t.Setenv("TEMPORAL_API_KEY", "a key")
	dir := t.TempDir()
	c, err := NewCommand(script(t, `cat > "$1/stdin"; env > "$1/env"`) + " " + dir)
	require.NoError(t, err)
	n := newNotice(Failed, run(mesh.Failed, 0), nil)
	require.NoError(t, c.Send(t.Context(), n))
	got, err := os.ReadFile(filepath.Join(dir, "stdin"))
	require.NoError(t, err)
	var back Notice
	require.NoError(t, json.Unmarshal(got, &back))
	require.Equal(t, n, back)
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	require.NoError(t, err)
	require.Contains(t, string(env), "IDENTITYMESH_EVENT=failed\n")
	require.Contains(t, string(env), "IDENTITYMESH_TEXT="+n.Text+"\n")
	require.NotContains(t, string(env), "password", "the worker's own settings stay with it")
	require.NotContains(t, string(env), "a key")

	c, err = NewCommand(script(t, "echo no route to pager >&2; exit 3"))
	require.NoError(t, err)
	err = c.Send(t.Context(), n)
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "no route to pager")

	_, err = NewCommand("/no/such/program")
	require.ErrorContains(t, err, "/no/such/program")
	_, err = NewCommand("  ")
	require.ErrorContains(t, err, "empty")
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	status := http.StatusNoContent
	var got Notice
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/secret-path" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("User-Agent") != "me/1" {
			t.Error("unexpected request", r.URL, r.Header)
		}
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(b, &got)
		}
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	target := server.URL + "/secret-path"
	h := NewWebhook(func(context.Context) (string, error) { return target, nil }, "me/1")
	n := newNotice(Failed, run(mesh.Failed, 0), nil)
	require.NoError(t, h.Send(t.Context(), n))
	require.Equal(t, n, got)
	for code, want := range map[int]string{500: "500", 404: "404", 302: "redirects are not followed"} {
		status = code
		err := h.Send(t.Context(), n)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret-path")
	}
	server.Close()
	err := h.Send(t.Context(), n)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret-path", "the URL may be a secret")
	for _, target = range []string{"ftp://example.com/secret-path", "http://example.com/secret-path", "http://10.0.0.1/secret-path"} {
		err = h.Send(t.Context(), n)
		require.ErrorContains(t, err, "https://host/path")
		require.NotContains(t, err.Error(), "secret-path")
	}
}

// vault resolves every reference to a URL.
type vault struct {
	url string
	err error
}

func (v vault) Resolve(context.Context, secrets.Ref) (secrets.Value, error) {
	return secrets.NewValue([]byte(v.url)), v.err
}

func TestSettings(t *testing.T) {
	t.Parallel()
	hit := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit <- struct{}{} }))
	t.Cleanup(server.Close)
	sinks, err := Settings{}.Sinks(nil, "")
	require.NoError(t, err)
	require.Empty(t, sinks)
	sinks, err = Settings{Command: "true", URL: "secret://notify/url"}.Sinks(vault{url: server.URL}, "")
	require.NoError(t, err)
	require.Len(t, sinks, 2)
	require.NoError(t, sinks[0].Send(t.Context(), Sample(ended)))
	require.NoError(t, sinks[1].Send(t.Context(), Sample(ended)))
	<-hit
	sinks, err = Settings{URL: "secret://notify/url"}.Sinks(vault{err: errors.New("sealed")}, "")
	require.NoError(t, err)
	require.ErrorContains(t, sinks[0].Send(t.Context(), Sample(ended)), "sealed")
	for _, bad := range []Settings{{Command: "/no/such/program"}, {URL: "secret://"}, {URL: "hooks.example.com/x"}} {
		_, err = bad.Sinks(nil, "")
		require.ErrorContains(t, err, "--notify-")
	}
}

// list is a mesh with ended runs for one follower.
type list struct {
	mu   sync.Mutex
	runs []*mesh.EndedRun
	due  time.Time
	err  error
}

func (l *list) ClaimEnded(context.Context, mesh.Follow) (*mesh.EndedRun, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || len(l.runs) == 0 || time.Now().Before(l.due) {
		return nil, l.err
	}
	return l.runs[0], nil
}

func (l *list) PassEnded(context.Context, *mesh.EndedRun) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs = l.runs[1:]
	return nil
}

func (l *list) PutBackEnded(_ context.Context, r *mesh.EndedRun, wait time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Attempts++
	l.due = time.Now().Add(wait)
	return nil
}

func (l *list) Hold(context.Context, string, int) (*mesh.Hold, error) {
	return nil, &mesh.NotFoundError{}
}

// pager takes notices when it works.
type pager struct {
	mu     sync.Mutex
	broken int // deliveries that still fail
	tries  []time.Time
	got    []string
}

func (*pager) Name() string { return "command" }

func (p *pager) Send(_ context.Context, n Notice) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries = append(p.tries, time.Now())
	if p.broken > 0 {
		p.broken--
		return errors.New("no route to pager")
	}
	p.got = append(p.got, n.ID)
	return nil
}

// TestFollower brings every piece of news to a pager that fails at first.
func TestFollower(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		l := &list{runs: []*mesh.EndedRun{run(mesh.Completed, 0), run(mesh.Failed, 0), run(mesh.Skipped, 1), run(mesh.HeldDeletes, 1)}}
		p := &pager{broken: 9}
		began := time.Now()
		stop := Start(Config{Store: l, Sinks: []Sink{p}, Logger: zap.New(core), Metrics: client.MetricsNopHandler})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Equal(t, []string{"failed/r1", "held/r1"}, p.got)
		require.Len(t, p.tries, 11)
		require.Equal(t, began, p.tries[0])
		for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 900} {
			gap := p.tries[i+1].Sub(p.tries[i])
			require.GreaterOrEqual(t, gap, want*time.Second, i)
			require.LessOrEqual(t, gap, want*time.Second+defaultEvery, i)
		}
		require.Equal(t, 9, logs.FilterMessage("A notification was not delivered").Len())
		require.Equal(t, 2, logs.FilterMessage("Notification sent").Len())

		l.mu.Lock()
		l.err = errors.New("disk on fire")
		l.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.NotZero(t, logs.FilterMessage("Notifications wait for the mesh").Len())
		l.mu.Lock()
		l.err, l.runs = nil, []*mesh.EndedRun{run(mesh.Completed, 2)}
		l.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, "recovered/r1", p.got[2])
		stop(time.Minute)
	})
}

// slow is a sink that takes its time.
type slow struct{ took chan struct{} }

func (slow) Name() string { return "url" }

func (s slow) Send(ctx context.Context, _ Notice) error {
	time.Sleep(10 * time.Second)
	close(s.took)
	return ctx.Err()
}

// TestStopWaitsForTheNoticeInHand stops in the middle of a delivery.
func TestStopWaitsForTheNoticeInHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &list{runs: []*mesh.EndedRun{run(mesh.Failed, 0)}}
		s := slow{make(chan struct{})}
		stop := Start(Config{Store: l, Sinks: []Sink{s}, Logger: zap.NewNop(), Metrics: client.MetricsNopHandler})
		time.Sleep(time.Second)
		stop(time.Minute)
		<-s.took
		require.Empty(t, l.runs, "it arrived and is not sent again")
	})
	synctest.Test(t, func(t *testing.T) {
		s := slow{make(chan struct{})}
		stop := Start(Config{Store: &list{runs: []*mesh.EndedRun{run(mesh.Failed, 0)}}, Sinks: []Sink{s}, Logger: zap.NewNop(), Metrics: client.MetricsNopHandler})
		time.Sleep(time.Second)
		began := time.Now()
		stop(3 * time.Second)
		require.Equal(t, 3*time.Second, time.Since(began))
		<-s.took
	})
}
