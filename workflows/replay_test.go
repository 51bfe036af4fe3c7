package workflows_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"github.com/identitymesh/okta-connector/workflows"
)

// TestReplay replays every committed history against the workflows of this build:
// a failure means that a deploy would break runs in flight. Histories are recorded
// from released behaviour (docs/testing.md); once a version is tagged, a change that
// breaks one uses workflow versioning, never a new recording.
func TestReplay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "replay", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "no history in testdata/replay: this test would prove nothing")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			r := worker.NewWorkflowReplayer()
			workflows.Register(r)
			require.NoError(t, r.ReplayWorkflowHistoryFromJSONFile(nil, file))
		})
	}
}
