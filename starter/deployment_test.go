package main

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/preflight"
)

// deploymentBench is a bench whose Temporal has worker deployments.
func deploymentBench(t *testing.T) (*bench, *fakeDeployments) {
	t.Helper()
	b, f := newBench(t), &fakeDeployments{}
	b.temporal.deployments, b.temporal.describeQueue = f, f.describeQueue
	return b, f
}

// inBubble runs f with a clock of its own: promote waits.
func inBubble(t *testing.T, f func(t *testing.T, b *bench, d *fakeDeployments)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, d := deploymentBench(t)
		f(t, b, d)
	})
}

func TestDeploymentUsage(t *testing.T) {
	t.Parallel()
	b, f := deploymentBench(t)
	for want, args := range map[string][]string{
		"needs NAME and BUILD, or NAME and --unversioned; 1 argument given; write: starter deployment promote NAME (BUILD": {"promote", "okta"},
		"or NAME and --unversioned; 2 arguments":     {"promote", "okta", "v1", "--unversioned"},
		"dot or a colon":                             {"promote", "okta.eu", "v1"},
		"Temporal's own":                             {"promote", "okta", "__unversioned__"},
		"needs NAME, BUILD and PERCENT":              {"ramp", "okta", "v1"},
		`PERCENT "NaN": want a number from 0 to 100`: {"ramp", "okta", "v1", "NaN"},
		`PERCENT "101": want`:                        {"ramp", "okta", "v1", "101"},
		`PERCENT "-5": want a number from 0 to 100`:  {"ramp", "okta", "v1", "-5"},
		`PERCENT "-2.5%": want`:                      {"ramp", "okta", "v1", "-2.5%"},
		"unknown shorthand flag: 'x'":                {"ramp", "okta", "v1", "-x"},
		"unknown flag: --5":                          {"ramp", "okta", "v1", "--5"},
		"--timeout 0s: want a time above 0":          {"promote", "okta", "v1", "--timeout", "0"},
		"--timeout -1s: want":                        {"ramp", "okta", "v1", "20", "--timeout", "-1s"},
		"needs exactly one argument, NAME":           {"show"},
		"the commands are list, show, promote, ramp": {"rollout"},
	} {
		b.fails(exitUsage, want, append([]string{"deployment"}, args...)...)
	}
	b.fails(exitError, `there is no worker deployment "okta" in this namespace; workers make it when they poll with `+"`worker --deployment okta`; there is none yet", "deployment", "show", "okta")
	f.poll("v1", "q")
	b.fails(exitError, "known deployments: okta", "deployment", "show", "octa")
	require.Empty(t, f.sets)
}

func TestDeploymentCompletion(t *testing.T) {
	t.Parallel()
	b, f := deploymentBench(t)
	f.poll("v1", "q")
	f.poll("v2", "q")
	for _, command := range []string{"promote", "ramp"} {
		require.Equal(t, "okta\n:4\n", b.ok("__complete", "deployment", command, ""))
		require.Equal(t, "v1\nv2\n:4\n", b.ok("__complete", "deployment", command, "okta", "v"))
		require.Equal(t, ":4\n", b.ok("__complete", "deployment", command, "okta", "v1", ""))
	}
	require.Equal(t, ":4\n", b.ok("__complete", "deployment", "show", "x"))
	require.Equal(t, "okta\n:4\n", b.ok("__complete", "deployment", "show", "o"))
	require.Equal(t, ":4\n", b.ok("__complete", "deployment", "show", "okta", ""))
	f.errs = []error{serviceerror.NewUnavailable("away")}
	require.Equal(t, ":1\n", b.ok("__complete", "deployment", "show", ""))
}

func TestDeploymentsOfAnotherServer(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"1.29.1 or newer is needed":        serviceerror.NewUnimplemented("unknown method DescribeWorkerDeployment"),
		"system.enableDeploymentVersions":  serviceerror.NewPermissionDenied("Worker Deployment Versions are disabled on this namespace.", ""),
		"look at worker deployment okta: ": serviceerror.NewInternal("broken"),
	} {
		for _, args := range [][]string{{"show", "okta"}, {"promote", "okta", "v1"}, {"ramp", "okta", "v1", "5"}} {
			b, f := deploymentBench(t)
			f.errs = []error{err}
			b.fails(exitError, want, append([]string{"deployment"}, args...)...)
		}
	}
	b, f := deploymentBench(t)
	f.errs = []error{serviceerror.NewUnimplemented("unknown method")}
	b.fails(exitError, "too old", "deployment", "list")
}

func TestDeploymentShow(t *testing.T) {
	t.Parallel()
	b, f := deploymentBench(t)
	require.Empty(t, b.ok("deployment", "list"))
	require.Contains(t, b.err.String(), "--deployment")
	f.poll("v1", "q")
	f.poll("v2", "q")
	f.poll("v2", "q")
	f.poll("v3", "q", workflowsOf)
	f.poll("", "q")
	f.current, f.ramping, f.percent, f.by, f.manager = "v2", "v3", 20, "ada@desk", "controller"
	f.drainage = map[string]client.WorkerDeploymentVersionDrainageStatus{"v1": client.WorkerDeploymentVersionDrainageStatusDrained}
	text := b.ok("deployment", "show", "okta")
	require.Regexp(t, `(?m)^Current +v2, since 2026-04-22 08:15:30Z$`, text)
	require.Regexp(t, `(?m)^Ramping +v3, 20 %$`, text)
	require.Regexp(t, `(?m)^Managed by +controller, who alone may change it$`, text)
	require.Regexp(t, `(?m)^v3 +ramping +20 % +1 +q `, text)
	require.Regexp(t, `(?m)^v2 +current +80 % +2 +q `, text)
	require.Regexp(t, `(?m)^v1 +drained +0 % +1 +q `, text)
	require.Regexp(t, `(?m)^\(unversioned\) +- +0 % +1 +q `, text)
	require.Regexp(t, `(?m)^Problem +work of task queue q waits: the tasks of 20 % of the workflows go to build v3`, text)
	var v deploymentView
	require.NoError(t, json.Unmarshal([]byte(b.ok("deployment", "show", "okta", "-o", "json")), &v))
	require.Equal(t, "v2", v.Current)
	require.Equal(t, &rampView{"v3", 20}, v.Ramp)
	require.Equal(t, []string{"v3", "v2", "v1"}, []string{v.Builds[0].BuildID, v.Builds[1].BuildID, v.Builds[2].BuildID}, "the newest first")
	require.Equal(t, 1, v.Unversioned)
	require.Regexp(t, `(?m)^okta +v2 +v3, 20 % `, b.ok("deployment", "list"))
	var list []deploymentRow
	require.NoError(t, json.Unmarshal([]byte(b.ok("deployment", "list", "-o", "json")), &list))
	require.Equal(t, []deploymentRow{{"okta", "v2", &rampView{"v3", 20}, fixedNow}}, list)
}

func TestPromoteWaitsForTheWorkers(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench, f *fakeDeployments) {
		f.lag = 6
		go func() {
			time.Sleep(time.Second)
			f.poll("v1", "q")
			f.poll("v1", "relay")
			f.route("v1")
			time.Sleep(time.Second)
			f.poll("v2", "q", workflowsOf)
			time.Sleep(time.Second)
			f.poll("v2", "q", activitiesOf)
			time.Sleep(time.Second)
			f.poll("v2", "relay")
		}()
		start := time.Now()
		text := b.ok("deployment", "promote", "okta", "v2")
		require.GreaterOrEqual(t, time.Since(start), 4*time.Second)
		require.Regexp(t, `(?m)^Current +v2 \(before: v1\)$`, text)
		require.Regexp(t, `(?m)^Workers +\d of v2 poll q, relay$`, text)
		for _, said := range []string{
			"Waiting: no worker has polled with `worker --deployment okta` yet",
			"Waiting: no worker of build v2 of deployment okta has polled yet; known builds: v1",
			"Waiting: no worker of build v2 of deployment okta polls q (activities), relay (workflows), relay (activities)",
			"Waiting: no worker of build v2 of deployment okta polls relay (workflows), relay (activities)",
			"Waiting: Temporal routes the work of task queue ",
			"Runs under way go on with it",
		} {
			require.Contains(t, b.err.String(), said)
		}
		require.Equal(t, []string{`current "v2" ignore=false`}, f.sets)
		require.Equal(t, "ada@desk", f.by)

		var p promoted
		require.NoError(t, json.Unmarshal([]byte(b.ok("deployment", "promote", "okta", "v2", "-o", "json")), &p))
		require.False(t, p.Changed)
		require.Equal(t, "v2", p.Current)
		require.Len(t, f.sets, 1, "safe to repeat")
		f.leave("v2")
		b.fails(exitError, "not promoted within 5s, nothing has changed: no worker of build v2 of deployment okta polls", "deployment", "promote", "okta", "v2", "--timeout", "5s")
	})
}

func TestPromoteAndRamps(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench, f *fakeDeployments) {
		for _, build := range []string{"", "v1", "v2", "v3"} {
			f.poll(build, "q")
		}
		f.current, f.ramping, f.percent = "v1", "v2", 20
		require.Regexp(t, `(?m)^Ramping +v2, 50 %$`, b.ok("deployment", "ramp", "okta", "v2", "50%"))
		require.Regexp(t, `(?m)^Current +v2 \(before: v1\)$`, b.ok("deployment", "promote", "okta", "v2"))
		require.Equal(t, []string{`ramp "v2" 50`, `current "v2" ignore=false`}, f.sets, "promoting what ramps ends the ramp")

		b.ok("deployment", "ramp", "okta", "v3", "0.5")
		b.fails(exitUsage, "build v1 of deployment okta does not ramp: build v3 of deployment okta does", "deployment", "ramp", "okta", "v1", "0")
		f.sets = nil
		b.ok("deployment", "promote", "okta", "v1") // a rollback while another build ramps
		require.Equal(t, []string{`current "v1" ignore=false`, `ramp "" 0`}, f.sets)

		b.ok("deployment", "ramp", "okta", "v3", "5")
		f.sets = nil
		require.Regexp(t, `(?m)^Current +v1 \(the ramp has ended\)$`, b.ok("deployment", "promote", "okta", "v1"))
		require.Equal(t, []string{`ramp "" 0`}, f.sets, "promoting what is current ends a ramp, too")

		b.ok("deployment", "ramp", "okta", "v3", "5")
		b.ok("deployment", "ramp", "okta", "v3", "0")
		require.Regexp(t, `(?m)^Current +v1 \(was so already\)$`, b.ok("deployment", "ramp", "okta", "v3", "0"))
		f.leave("")
		b.fails(exitError, "no worker without a deployment polls q", "deployment", "promote", "okta", "--unversioned", "--timeout", "1s")
		f.poll("", "q")
		require.Regexp(t, `(?m)^Current +\(unversioned\) \(before: v1\)$`, b.ok("deployment", "promote", "okta", "--unversioned"))
	})
}

func TestPromoteRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench, f *fakeDeployments) {
		f.poll("v1", "q")
		f.poll("v1", "relay")
		f.poll("v2", "q")
		f.current, f.manager = "v1", "controller"
		b.fails(exitError, "polls relay (workflows), relay (activities)", "deployment", "promote", "okta", "v2", "--timeout", "3s")
		require.Empty(t, f.sets)
		b.ok("deployment", "promote", "okta", "v2", "--ignore-missing-queues")
		require.Equal(t, []string{`current "v2" ignore=true`}, f.sets)

		f.current = "v1"
		f.poll("v2", "relay")
		for want, err := range map[string]error{
			"managed by controller, who alone may change it": serviceerror.NewFailedPrecondition("ManagerIdentity 'controller' is set and does not match user identity 'x'"),
			"start its workers on those task queues, too":    serviceerror.NewFailedPrecondition("proposed current version 'okta:v2' is missing active task queues from the current version"),
			"not you": serviceerror.NewPermissionDenied("not you", ""),
		} {
			sets := len(f.sets)
			f.errs = []error{nil, nil, nil} // the looks at the deployment
			for range 100 {
				f.errs = append(f.errs, err)
			}
			b.fails(exitError, want, "deployment", "promote", "okta", "v2", "--timeout", "3s")
			require.Len(t, f.sets, sets)
			f.errs = nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		f.leave("v2")
		require.Equal(t, exitInterrupted, b.cli().run(ctx, []string{"deployment", "promote", "okta", "v2"}))
	})
}

// TestRunOfABuildThatNobodyPromoted: the run waits, and the operator reads why.
func TestRunOfABuildThatNobodyPromoted(t *testing.T) {
	t.Parallel()
	b, f := deploymentBench(t)
	b.apply("contoso")
	f.poll("v1", "test-queue")
	b.ok("run", "contoso")
	require.Contains(t, b.err.String(), "warning: the run waits: workers poll task queue \"test-queue\" and do not get its work")
	require.Contains(t, b.err.String(), "`starter deployment promote okta v1`")
	worker := func() preflight.Step {
		for _, s := range b.cli().checkTemporal(t.Context(), "contoso", "test-queue") {
			if s.ID == stepWorker {
				return s
			}
		}
		return preflight.Step{}
	}
	require.Equal(t, preflight.Failed, worker().Result)
	require.Contains(t, worker().Advice, "`starter deployment promote okta v1`")
	f.current = "v1"
	b.ok("run", "contoso")
	require.NotContains(t, b.err.String(), "warning")
	require.Equal(t, preflight.OK, worker().Result)
	f.leave("v1")
	b.ok("run", "contoso")
	require.Contains(t, b.err.String(), "whose work goes to build v1 of deployment okta. Start one with 'worker', with the same environment as here. Give it --deployment okta --build-id v1")
	require.Equal(t, preflight.Failed, worker().Result)
}

// A build was promoted without this queue, whose old worker still polls it.
func TestAQueueThatTheCurrentBuildLacks(t *testing.T) {
	t.Parallel()
	b, f := deploymentBench(t)
	b.apply("contoso")
	f.poll("v1", "test-queue")
	f.poll("v2", "q")
	f.current, f.lags = "v2", 100 // the queue's tasks go to workers without a deployment
	b.ok("run", "contoso")
	require.Contains(t, b.err.String(), "start a worker with --deployment okta --build-id v2, the current build, on this queue")
	require.NotContains(t, b.err.String(), "promote okta v1", "that would take q back, too")
	f.errs = []error{serviceerror.NewUnavailable("away")}
	b.ok("run", "contoso")
	require.Contains(t, b.err.String(), "promote okta v1")
}

func TestFollowingARunThatNobodyTakesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDeployments{}
		f.poll("v1", "test-queue")
		w := newFollowing(&fakeTemporal{end: after(time.Minute), deployments: f, describeQueue: f.describeQueue}, 0)
		require.NoError(t, w.follow(t.Context(), followOptions{}))
		require.Contains(t, w.err.String(), "The run waits: workers poll")
		require.Contains(t, w.err.String(), "starter deployment promote okta v1")
	})
}
