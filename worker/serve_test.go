package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

// serve starts a monitor on a free port and returns its address.
func serve(t *testing.T, m *metrics, h *health) string {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s, err := startMonitor(t.Context(), "127.0.0.1:0", m, h, zap.New(core))
	require.NoError(t, err)
	t.Cleanup(s.close)
	url, _ := logs.FilterMessage("Metrics").All()[0].ContextMap()["url"].(string)
	return strings.TrimSuffix(url, "/metrics")
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(b)
}

func TestMetricsUseAnotherPortWhenTheirsIsTaken(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	core, logs := observer.New(zap.InfoLevel)
	m := newMetrics(zap.New(core))
	t.Cleanup(m.close)
	s, err := startMonitor(t.Context(), taken.Addr().String(), m, &health{}, zap.New(core))
	require.NoError(t, err)
	t.Cleanup(s.close)
	require.Equal(t, 1, logs.FilterLevelExact(zap.WarnLevel).Len())
	url, _ := logs.FilterMessage("Metrics").All()[0].ContextMap()["url"].(string)
	m.handler.WithTags(map[string]string{"endpoint": "/api/v1/groups/{id}/users"}).Counter("identitymesh_okta_calls").Inc(3)
	require.Eventually(t, func() bool { // tally reports once a second
		_, body := get(t, url)
		return strings.Contains(body, `identitymesh_okta_calls_total{endpoint="/api/v1/groups/{id}/users"} 3`)
	}, waitLimit, waitStep)
}

func TestMetricsAddressIsChecked(t *testing.T) {
	t.Parallel()
	m := newMetrics(zap.NewNop())
	t.Cleanup(m.close)
	_, err := startMonitor(t.Context(), "9464", m, &health{}, zap.NewNop())
	require.ErrorContains(t, err, "HOST:PORT")
	s, err := startMonitor(t.Context(), "", m, &health{}, zap.NewNop())
	require.NoError(t, err)
	s.close()
}

// standing is a mesh of which only the standings can be asked.
type standing struct {
	mesh.Observer

	all []mesh.Standing
	err error
}

func (s standing) Standings(context.Context) ([]mesh.Standing, error) { return s.all, s.err }

func TestMeshMetrics(t *testing.T) {
	t.Parallel()
	at := func(second int64) time.Time { return time.Unix(second, 500_000_000) }
	scrape := func(store mesh.Observer) string {
		m := newMetrics(zap.NewNop())
		t.Cleanup(m.close)
		m.registry.MustRegister(&meshCollector{store, zap.NewNop()}, &budgetCollector{&activities.Budgets{}})
		_, body := get(t, serve(t, m, &health{})+"/metrics")
		return body
	}
	body := scrape(standing{all: []mesh.Standing{{
		Connector: "contoso", CreatedAt: at(1000),
		Ends: []mesh.RunTotal{
			{Mode: "Delta", Outcome: mesh.Completed, Runs: 7, EndedAt: at(2000), Duration: 1500 * time.Millisecond},
			{Mode: "Full", Outcome: mesh.HeldDeletes, Runs: 1, EndedAt: at(3000)},
		},
		Running: map[string]time.Time{"Full": at(4000)},
		Changes: map[mesh.ObjectType]mesh.Counts{mesh.User: {Added: 5, Updated: 4, Deleted: 3}},
		Held:    map[mesh.ObjectType]int{mesh.Group: 9}, HoldOpened: at(5000), HoldExpires: at(6000),
		Watermark: mesh.Watermark{Users: mesh.NewMark(at(7000))},
	}}})
	for _, want := range []string{
		`identitymesh_mesh_up 1`,
		`identitymesh_connector_created_timestamp_seconds{connector="contoso"} 1000.5`,
		`identitymesh_runs_total{connector="contoso",mode="delta",outcome="completed"} 7`,
		`identitymesh_runs_total{connector="contoso",mode="full",outcome="failed"} 0`,
		`identitymesh_run_ended_timestamp_seconds{connector="contoso",mode="full",outcome="held_deletes"} 3000.5`,
		`identitymesh_run_duration_seconds{connector="contoso",mode="delta",outcome="completed"} 1.5`,
		`identitymesh_run_in_progress_started_timestamp_seconds{connector="contoso",mode="full"} 4000.5`,
		`identitymesh_changes_total{connector="contoso",operation="delete",type="User"} 3`,
		`identitymesh_changes_total{connector="contoso",operation="add",type="Group"} 0`,
		`identitymesh_deletes_held{connector="contoso",type="Group"} 9`,
		`identitymesh_deletes_held{connector="contoso",type="User"} 0`,
		`identitymesh_hold_opened_timestamp_seconds{connector="contoso"} 5000.5`,
		`identitymesh_hold_expires_timestamp_seconds{connector="contoso"} 6000.5`,
		`identitymesh_watermark_timestamp_seconds{connector="contoso",type="User"} 7000.5`,
	} {
		require.Contains(t, body, want+"\n")
	}
	require.NotContains(t, body, `watermark_timestamp_seconds{connector="contoso",type="Group"}`)

	body = scrape(standing{err: errors.New("disk on fire")})
	require.Contains(t, body, "identitymesh_mesh_up 0\n")
	require.NotContains(t, body, "identitymesh_runs_total{")
}

// secretOf resolves what it has.
type secretOf struct{ err error }

func (s secretOf) Resolve(context.Context, secrets.Ref) (secrets.Value, error) {
	return secrets.Value{}, s.err
}

func TestSecretFailuresAreCountedFromZero(t *testing.T) {
	t.Parallel()
	m := newMetrics(zap.NewNop())
	t.Cleanup(m.close)
	counted := func() float64 {
		families, err := m.registry.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "identitymesh_secret_resolve_failures_total" {
				require.Equal(t, "table", f.GetMetric()[0].GetLabel()[0].GetValue())
				return f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		return -1
	}
	good := countSecrets(secretOf{}, "table", m.handler)
	_, err := good.Resolve(t.Context(), "secret://a/b")
	require.NoError(t, err)
	require.Zero(t, counted(), "the series is there before the first failure")
	bad := countSecrets(secretOf{errors.New("sealed")}, "table", m.handler)
	_, err = bad.Resolve(t.Context(), "secret://a/b")
	require.EqualError(t, err, "sealed")
	require.Eventually(t, func() bool { return counted() == 1 }, waitLimit, waitStep)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = bad.Resolve(cancelled, "secret://a/b")
	require.Error(t, err)
	m.close()
	require.InDelta(t, 1, counted(), 0, "a cancel is no failure of the backend")
}

func TestHealth(t *testing.T) {
	t.Parallel()
	m := newMetrics(zap.NewNop())
	t.Cleanup(m.close)
	h := &health{}
	base := serve(t, m, h)
	ready := func() (int, map[string]string) {
		code, body := get(t, base+"/readyz")
		var parts map[string]string
		require.NoError(t, json.Unmarshal([]byte(body), &parts), body)
		return code, parts
	}
	yes := func(context.Context) error { return nil }
	down := errors.New("connection refused\nat length")

	code, parts := ready()
	require.Equal(t, 503, code)
	require.Equal(t, map[string]string{"status": "not ready", "worker": "starting", "database": "it has not answered yet", "temporal": "it has not answered yet"}, parts)

	h.setDatabase(yes)
	h.setTemporal(yes)
	code, parts = ready()
	require.Equal(t, 503, code)
	require.Equal(t, "starting", parts["worker"])

	h.started()
	code, parts = ready()
	require.Equal(t, 200, code)
	require.Equal(t, map[string]string{"status": "ready", "worker": "polling", "database": "reachable", "temporal": "reachable"}, parts)

	h.setDatabase(func(context.Context) error { return down })
	code, parts = ready()
	require.Equal(t, 503, code)
	require.Equal(t, "connection refused", parts["database"])
	require.Equal(t, "reachable", parts["temporal"])
	h.setDatabase(yes)

	h.setTemporal(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	code, parts = ready()
	require.Equal(t, 503, code)
	require.Equal(t, "no answer within 2s", parts["temporal"])
	h.setTemporal(yes)

	poll := func(ctx context.Context, method string, err error) {
		got := h.polls.watch(ctx, "/temporal.api.workflowservice.v1.WorkflowService/"+method, nil, nil, nil,
			func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return err })
		require.Equal(t, err, got)
	}
	denied := status.Error(codes.PermissionDenied, "no right to poll")
	poll(t.Context(), "PollActivityTaskQueue", denied)
	code, parts = ready()
	require.Equal(t, 503, code)
	require.Contains(t, parts["worker"], "no right to poll")
	poll(t.Context(), "PollWorkflowTaskQueue", nil)
	code, _ = ready()
	require.Equal(t, 503, code, "the other kind still fails")
	poll(t.Context(), "PollActivityTaskQueue", nil)
	poll(t.Context(), "DescribeNamespace", denied)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	poll(stopped, "PollActivityTaskQueue", denied)
	poll(t.Context(), "PollActivityTaskQueue", status.Error(codes.Canceled, "closing"))
	code, _ = ready()
	require.Equal(t, 200, code)

	h.drain()
	code, parts = ready()
	require.Equal(t, 503, code)
	require.Contains(t, parts["worker"], "stopping")
	code, body := get(t, base+"/healthz")
	require.Equal(t, 200, code)
	require.JSONEq(t, `{"status":"alive"}`, body)
}

// TestEveryCollectorDescribesWhatItCollects lets the registry check it.
func TestEveryCollectorDescribesWhatItCollects(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(&meshCollector{standing{all: []mesh.Standing{{Connector: "a", CreatedAt: time.Now()}, {Connector: "b"}}}, zap.NewNop()}))
	require.NoError(t, registry.Register(&budgetCollector{&activities.Budgets{}}))
	_, err := registry.Gather()
	require.NoError(t, err)
}
