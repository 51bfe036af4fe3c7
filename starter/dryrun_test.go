package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// dryRunning makes the fake workflow a dry run, whose copy is gone when it ends.
func (b *bench) dryRunning(outcome mesh.Outcome) {
	b.temporal.progress = func() (workflows.Progress, error) {
		return workflows.Progress{RunID: someRun, Connector: "contoso", Mode: workflows.Full, DryRun: true, Phase: workflows.Ended}, nil
	}
	b.temporal.end = func(context.Context) (*workflows.ImportResult, error) {
		return &workflows.ImportResult{RunID: someRun, Connector: shadowPrefix + "contoso/" + someRun, Mode: "Full", Outcome: outcome,
			Note: "Full: no watermark", Watermark: &mesh.Watermark{Users: mesh.NewMark(fixedNow)},
			Counts: map[mesh.ObjectType]mesh.Counts{mesh.User: {Seen: 9, Added: 3, Deleted: 1, Held: 4}}}, nil
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.dryRunning(mesh.Completed)
	text := b.ok("run", "contoso", "--mode", "full", "--dry-run", "-q")
	require.True(t, b.temporal.inputs[0].DryRun)
	require.Regexp(t, `^dryrun-contoso-full-20260422T081530Z-[0-9a-z]{6}$`, b.temporal.started[0].ID)
	require.Equal(t, "Dry run: Full import of contoso", b.temporal.started[0].StaticSummary)
	for _, line := range []string{
		`Connector +contoso`, `Dry run +nothing was written`, `Note +Full: no watermark`,
		`TYPE +SEEN +WOULD ADD +WOULD UPDATE +WOULD DELETE +WOULD HOLD +UNCHANGED`, `User +9 +3 +0 +1 +4 +0`,
	} {
		require.Regexp(t, `(?m)^`+line+`$`, text)
	}
	require.NotContains(t, text, "Watermark")

	var run map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.ok("run", "contoso", "--dry-run", "-q", "-o", "json")), &run))
	require.Equal(t, true, run["dryRun"])
	require.Equal(t, "contoso", run["connector"])
	require.Equal(t, "Full", run["mode"])
	require.Regexp(t, `^dryrun-contoso-auto-`, b.temporal.started[1].ID)
}

func TestDryRunThatWouldHold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.dryRunning(mesh.HeldDeletes)
	require.Equal(t, exitHeldDeletes, b.run("run", "contoso", "--dry-run", "-q"))
	require.Contains(t, b.err.String(), "like this dry run would hold deletes back")
	require.NotContains(t, b.err.String(), "starter approve", "there is nothing to approve")
}

func TestOfDryRun(t *testing.T) {
	t.Parallel()
	run := &mesh.Run{Connector: "~dry/contoso/" + someRun}
	require.True(t, ofDryRun(run))
	require.Equal(t, "contoso", run.Connector)
	require.False(t, ofDryRun(run))
}

func TestOutcomesSayWhatToDo(t *testing.T) {
	t.Parallel()
	run := mesh.Run{RunID: someRun, Connector: "contoso"}
	held := run
	held.Outcome, held.Note = mesh.HeldDeletes, "Full: the definition changed"
	require.Equal(t, "run "+someRun+" of contoso completed, but holds deletes back for approval\n"+
		"  look at them: starter status contoso\n  delete them:  starter approve "+someRun+"\n  keep them:    starter reject "+someRun,
		(&outcomeError{run: &held}).Error())
	skipped := run
	skipped.Outcome, skipped.Note = mesh.Skipped, "gave way to run "+otherRun
	require.Equal(t, "run "+someRun+" of contoso was skipped: gave way to run "+otherRun, (&outcomeError{run: &skipped}).Error())
}

func TestSkippedRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.temporal.progress = func() (workflows.Progress, error) { return workflows.Progress{}, nil }
	b.temporal.end = func(context.Context) (*workflows.ImportResult, error) {
		b.withStore(func(ctx context.Context, store mesh.Store) {
			_, err := store.Skip(ctx, mesh.BeginRun{Connector: "contoso", RunID: someRun, Mode: "Delta"}, "gave way to run "+otherRun)
			require.NoError(t, err)
		})
		return &workflows.ImportResult{RunID: someRun, Outcome: mesh.Skipped}, nil
	}
	require.Equal(t, exitSkipped, b.run("run", "contoso", "--wait", "-q"))
	require.Regexp(t, `(?m)^Note +gave way to run `+otherRun+`$`, b.out.String())
	require.Contains(t, b.err.String(), "was skipped: gave way to run "+otherRun)
	require.Regexp(t, `(?m)^`+someRun+` +Delta +Skipped .* gave way to run `+otherRun+`$`, b.ok("runs", "contoso"))
}

func TestHeldHasAColumn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.cli()
	runs := []mesh.Run{
		{RunID: "r1", Mode: "Full", Outcome: mesh.HeldDeletes, Counts: map[mesh.ObjectType]mesh.Counts{mesh.User: {Deleted: 1, Held: 40}, mesh.Group: {Held: 2}}},
		{RunID: "r2", Mode: "Full", Outcome: mesh.Completed},
	}
	require.NoError(t, c.printRuns(runs, ""))
	require.Regexp(t, `(?m)^RUN .* DELETED +HELD +CALLS +ERROR OR NOTE$`, b.out.String())
	require.Regexp(t, `(?m)^r1 .* 1 +42 +0 *$`, b.out.String())
	require.NoError(t, c.printRun(&runs[0], runExtra{}, table))
	require.Regexp(t, `(?m)^TYPE +SEEN +ADDED +UPDATED +DELETED +HELD +UNCHANGED$`, b.out.String())
	require.Regexp(t, `(?m)^Group +0 +0 +0 +0 +2 +0$`, b.out.String())
}

func TestProgressOfTheChild(t *testing.T) {
	t.Parallel()
	parent := workflows.Progress{RunID: someRun, Phase: workflows.Reconciling, Child: "child"}
	f := &fakeTemporal{progress: func() (workflows.Progress, error) { return parent, nil }, child: reading}
	p, err := queryProgress(t.Context(), f, "import-x")
	require.NoError(t, err)
	require.Equal(t, 400, p.Users.Seen)
	require.Equal(t, workflows.Reading, p.Phase)
	require.Equal(t, "child", p.Child)

	parent.Phase, parent.Outcome = workflows.Ended, "Failed"
	p, err = queryProgress(t.Context(), f, "import-x")
	require.NoError(t, err)
	require.Equal(t, "Failed", p.Outcome)
	require.Equal(t, 9, p.APICalls, "the child knows what it cost")

	f.child = func() (workflows.Progress, error) {
		return workflows.Progress{}, serviceerror.NewNotFound("not started")
	}
	p, err = queryProgress(t.Context(), f, "import-x")
	require.NoError(t, err)
	require.Equal(t, parent, p)

	f.progress = func() (workflows.Progress, error) { return workflows.Progress{}, errors.New("no worker") }
	_, err = queryProgress(t.Context(), f, "import-x")
	require.EqualError(t, err, "no worker")
}
