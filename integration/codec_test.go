package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestCodec turns encryption on: a Full, a delta that holds deletes, the answer, `watch`,
// a schedule. What the server holds of all that says nothing, until the key decrypts it.
func TestCodec(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 60, 4)}, map[string]any{"MaxDeletes": 1})
	key := w.encrypted()
	payloads, err := codec.New(key, "")
	require.NoError(t, err)
	w.worker()
	full := w.completed()
	w.ok(w.starter("", "watch", full.RunID)) // follows one that has ended
	deactivate(w, 3)
	held := held(w, "delta", 3)
	require.NotNil(t, held.Watermark)
	approved, _ := w.rowOf(w.starter("", "approve", held.RunID, "--yes", "--wait", "-o", "json"))
	require.Equal(t, "Completed", approved.Outcome)
	require.Equal(t, 3, approved.Counts["User"].Deleted)
	w.ok(w.starter("", "schedule", "apply", w.name, "--every", "15m"))
	w.ok(w.starter("", "schedule", "trigger", w.name))
	ticked := waitForRun(w, approved.RunID)
	require.Equal(t, "Completed", ticked.Outcome)
	w.ok(w.starter("", "schedule", "pause", w.name))
	require.Contains(t, w.ok(w.starter("", "schedule", "show", w.name)), "every 15m")

	// What the server has, and what it means to who has the key.
	var raw, text strings.Builder
	for _, id := range workflowsOf(w) {
		h := events(w, id[0], id[1])
		raw.Write(readable(w, h))
		decrypt(w, h, payloads)
		text.Write(readable(w, h))
	}
	desc, err := w.client().WorkflowService().DescribeSchedule(t.Context(), &workflowservice.DescribeScheduleRequest{
		Namespace: "default", ScheduleId: "import-" + w.name,
	})
	require.NoError(t, err)
	schedule, err := protojson.Marshal(desc.GetSchedule().GetAction().GetStartWorkflow().GetInput())
	require.NoError(t, err)
	raw.Write(schedule)

	require.Contains(t, raw.String(), "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "the approval")
	require.Contains(t, raw.String(), "EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED", "the reconcile")
	for _, words := range []string{
		`"connector"`, `"mode"`, `"watermark"`, `"phase"`, // inputs, results, state
		"carry out the deletes that", "Scheduled import of " + w.name, // summaries
		full.Watermark.U, held.Watermark.U, approved.Watermark.U,
	} {
		require.False(t, strings.Contains(raw.String(), words), words) // the texts are long
		require.True(t, strings.Contains(text.String(), words), "the search would find %s", words)
	}
}

// encrypted makes a key for the world's processes and returns its file.
func (w *world) encrypted() (key string) {
	w.Helper()
	key = filepath.Join(w.stack.Dir, "codec.key")
	w.vars = append(w.vars, codec.EnvKeyFile+"="+key)
	w.ok(w.starter("", "codec", "key", "add"))
	return key
}

// decrypt puts plain payloads into a history.
func decrypt(w *world, h *historypb.History, payloads *codec.Codec) {
	w.Helper()
	require.NoError(w, proxy.VisitPayloads(w.Context(), h, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, p []*commonpb.Payload) ([]*commonpb.Payload, error) {
			return payloads.Decode(p)
		},
	}))
}

// TestCodecKeyIsMissing has a worker without the key meet an encrypted run: it blocks
// and says why, and goes on as soon as a worker has the key.
func TestCodecKeyIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 20, 2)}, nil)
	blind := w.worker()
	w.encrypted()
	run := w.start()
	_, err := blind.WaitFor(t.Context(), "IDENTITYMESH_CODEC_KEY_FILE")
	require.NoError(t, err)
	require.NoError(t, blind.Stop())
	w.worker()
	require.Equal(t, "Completed", w.wait(run).Outcome)
}

// TestCodecIsTurnedOn restarts the worker with a key while a plain hold is open.
func TestCodecIsTurnedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 30, 2)}, map[string]any{"MaxDeletes": 0})
	plain := w.worker()
	w.completed()
	deactivate(w, 1)
	held := held(w, "delta", 1)
	require.NoError(t, plain.Stop())
	w.encrypted()
	w.worker()
	approved, r := w.rowOf(w.starter("", "approve", held.RunID, "--yes", "--wait", "-o", "json"))
	require.Equal(t, "Completed", approved.Outcome, r.Stderr)
	require.Equal(t, 1, approved.Counts["User"].Deleted)
}

// waitForRun waits for the end of the first run after another.
func waitForRun(w *world, after string) runRow {
	w.Helper()
	var id string
	waitFor(w, "a run after "+after, func() bool {
		runs, err := w.store().Runs(w.Context(), w.name, 1)
		if err != nil || len(runs) == 0 || runs[0].RunID == after {
			return false
		}
		id = runs[0].RunID
		return true
	})
	return w.wait(id)
}

// workflowsOf lists every workflow of the world's task queue, as pairs of ids.
func workflowsOf(w *world) (ids [][2]string) {
	w.Helper()
	waitFor(w, "the index knows the runs", func() bool {
		ids = nil
		list, err := w.client().ListWorkflow(w.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: "TaskQueue = '" + w.queue + "'",
		})
		require.NoError(w, err)
		for _, e := range list.GetExecutions() {
			if e.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				return false
			}
			ids = append(ids, [2]string{e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId()})
		}
		return len(ids) > 0
	})
	return ids
}
