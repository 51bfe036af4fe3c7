package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// The rhythm of waiting for a run.
const (
	pollEvery    = 300 * time.Millisecond // between two progress queries
	queryTimeout = 3 * time.Second
	silenceLimit = 5 * time.Second // without an answer, the operator is told
	reconnect    = time.Second     // before Temporal is asked again
)

// followOptions say how a run is followed.
type followOptions struct {
	quiet    bool
	format   format
	expected map[mesh.ObjectType]int // the live objects before the run, for the bar
}

// follow waits for the end of a run, shows its progress, prints it, and returns an
// [*outcomeError] unless it completed.
func (c *cli) follow(ctx context.Context, store mesh.Store, t temporalClient, ref runRef, o followOptions) error {
	f := &follower{c: c, t: t, ref: ref, view: c.newView(o)}
	result, err := f.wait(ctx)
	if ctx.Err() != nil {
		f.view.close(false)
		return &interruptedError{fmt.Sprintf("stopped waiting; the run goes on\n"+
			"  follow it: starter watch %s\n  cancel it: starter cancel %s", ref.runID, ref.runID)}
	}
	f.view.close(err == nil)
	if _, ended := errors.AsType[*temporal.WorkflowExecutionError](err); err != nil && !ended {
		return fmt.Errorf("wait for run %s: %w; the run is not affected: see 'starter status'", ref.runID, err)
	}
	run, err := f.record(ctx, store, result, err)
	if err != nil {
		return err
	}
	return c.report(run, f.dryRun(), o.format)
}

// report prints a run that has ended, and returns an [*outcomeError] unless it completed.
func (c *cli) report(run *mesh.Run, dryRun bool, f format) error {
	if err := c.printRun(run, runExtra{DryRun: dryRun}, f); err != nil && !c.stdout.broken {
		return err
	}
	if run.Outcome != mesh.Completed {
		return &outcomeError{run: run, dryRun: dryRun}
	}
	return nil
}

// follower waits for one run.
type follower struct {
	c    *cli
	t    temporalClient
	ref  runRef
	view view
	last workflows.Progress // the newest answer
}

// wait returns what the workflow returned. It polls the progress query meanwhile,
// which asks more than the progress: whether there is a worker at all.
func (f *follower) wait(ctx context.Context) (*workflows.ImportResult, error) {
	type ending struct {
		result *workflows.ImportResult
		err    error
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	ended := make(chan ending, 1)
	wg.Go(func() {
		result, err := f.end(ctx)
		ended <- ending{result, err}
	})
	answers := make(chan answer)
	wg.Go(func() { f.poll(ctx, answers) })

	silence := time.NewTimer(silenceLimit)
	defer silence.Stop()
	var lastErr error
	for {
		select {
		case e := <-ended:
			// Once more, so that the last picture is the whole one; unless nobody answers.
			if lastErr == nil {
				if p, err := f.ask(ctx); err == nil {
					f.show(p)
				}
			}
			return e.result, e.err
		case a := <-answers:
			if lastErr = a.err; a.err != nil {
				continue
			}
			silence.Reset(silenceLimit)
			f.show(a.progress)
		case <-silence.C: // says so once; the next answer arms it again
			f.view.note(f.silent(ctx, lastErr))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dryRun tells whether the run writes nothing.
func (f *follower) dryRun() bool { return f.ref.dryRun || f.last.DryRun }

func (f *follower) show(p workflows.Progress) {
	f.last = p
	f.view.show(p)
}

// silent explains why nobody answers.
func (f *follower) silent(ctx context.Context, err error) string {
	if _, ok := errors.AsType[*serviceerror.Unavailable](err); ok {
		return fmt.Sprintf("Temporal does not answer (%v); still trying.", err)
	}
	queue := cmp.Or(f.ref.queue, f.c.taskQueue())
	if why := f.c.whyWaiting(ctx, f.t, queue); why != "" {
		return "The run waits: " + why
	}
	return fmt.Sprintf("No worker answers on task queue %q for %s: is one running? %s The run waits for it.",
		queue, silenceLimit, f.c.startAWorker(queue))
}

// answer is what one progress query gave.
type answer struct {
	progress workflows.Progress
	err      error
}

// poll sends an answer for every query until ctx ends.
func (f *follower) poll(ctx context.Context, answers chan<- answer) {
	for {
		p, err := f.ask(ctx)
		select {
		case answers <- answer{p, err}:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return
		}
	}
}

func (f *follower) ask(ctx context.Context) (workflows.Progress, error) {
	return queryProgress(ctx, f.t, f.ref.workflowID)
}

// queryProgress asks an import how far it is. While a child walks the whole org, the
// child knows more; its parent's answer does where the child has none.
func queryProgress(ctx context.Context, t temporalClient, workflowID string) (workflows.Progress, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	p, err := askProgress(ctx, t, workflowID)
	if err != nil || p.Child == "" {
		return p, err
	}
	child, err := askProgress(ctx, t, p.Child)
	if err != nil {
		return p, nil // it has not begun, or ended just now: the parent has answered
	}
	child.Child = p.Child
	if p.Phase == workflows.Ended { // the parent knows how
		child.Phase, child.Outcome, child.Error = p.Phase, p.Outcome, p.Error
	}
	return child, nil
}

// askProgress asks the newest execution of a workflow, since a long import continues
// as new.
func askProgress(ctx context.Context, t temporalClient, workflowID string) (workflows.Progress, error) {
	var p workflows.Progress
	v, err := t.QueryWorkflow(ctx, workflowID, "", workflows.ProgressQuery)
	if err != nil {
		return p, err
	}
	if err := v.Get(&p); err != nil {
		return p, fmt.Errorf("read the progress: %w", err)
	}
	return p, nil
}

// end waits for the workflow's end, through any outage of Temporal.
func (f *follower) end(ctx context.Context) (*workflows.ImportResult, error) {
	for {
		var result workflows.ImportResult
		err := f.t.GetWorkflow(ctx, f.ref.workflowID, f.ref.runID).Get(ctx, &result)
		if err == nil {
			return &result, nil
		}
		if !outage(err) || ctx.Err() != nil {
			return nil, err
		}
		select {
		case <-time.After(reconnect):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// outage tells errors of the connection, which pass, from answers.
func outage(err error) bool {
	if _, ok := errors.AsType[*serviceerror.Unavailable](err); ok {
		return true
	}
	_, late := errors.AsType[*serviceerror.DeadlineExceeded](err)
	return late || errors.Is(err, context.DeadlineExceeded)
}

// record returns the run row of the ended run. Where the mesh has none, since the
// run failed before it began or used another database, or has one that nobody
// completed, it is put together from what Temporal knows.
func (f *follower) record(ctx context.Context, store mesh.Store, result *workflows.ImportResult, cause error) (*mesh.Run, error) {
	run, err := store.Run(ctx, f.ref.runID)
	if _, missing := errors.AsType[*mesh.NotFoundError](err); missing {
		run = f.composed()
	} else if err != nil {
		return nil, fmt.Errorf("run %s has ended, but its record cannot be read: %w", f.ref.runID, err)
	}
	if ofDryRun(run) {
		f.ref.dryRun = true
	}
	if run.Outcome != "" {
		return run, nil
	}
	if cause == nil {
		if !f.dryRun() {
			run.Connector = cmp.Or(result.Connector, run.Connector)
		}
		run.Mode = cmp.Or(result.Mode, run.Mode)
		run.Outcome, run.Note = result.Outcome, result.Note
		run.Counts, run.APICalls, run.RateLimitWaits = result.Counts, result.APICalls, result.RateLimitWaits
		run.DurationMs, run.Watermark = result.DurationMs, result.Watermark
		f.times(ctx, run)
		return run, nil
	}
	run.Outcome, run.Error = endOf(cause)
	if run.APICalls == 0 {
		run.APICalls, run.RateLimitWaits = f.last.APICalls, f.last.Waits
	}
	f.times(ctx, run)
	if run.DurationMs == 0 && run.EndedAt != nil && !run.StartedAt.IsZero() {
		run.DurationMs = run.EndedAt.Sub(run.StartedAt).Milliseconds()
	}
	return run, nil
}

// composed is a run without a row, as far as it is known here.
func (f *follower) composed() *mesh.Run {
	return &mesh.Run{
		RunID:      f.ref.runID,
		Connector:  cmp.Or(f.ref.connector, f.last.Connector),
		Mode:       cmp.Or(string(f.last.Mode), f.ref.mode), // an Auto run has become another
		Note:       f.last.Note,
		WorkflowID: f.ref.workflowID,
		Namespace:  f.ref.namespace,
		StartedAt:  f.ref.startedAt,
	}
}

// times fills in when the workflow began and ended, as far as Temporal still knows.
func (f *follower) times(ctx context.Context, run *mesh.Run) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	d, err := f.t.DescribeWorkflowExecution(ctx, f.ref.workflowID, "")
	if err != nil {
		return
	}
	info := d.GetWorkflowExecutionInfo()
	if run.StartedAt.IsZero() && info.GetStartTime() != nil {
		run.StartedAt = info.GetStartTime().AsTime()
	}
	if run.EndedAt == nil && info.GetCloseTime() != nil {
		end := info.GetCloseTime().AsTime()
		run.EndedAt = &end
	}
}

// endOf says how a workflow ended that returned no result.
func endOf(cause error) (mesh.Outcome, string) {
	if temporal.IsCanceledError(cause) {
		return mesh.Cancelled, "cancelled by an operator"
	}
	if app, ok := errors.AsType[*temporal.ApplicationError](cause); ok {
		return mesh.Failed, app.Message()
	}
	if temporal.IsTerminatedError(cause) {
		return mesh.Failed, "the workflow was terminated"
	}
	if temporal.IsTimeoutError(cause) {
		return mesh.Failed, "the workflow timed out"
	}
	return mesh.Failed, cause.Error()
}
