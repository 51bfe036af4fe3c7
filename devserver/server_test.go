package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

var regionKey = temporal.NewSearchAttributeKeyKeyword("Region")

// testConfig is a server in memory on free ports with two namespaces.
func testConfig(t *testing.T) Config {
	t.Helper()
	cfg, err := parseFlags([]string{
		"--port", "0", "--ui-port", "0", "--namespace", "default", "--namespace", "other",
		"--search-attribute", "Region=Keyword",
	}, io.Discard)
	require.NoError(t, err)
	return cfg
}

func dial(t *testing.T, address, namespace string) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: address, Namespace: namespace,
		Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func get(t *testing.T, url string) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	body, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, body
}

func TestServerInMemory(t *testing.T) {
	t.Parallel()
	srv, err := Start(t.Context(), testConfig(t), io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { srv.Stop(stopTimeout) })

	for _, namespace := range []string{"default", "other"} {
		c := dial(t, srv.Address(), namespace)
		ns, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
		require.NoError(t, err)
		require.Equal(t, enumspb.NAMESPACE_STATE_REGISTERED, ns.GetNamespaceInfo().GetState())
		require.Equal(t, retention, ns.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration())

		attributes, err := c.OperatorService().ListSearchAttributes(t.Context(),
			&operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		require.NoError(t, err)
		for _, name := range []string{"IdentityMeshConnector", "IdentityMeshMode", "IdentityMeshOutcome", "Region"} {
			require.Equal(t, enumspb.INDEXED_VALUE_TYPE_KEYWORD, attributes.GetCustomAttributes()[name], name)
		}
	}

	status, body := get(t, srv.UIURL()+"/")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, string(body), "<html")
	status, body = get(t, srv.UIURL()+"/api/v1/namespaces")
	require.Equal(t, http.StatusOK, status)
	var listed struct {
		Namespaces []struct{ NamespaceInfo struct{ Name string } }
	}
	require.NoError(t, json.Unmarshal(body, &listed))
	require.Len(t, listed.Namespaces, 3, "ours and temporal-system")
	require.Equal(t, "other", listed.Namespaces[1].NamespaceInfo.Name)
}

func regionWorkflow(ctx workflow.Context) (string, error) {
	return workflow.GetInfo(ctx).Namespace, workflow.UpsertTypedSearchAttributes(ctx, regionKey.ValueSet("north"))
}

// TestServerRunsWorkflows is the whole way of a run: start, task queue, search
// attribute, result, list.
func TestServerRunsWorkflows(t *testing.T) {
	t.Parallel()
	srv, err := Start(t.Context(), testConfig(t), io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { srv.Stop(stopTimeout) })
	c := dial(t, srv.Address(), "other")

	w := worker.New(c, "region", worker.Options{})
	w.RegisterWorkflow(regionWorkflow)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "region", TaskQueue: "region"}, regionWorkflow)
	require.NoError(t, err)
	var namespace string
	require.NoError(t, run.Get(t.Context(), &namespace))
	require.Equal(t, "other", namespace)
	require.Eventually(t, func() bool { // the visibility store follows the history
		count, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: `Region = "north"`})
		return err == nil && count.GetCount() == 1
	}, 10*time.Second, 20*time.Millisecond)
}

// TestSearchAttributesOfAnOlderNamespace: a namespace that was there before gets
// what it lacks, and a type that cannot be changed is refused.
func TestSearchAttributesOfAnOlderNamespace(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Headless = true
	srv, err := Start(t.Context(), cfg, io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { srv.Stop(stopTimeout) })
	require.Empty(t, srv.UIURL())

	ops := dial(t, srv.Address(), "default").OperatorService()
	want := map[string]enumspb.IndexedValueType{
		"Region": enumspb.INDEXED_VALUE_TYPE_KEYWORD, "Size": enumspb.INDEXED_VALUE_TYPE_INT,
	}
	require.NoError(t, ensureSearchAttributes(t.Context(), ops, "default", want))
	listed, err := ops.ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: "default"})
	require.NoError(t, err)
	require.Equal(t, enumspb.INDEXED_VALUE_TYPE_INT, listed.GetCustomAttributes()["Size"])

	want["Size"] = enumspb.INDEXED_VALUE_TYPE_BOOL
	var conflict *attributeConflictError
	require.ErrorAs(t, ensureSearchAttributes(t.Context(), ops, "default", want), &conflict)
	require.ErrorContains(t, conflict, "search attribute Size of namespace default is a Int, not a Bool")
}

func TestTooManySearchAttributes(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	for _, name := range []string{"A", "B", "C", "D", "E", "F", "G", "H"} {
		cfg.SearchAttributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	_, err := Start(t.Context(), cfg, io.Discard)
	require.ErrorContains(t, err, "cannot have more than 10 search attributes of type Keyword")
}

func TestClaimPort(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	taken, ok := l.Addr().(*net.TCPAddr)
	require.True(t, ok)

	_, err = claimPort(t.Context(), "--ui-port", loopback, taken.Port)
	require.ErrorContains(t, err, "is taken by another process")
	require.ErrorContains(t, err, "--ui-port")
	_, err = claimPort(t.Context(), "--port", net.IPv4(192, 0, 2, 1), 7233)
	require.ErrorContains(t, err, "this machine has no address 192.0.2.1")

	free, err := claimPort(t.Context(), "--port", loopback, 0)
	require.NoError(t, err)
	again, err := claimPort(t.Context(), "--port", loopback, free)
	require.NoError(t, err, "a port found free can be listened on")
	require.Equal(t, free, again)
}

func TestReachable(t *testing.T) {
	t.Parallel()
	require.Equal(t, "127.0.0.1", reachable(net.ParseIP("0.0.0.0")).String())
	require.Equal(t, "::1", reachable(net.ParseIP("::")).String())
	require.Equal(t, "192.0.2.7", reachable(net.ParseIP("192.0.2.7")).String())
	require.Equal(t, "[::1]:7233", hostPort(net.IPv6loopback, 7233))
}

func TestUntilGivesUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := until(ctx, "the moon", func() error {
		if calls++; calls == 3 {
			cancel()
		}
		return io.ErrUnexpectedEOF
	})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "waited for the moon")
	require.GreaterOrEqual(t, calls, 3)
}
