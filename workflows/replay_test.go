package workflows_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/workflows"
)

// recorded are the histories that must be there. A Full has two: the import's and its
// reconcile's.
var recorded = []string{
	"clean", "clean-reconcile", // the first Full
	"full", "full-reconcile", // with look-ups and deletes
	"scheduled", "scheduled-reconcile", // an Auto run that found the reconcile due
	"resumed", "resumed-reconcile", // the worker was killed
	"cancelled", "cancelled-reconcile",
	"delta", "delta-resumed", "dry-run",
	"held", "held-hold", "held-approval", // a delta that held deletes, the hold, what carried it out
	"rejected-hold",
	"continued-full", "continued-full-reconcile", "continued-full-reconcile-2", // as new, in the middle
	"continued-delta", "continued-delta-2",
	"skipped",                    // gave way
	"waited", "waited-reconcile", // for its turn
}

// replay replays a history file against the workflows of this build.
func replay(file string) error { return replayWith(worker.NewWorkflowReplayer(), file) }

func replayWith(r worker.WorkflowReplayer, file string) error {
	workflows.Register(r)
	return r.ReplayWorkflowHistoryFromJSONFile(quiet{}, file)
}

// TestReplay replays every committed history: a failure means that a deploy would break
// runs in flight. Histories are recorded from released behaviour (docs/testing.md); once
// a version is tagged, a change that breaks one uses workflow versioning, never a new
// recording.
func TestReplay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "replay", "*.json"))
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		names = append(names, name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, replay(file))
		})
	}
	require.Subset(t, names, recorded, "a history is missing: without it this test proves less than it says")
}

// TestReplayWithCodec replays plain histories in a worker that encrypts: the codec may be
// turned on while runs and holds are open.
func TestReplayWithCodec(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "codec.key")
	_, err := codec.OpenKeyFile(key).Add()
	require.NoError(t, err)
	payloads, err := codec.New(key, "")
	require.NoError(t, err)
	var o client.Options
	payloads.Apply(&o)
	for _, name := range recorded {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DataConverter: o.DataConverter, FailureConverter: o.FailureConverter})
			require.NoError(t, err)
			require.NoError(t, replayWith(r, filepath.Join("testdata", "replay", name+".json")))
		})
	}
}

// TestReplayNoticesAnotherOrder replays histories in which two activities that follow
// each other have changed places, as a changed workflow would have them.
func TestReplayNoticesAnotherOrder(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]string{
		"clean":           {"BeginRun", "ReconcileWorkflow"},
		"full-reconcile":  {"StageSweep", "LookUp"},
		"clean-reconcile": {"Settle", "CommitRun"},
		"delta":           {"Settle", "CommitRun"},
		"cancelled":       {"BeginRun", "EndRun"},
		"held-approval":   {"StageSweep", "Settle"},
		"held-hold":       {"ReadHold", "ApproveHold"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(filepath.Join("testdata", "replay", name+".json"))
			require.NoError(t, err)
			var h struct {
				Events []map[string]any `json:"events"`
			}
			require.NoError(t, json.Unmarshal(raw, &h))
			swapped := map[string]bool{}
			for _, e := range h.Events {
				for _, attributes := range []string{"activityTaskScheduledEventAttributes", "startChildWorkflowExecutionInitiatedEventAttributes"} {
					a, ok := e[attributes].(map[string]any)
					if !ok {
						continue
					}
					for _, key := range []string{"activityType", "workflowType"} {
						typ, ok := a[key].(map[string]any)
						if !ok {
							continue
						}
						switch typ["name"] {
						case pair[0]:
							typ["name"] = pair[1]
							swapped[pair[0]] = true
						case pair[1]:
							typ["name"] = pair[0]
							swapped[pair[1]] = true
						}
					}
				}
			}
			require.Len(t, swapped, 2, "the history has both of %v", pair)
			raw, err = json.Marshal(h)
			require.NoError(t, err)
			file := filepath.Join(t.TempDir(), name+".json")
			require.NoError(t, os.WriteFile(file, raw, 0o600))
			require.ErrorContains(t, replay(file), "nondeterministic")
		})
	}
}
