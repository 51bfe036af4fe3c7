package main

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/identitymesh/okta-connector/mesh"
)

// TestStatusShowsWhatHasNotBegun: a run that waits for a worker has no row.
func TestStatusShowsWhatHasNotBegun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.begin("contoso", someRun)
	b.temporal.progress = reading
	require.NotContains(t, b.ok("status", "contoso"), "Waiting")

	const waits = "0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a99"
	mode, err := converter.GetDefaultDataConverter().ToPayload("Full")
	require.NoError(t, err)
	started := func(first, now string) *workflow.WorkflowExecutionInfo {
		return &workflow.WorkflowExecutionInfo{
			Execution: &common.WorkflowExecution{WorkflowId: "import-contoso-full-x", RunId: now}, FirstRunId: first,
			StartTime:        timestamppb.New(time.Date(2026, 4, 22, 8, 15, 0, 0, time.UTC)),
			SearchAttributes: &common.SearchAttributes{IndexedFields: map[string]*common.Payload{"IdentityMeshMode": mode}},
		}
	}
	b.temporal.open = map[string][]*workflow.WorkflowExecutionInfo{"'contoso'": {started(someRun, someRun), started(waits, "continued")}}
	b.temporal.idle = true
	text := b.ok("status", "contoso")
	require.Regexp(t, `(?m)^Waiting +run `+waits+` \(Full\), since 2026-04-22 08:15:00Z: no worker polls task queue`, text)
	require.NotRegexp(t, `(?m)^Waiting +run `+someRun, text, "that one holds the connector")
	var s struct{ Waiting []waitingRun }
	require.NoError(t, json.Unmarshal([]byte(b.ok("status", "contoso", "-o", "json")), &s))
	require.Len(t, s.Waiting, 1)
	require.Equal(t, waits, s.Waiting[0].RunID)

	b.temporal.idle = false
	require.Contains(t, b.ok("status", "contoso"), "since 2026-04-22 08:15:00Z: not begun yet")
	b.withStore(func(ctx context.Context, store mesh.Store) {
		_, err := store.End(ctx, someRun, mesh.Cancelled, "")
		require.NoError(t, err)
	})
	require.Contains(t, b.ok("status", "contoso"), waits, "with nothing under way as well")

	b.temporal.listErr = serviceerror.NewInvalidArgument("no such attribute")
	text = b.ok("status", "contoso")
	require.NotContains(t, text, "Waiting")
	require.Regexp(t, `(?m)^Schedule +none$`, text, "the rest is known all the same")
}
