package integration

import (
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
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/mesh"
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
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", stamp, "-o", filepath.Join(dir, version, "worker"), "../worker")
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
	waitFor(w, "Temporal knows that it polls", func() bool {
		r := w.starter("", "deployment", "show", w.deployment(), "-o", "json")
		if r.Code != 0 {
			return false
		}
		var row deploymentRow
		decode(w, r.Stdout, &row)
		return slices.ContainsFunc(row.Builds, func(b buildRow) bool { return b.BuildID == version && b.Workers > 0 })
	})
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
	Builds  []buildRow
	Problem string
}

type buildRow struct {
	BuildID, Status string
	Workers         int
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

// stopWith drains a worker that has a page in hand.
func (w *world) stopWith(p *stack.Process, s *stopper) {
	w.Helper()
	require.NoError(w, p.Signal(syscall.SIGTERM))
	_, err := p.WaitFor(w.Context(), "Worker is stopping")
	require.NoError(w, err)
	s.release()
	require.Zero(w, p.Code(), p.Output())
}

// TestUpgradeInMidRun promotes a new release while a run of the old one has a page in
// hand: the page is recorded, the run goes on with the new release, and nothing is read
// or written twice.
func TestUpgradeInMidRun(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, newDB func() string) {
		config := func() oktasim.Config {
			return oktasim.Config{Org: generated(t, 400, 30), Latency: 20 * time.Millisecond}
		}
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
		w.stopWith(old, s)
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

// TestRollbackInMidRun gives the work back to the old release while a run of the new one
// reads, and kills the new one: the run goes on with the old one, and the pages that were
// in hand are read again.
func TestRollbackInMidRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 600, 30), Latency: 20 * time.Millisecond}, map[string]any{"PageSize": 20})
	w.release(oldBuild)
	w.promote(oldBuild)
	full := w.completed()
	fresh, _ := w.release(newBuild)
	w.promote(newBuild)
	w.sim.ResetStats()
	s := stopAtPage(t, w.sim)
	run := w.start()
	<-s.reached
	row := w.promote(oldBuild)
	require.Equal(t, newBuild, row.Previous)
	fresh.Kill()
	s.release()
	ended := w.wait(run)
	require.Equal(t, "Completed", ended.Outcome, ended.Error)
	require.EqualValues(t, 2, s.asked.Load(), "the page in hand was read again")
	require.LessOrEqual(t, w.sim.Stats().Total, full.APICalls+inFlight, "and no more than the pages in hand")
	w.requireTrue()
	_, worker := buildsOfRun(w, run)
	require.Equal(t, []string{newBuild, oldBuild}, worker)
	require.Equal(t, "draining", w.deployed().status(newBuild))
}

// TestRamp gives a part of the workflows to the new release, all of them, and none.
func TestRamp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 30, 3)}, nil)
	w.release(oldBuild)
	w.promote(oldBuild)
	_, base := w.release(newBuild)
	ramp := func(percent int) promotedRow { return w.roll("ramp", w.deployment(), newBuild, fmt.Sprint(percent)) }
	row := ramp(50)
	require.Equal(t, oldBuild, row.Current)
	require.Equal(t, newBuild, row.Ramp.BuildID)
	require.InDelta(t, 50, row.Ramp.Percent, 0)
	waitFor(w, "the probe knows", func() bool {
		_, parts := w.readiness(base)
		return strings.Contains(parts["versioning"], "50 % of the workflows")
	})
	seen := map[string]bool{}
	for n := 0; len(seen) < 2; n++ {
		require.Less(t, n, 30, "each workflow goes to either build with the same chance")
		row := w.completed()
		for _, builds := range [][]string{first(buildsOfRun(w, row.RunID)), second(buildsOfRun(w, row.RunID))} {
			require.Len(t, builds, 1, "a workflow stays on its side of a ramp")
			seen[builds[0]] = true
		}
	}
	require.False(t, ramp(50).Changed)
	ramp(100)
	_, worker := buildsOfRun(w, w.completed().RunID)
	require.Equal(t, []string{newBuild}, worker)
	row = ramp(0)
	require.Nil(t, row.Ramp)
	_, worker = buildsOfRun(w, w.completed().RunID)
	require.Equal(t, []string{oldBuild}, worker)

	ramp(100)
	row = w.promote(oldBuild) // which is current already
	require.True(t, row.Changed)
	require.Nil(t, row.Ramp, "promoting ends a ramp")
	_, worker = buildsOfRun(w, w.completed().RunID)
	require.Equal(t, []string{oldBuild}, worker)
	r := w.starter("", "deployment", "ramp", w.deployment(), oldBuild, "10")
	require.Equal(t, 1, r.Code)
	require.Contains(t, r.Stderr, "it has all the work")
	w.requireTrue()
}

func first[T any](a, _ T) T  { return a }
func second[T any](_, b T) T { return b }

// TestAHoldOutlivesItsRelease begins a hold on the old release, whose worker ends, and
// approves it on the new one.
func TestAHoldOutlivesItsRelease(t *testing.T) {
	t.Parallel()
	w := newWorldOn(t, pgtest.URL(t), oktasim.Config{Org: generated(t, 120, 6)}, nil)
	old, _ := w.release(oldBuild)
	w.promote(oldBuild)
	w.completed()
	gone := deactivate(w, 40)
	row := held(w, "delta", 40)
	waitFor(w, "the hold is shown", func() bool { return strings.Contains(holdDetails(w), "User: 40 of ") })
	w.release(newBuild)
	w.promote(newBuild)
	require.NoError(t, old.Stop())

	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, holdStatus(w))
	edit(w, 5)
	require.Equal(t, 5, w.completedMode("delta").Counts["User"].Updated)
	before := len(w.changes(0))
	approval, r := w.rowOf(w.starter("", "approve", row.RunID, "--yes", "--wait", "-o", "json"))
	require.Zero(t, r.Code, r.Stderr)
	require.Equal(t, 40, approval.Counts["User"].Deleted)
	require.Equal(t, gone, deletedUsers(w, before), "exactly those")
	require.Equal(t, []string{oldBuild, newBuild}, buildsOf(events(w, workflows.HoldWorkflowID(w.name), "")))
	w.requireTrue()
}

// TestAScheduleGoesOn: what it starts after the promotion runs on the new release.
func TestAScheduleGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 30, 3)}, nil)
	old, _ := w.release(oldBuild)
	w.promote(oldBuild)
	w.applySchedule("--every", "1h")
	tick := func(n int) (builds []string) {
		w.ok(w.starter("", "schedule", "trigger", w.name))
		waitFor(w, "the triggered run ends", func() bool {
			runs := w.runs()
			return len(runs) == n && runs[n-1].Outcome == mesh.Completed
		})
		run := w.runs()[n-1]
		return buildsOf(events(w, run.WorkflowID, run.RunID))
	}
	require.Equal(t, []string{oldBuild}, tick(1))
	w.release(newBuild)
	w.promote(newBuild)
	require.NoError(t, old.Stop())
	require.Equal(t, []string{newBuild}, tick(2))
	w.requireTrue()
}

// TestVersioningTurnedOnAndOff: a run of a worker without a deployment goes on with the
// first build of one, and the other way round.
func TestVersioningTurnedOnAndOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 400, 20), Latency: 20 * time.Millisecond}, map[string]any{"PageSize": 20})
	plain := w.worker()
	full := w.completed()
	w.sim.ResetStats()
	s := stopAtPage(t, w.sim)
	run := w.start()
	<-s.reached
	versioned, _ := w.release(newBuild)
	require.Equal(t, "inactive", w.deployed().status(newBuild))
	row := w.promote(newBuild)
	require.Empty(t, row.Previous, "the work was that of workers without a deployment")
	w.stopWith(plain, s)
	ended := w.wait(run)
	require.Equal(t, "Completed", ended.Outcome, ended.Error)
	require.Equal(t, full.APICalls, w.sim.Stats().Total)
	_, worker := buildsOfRun(w, run)
	require.Equal(t, []string{"", newBuild}, worker)

	// A worker without a deployment now gets nothing, and says so.
	plain = w.worker()
	_, err := plain.WaitFor(t.Context(), "This worker gets no work")
	require.NoError(t, err)
	w.sim.ResetStats()
	s = stopAtPage(t, w.sim)
	run = w.start()
	<-s.reached
	r := w.starter("", "deployment", "promote", w.deployment(), "--unversioned")
	require.Contains(t, w.ok(r), "(unversioned) (before: "+newBuild+")")
	w.stopWith(versioned, s)
	ended = w.wait(run)
	require.Equal(t, "Completed", ended.Outcome, ended.Error)
	require.Equal(t, full.APICalls, w.sim.Stats().Total)
	_, worker = buildsOfRun(w, run)
	require.Equal(t, []string{newBuild, ""}, worker)
	w.requireTrue()
}

// TestNobodyPromoted: a run that waits for a promotion says so, in every place where an
// operator looks.
func TestNobodyPromoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 30, 3)}, nil)
	w.release(newBuild)
	promote := fmt.Sprintf("starter deployment promote %s %s", w.deployment(), newBuild)
	r := w.starter("", "run", w.name)
	require.Zero(t, r.Code, "it is started, and waits")
	require.Contains(t, r.Stderr, "warning: the run waits: workers poll")
	require.Contains(t, r.Stderr, promote)
	r = w.starter("", "connector", "check", w.name)
	require.Equal(t, 1, r.Code)
	require.Regexp(t, `(?m)^failed +Worker +workers poll task queue .* its tasks go to workers without a deployment`, r.Stdout)
	require.Contains(t, r.Stdout, promote)
	require.Contains(t, w.deployed().Problem, promote)

	r = w.starter("", "deployment", "promote", w.deployment(), "v9", "--timeout", "1s")
	require.Equal(t, 1, r.Code)
	require.Contains(t, r.Stderr, "nothing has changed")
	require.Contains(t, r.Stderr, "known builds: "+newBuild)
	r = w.starter("", "deployment", "show", "nobody-knows")
	require.Equal(t, 1, r.Code)
	require.Contains(t, r.Stderr, `no worker deployment "nobody-knows"`)
	require.Contains(t, r.Stderr, w.deployment(), "the known ones")
	require.Contains(t, w.ok(w.starter("", "deployment", "list")), w.deployment())

	w.promote(newBuild)
	waitFor(w, "the run that waited ends", func() bool { return w.ended("Full", mesh.Completed) == 1 })
	require.Contains(t, w.ok(w.starter("", "connector", "check", w.name)), "polls task queue")
	w.requireTrue()
}
