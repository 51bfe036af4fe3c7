package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// padding is a signal that no workflow has an ear for.
const padding = "padding"

// grow makes Temporal suggest continue-as-new, which it does from 4 MiB of history on.
func grow(w *world, workflowID string) {
	w.Helper()
	const signals, size = 3, 3 << 19
	for range signals {
		require.NoError(w, w.client().SignalWorkflow(w.Context(), workflowID, "", padding, strings.Repeat("x", size)))
	}
}

// TestContinueAsNew has a reconcile and a delta continue as new in the middle of their
// reading: with no activity in flight, and nothing read twice.
func TestContinueAsNew(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, mode, recording string
		probes                int // for groups, if their mark is older than the users' by a second
	}{
		{"a reconcile", "full", "continued-full-reconcile-2", 0},
		{"a delta", "delta", "continued-delta-2", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, oktasim.Config{Org: generated(t, 150, 60)}, map[string]any{"MembershipRefresh": "all"})
			w.worker("--turn", "1ms") // a page in each
			calm := w.completed()
			edit(w, 20)
			w.sim.ResetStats()
			g := w.hold(0, func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/v1/groups/") })
			runID := w.startMode(tc.mode)
			<-g.Held
			id, first := workflowID(w, runID), runID
			if c := child(events(w, id, runID)); c != nil {
				id, first = c.GetWorkflowId(), c.GetRunId()
			}
			grow(w, id)
			g.Open()
			row := w.wait(runID)
			require.Equal(t, "Completed", row.Outcome, row.Error)
			require.Equal(t, 20, row.Counts["User"].Updated)
			require.LessOrEqual(t, row.APICalls, calm.APICalls+tc.probes, "nothing is read twice")
			require.Equal(t, w.sim.Stats().Total, row.APICalls)
			w.requireTrue()

			before, after := events(w, id, first), events(w, id, "")
			last := before.GetEvents()[len(before.GetEvents())-1]
			require.Equal(t, enums.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, last.GetEventType())
			require.Equal(t, first, after.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId())
			recordRun(w, runID, "continued-"+tc.mode)
			recordHistory(w, after, tc.recording)
			p, err := w.progress(workflowID(w, runID))
			require.NoError(t, err)
			require.Equal(t, runID, p.RunID, "the query answers for the whole run")
			require.Equal(t, row.APICalls, p.APICalls)
		})
	}
}
