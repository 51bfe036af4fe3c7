package integration

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"

	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// Two releases of the worker.
const (
	oldBuild = "v1.4.2"
	newBuild = "v1.5.0"
)

// releases builds both, once for all tests, and returns the folder that holds a folder of
// each. They differ in the version that the build stamps into them.
var releases = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(temporal.Dir, "releases")
	for _, version := range []string{oldBuild, newBuild} {
		stamp := "-X github.com/identitymesh/okta-connector/internal/app.Version=" + version
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", stamp, "-o", filepath.Join(dir, version, "worker"), "../worker") //nolint:noctx,gosec // all of it is ours
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build the worker %s: %w\n%s", version, err, out)
		}
	}
	return dir, nil
})

// release starts a worker of a release within the world's deployment and returns where it
// is monitored. Its build id is the release.
func (w *world) release(version string, args ...string) (p *stack.Process, base string) {
	w.Helper()
	dir, err := releases()
	require.NoError(w, err)
	s := &stack.Stack{Bin: filepath.Join(dir, version), Dir: w.stack.Dir, TemporalAddr: w.stack.TemporalAddr, DB: w.stack.DB}
	w.Cleanup(func() { require.NoError(w, s.Close()) })
	args = append([]string{"--metrics-addr", "127.0.0.1:0", "--deployment", w.deployment()}, args...)
	p, err = s.Worker(w.Context(), w.env(), args...)
	require.NoError(w, err)
	line, err := p.WaitFor(w.Context(), `"msg":"Metrics"`)
	require.NoError(w, err)
	var entry struct{ URL string }
	decode(w, line, &entry)
	return p, strings.TrimSuffix(entry.URL, "/metrics")
}

// deployment is the name of the world's deployment.
func (w *world) deployment() string { return "deployment-of-" + strings.ToLower(w.queue) }

// promotedRow is what `deployment promote -o json` prints.
type promotedRow struct {
	Current, Previous string
	Ramp              *struct {
		BuildID string
		Percent float32
	}
	Changed    bool
	Workers    int
	TaskQueues []string
}

// promote gives all work to a build.
func (w *world) promote(build string) promotedRow {
	w.Helper()
	return w.roll("promote", w.deployment(), build)
}

func (w *world) roll(args ...string) (row promotedRow) {
	w.Helper()
	decode(w, w.ok(w.starter("", append([]string{"deployment", "-o", "json"}, args...)...)), &row)
	return row
}

// deploymentRow is what `deployment show -o json` prints.
type deploymentRow struct {
	Current string
	Builds  []struct {
		BuildID, Status string
		Percent         float32
		Workers         int
		TaskQueues      []string
	}
	UnversionedWorkers int
	Problem            string
}

func (w *world) deployed() (row deploymentRow) {
	w.Helper()
	decode(w, w.ok(w.starter("", "deployment", "show", w.deployment(), "-o", "json")), &row)
	return row
}

// status is the status of a build.
func (r deploymentRow) status(build string) string {
	for _, b := range r.Builds {
		if b.BuildID == build {
			return b.Status
		}
	}
	return "unknown"
}

// buildsOf are the builds that completed the workflow tasks of a history, in order,
// each once; "" stands for workers without a deployment.
func buildsOf(h *historypb.History) (builds []string) {
	for _, e := range h.GetEvents() {
		if done := e.GetWorkflowTaskCompletedEventAttributes(); done != nil {
			builds = append(builds, done.GetDeploymentVersion().GetBuildId())
		}
	}
	return slices.Compact(builds)
}

// buildsOfRun are those of a full import's workflow and of its child, which does the work.
func buildsOfRun(w *world, runID string) (parent, worker []string) {
	w.Helper()
	h := events(w, workflowID(w, runID), runID)
	c := child(h)
	require.NotNil(w, c)
	return buildsOf(h), buildsOf(events(w, c.GetWorkflowId(), c.GetRunId()))
}

// TestUpgradeInMidRun promotes a new release while a run of the old one has a page in
// hand: the page is recorded, the run goes on with the new release, and nothing is read
// or written twice.
func TestUpgradeInMidRun(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, newDB func() string) {
		config := func() oktasim.Config { return oktasim.Config{Org: generated(t, 400, 30), Latency: 20 * time.Millisecond} }
		calm := newWorldOn(t, newDB(), config(), map[string]any{"PageSize": 20})
		calm.worker()
		calmRow := calm.completed()

		w := newWorldOn(t, newDB(), config(), map[string]any{"PageSize": 20})
		old, _ := w.release(oldBuild)
		row := w.promote(oldBuild)
		require.Equal(t, oldBuild, row.Current)
		require.Equal(t, []string{w.queue}, row.TaskQueues)
		require.Equal(t, 1, row.Workers)
		s := stopAtPage(t, w.sim)
		run := w.start()
		<-s.reached

		fresh, base := w.release(newBuild)
		line, err := fresh.WaitFor(t.Context(), "This worker gets no work")
		require.NoError(t, err)
		require.Contains(t, line, fmt.Sprintf("starter deployment promote %s %s", w.deployment(), newBuild))
		code, parts := w.readiness(base)
		require.Equal(t, 200, code, "it is ready before it is promoted")
		require.Contains(t, parts["versioning"], "gets no work, it goes to build "+oldBuild)

		row = w.promote(newBuild)
		require.Equal(t, oldBuild, row.Previous)
		require.True(t, row.Changed)
		require.False(t, w.promote(newBuild).Changed, "promoting is safe to repeat")
		require.NoError(t, old.Signal(syscall.SIGTERM))
		_, err = old.WaitFor(t.Context(), "Worker is stopping")
		require.NoError(t, err)
		s.release()
		require.Zero(t, old.Code(), old.Output())

		ended := w.wait(run)
		require.Equal(t, "Completed", ended.Outcome, ended.Error)
		require.EqualValues(t, 1, s.asked.Load(), "the page in hand was recorded")
		require.Equal(t, calmRow.APICalls, w.sim.Stats().Total, "nothing was read twice")
		require.Equal(t, calmRow.Counts, ended.Counts)
		requireSame(t, calm.objects(), w.objects())
		requireSameFeed(t, feedOf(calm), feedOf(w))
		w.requireTrue()
		parent, worker := buildsOfRun(w, run)
		require.Equal(t, []string{oldBuild, newBuild}, parent)
		require.Equal(t, []string{oldBuild, newBuild}, worker, "auto-upgrade")

		_, err = fresh.WaitFor(t.Context(), "This worker gets work")
		require.NoError(t, err)
		state := w.deployed()
		require.Equal(t, newBuild, state.Current)
		require.Equal(t, "current", state.status(newBuild))
		require.Equal(t, "draining", state.status(oldBuild))
		require.Empty(t, state.Problem)
	})
}

var _ = json.Marshal
var _ = workflows.Full
