package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// decideTimeout is how long `approve` and `reject` wait for the hold's workflow.
const decideTimeout = 30 * time.Second

func newApproveCommand(c *cli) *cobra.Command {
	var yes bool
	var o runOptions
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "approve RUN",
		Short: "Have the deletes that a run held back carried out",
		Long: `Have the deletes that a run held back carried out. RUN is the run that changed the hold
last, which 'starter status NAME' names: what you approve is what you have seen. On a
terminal the deletes are shown and a question is asked; elsewhere --yes is needed.

An import carries them out: each object is looked up in Okta once more, and one that is
alive again stays. With --wait this command follows that import and ends with the exit
code of its outcome, as 'starter run --wait' does.`,
		Example: `  starter approve 0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a11
  starter approve 0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a11 --yes --wait -o json`,
		Args:              oneArg("RUN", holdHint),
		ValidArgsFunction: c.completeHold,
		RunE: c.action(func(ctx context.Context, args []string) error {
			if !yes && !c.tty.StdinIsTerminal() {
				return usagef("nobody can be asked here: look at the hold with 'starter status NAME', then say --yes")
			}
			return c.withStore(ctx, func(store mesh.Store) error {
				return c.approve(ctx, store, args[0], yes, o, out.value)
			})
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait for the import that carries it out, and print the run")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "show no progress while waiting")
	out = addFormat(cmd, table, asJSON)
	return cmd
}

func newRejectCommand(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "reject RUN",
		Short: "Keep what a run wanted to delete",
		Long: `Keep what a run wanted to delete: the hold ends and nothing is deleted. RUN is the run
that changed the hold last, which 'starter status NAME' names. Deltas leave these objects
alone from then on; the next full walk that finds them missing holds them again.`,
		Example:           `  starter reject 0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a11`,
		Args:              oneArg("RUN", holdHint),
		ValidArgsFunction: c.completeHold,
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withStore(ctx, func(store mesh.Store) error { return c.reject(ctx, store, args[0], out.value) })
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

const holdHint = "the run that 'starter status NAME' names with the hold"

// completeHold completes the first argument with the runs whose holds are open.
func (c *cli) completeHold(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	var runs []cobra.Completion
	err := c.withStore(ctx, func(store mesh.Store) error {
		all, err := store.ListConnectors(ctx)
		if err != nil {
			return err
		}
		for _, conn := range all {
			h, err := store.Hold(ctx, conn.Name, 0)
			if err != nil {
				return err
			}
			if h != nil {
				runs = append(runs, cobra.CompletionWithDesc(h.RunID, conn.Name))
			}
		}
		return nil
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return runs, cobra.ShellCompDirectiveNoFileComp
}

// openHold returns the hold that run changed last, and the run.
func openHold(ctx context.Context, store mesh.Store, id string) (*mesh.Hold, *mesh.Run, error) {
	run, err := store.Run(ctx, id)
	if _, missing := errors.AsType[*mesh.NotFoundError](err); missing {
		if h, herr := store.Hold(ctx, id, 0); herr == nil && h != nil { // a connector's name
			return nil, nil, fmt.Errorf("%q is a connector: a hold is answered by the run that changed it last, %s", id, h.RunID)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	h, err := store.Hold(ctx, run.Connector, holdSample)
	switch {
	case err != nil:
		return nil, nil, err
	case h == nil:
		return nil, nil, fmt.Errorf("connector %s has no open hold: nothing waits for an answer", run.Connector)
	case h.RunID != id:
		return nil, nil, fmt.Errorf("the hold of connector %s was changed last by run %s, not by %s: look at it again with 'starter status %s', then answer %s",
			run.Connector, h.RunID, id, run.Connector, h.RunID)
	}
	return h, run, nil
}

func (c *cli) approve(ctx context.Context, store mesh.Store, id string, yes bool, o runOptions, f format) error {
	h, run, err := openHold(ctx, store, id)
	if err != nil {
		return err
	}
	if !yes {
		if err := c.confirm(ctx, h); err != nil {
			return err
		}
	}
	expected, err := liveCounts(ctx, store, h.Connector)
	if err != nil {
		return err
	}
	conn, err := store.Connector(ctx, h.Connector)
	if err != nil {
		return err
	}
	return c.withTemporal(ctx, run.Namespace, func(t temporalClient) error {
		done, err := c.decide(ctx, t, h, conn, workflows.ApproveUpdate)
		if err != nil {
			return err
		}
		if !o.wait {
			c.notef("Follow the import that carries it out with: starter watch %s", done.RunID)
			return c.printDecision(done, fmt.Sprintf("approved: run %s carries out the deletes of connector %s", done.RunID, done.Connector), f)
		}
		if !o.quiet {
			c.notef("Approved; %s carries it out, run %s", done.WorkflowID, done.RunID)
		}
		ref := runRef{runID: done.RunID, workflowID: done.WorkflowID, namespace: run.Namespace, queue: c.queueOf(conn),
			connector: done.Connector, mode: string(workflows.Approval), startedAt: c.now()}
		return c.follow(ctx, store, t, ref, followOptions{quiet: o.quiet, format: f, expected: expected})
	})
}

// confirm shows what will be deleted and asks.
func (c *cli) confirm(ctx context.Context, h *mesh.Hold) error {
	if err := printHold(c.stderr, h); err != nil {
		return fmt.Errorf("show the hold: %w", err)
	}
	answer, err := c.asker().line(ctx, "Delete these objects? y/N", "")
	if err != nil {
		return err
	}
	switch answer {
	case "y", "Y", "yes", "Yes", "YES":
		return nil
	}
	return errors.New("nothing was decided: the hold stays open")
}

func (c *cli) reject(ctx context.Context, store mesh.Store, id string, f format) error {
	h, run, err := openHold(ctx, store, id)
	if err != nil {
		return err
	}
	conn, err := store.Connector(ctx, h.Connector)
	if err != nil {
		return err
	}
	return c.withTemporal(ctx, run.Namespace, func(t temporalClient) error {
		done, err := c.decide(ctx, t, h, conn, workflows.RejectUpdate)
		if err != nil {
			return err
		}
		return c.printDecision(done, fmt.Sprintf("rejected: nothing of connector %s is deleted", done.Connector), f)
	})
}

func (c *cli) printDecision(d *workflows.DecisionResult, text string, f format) error {
	if f == asJSON {
		return printJSON(c.stdout, d)
	}
	_, err := fmt.Fprintln(c.stdout, text)
	return err
}

// decide sends a decision to the hold's workflow. The mesh keeps the hold, so that a
// workflow that somebody terminated is started anew, and so is one that waits on a queue
// from which the connector was moved away.
func (c *cli) decide(ctx context.Context, t temporalClient, h *mesh.Hold, conn *mesh.Connector, update string) (*workflows.DecisionResult, error) {
	bounded, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	queue := c.queueOf(conn)
	if routeOf(conn) != "" {
		if err := c.moveHold(bounded, t, h.Connector, queue); err != nil {
			return nil, err
		}
	}
	d := workflows.Decision{Hold: h.RunID, By: c.operator()}
	done, err := sendDecision(bounded, t, h.Connector, update, d)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		if err = c.startHold(bounded, t, h.Connector, queue); err == nil {
			done, err = sendDecision(bounded, t, h.Connector, update, d)
		}
	}
	if err == nil || ctx.Err() != nil {
		return done, err
	}
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return nil, fmt.Errorf("%s the deletes of connector %s: %s", update, h.Connector, app.Message())
	}
	if bounded.Err() != nil || outage(err) {
		why := cmp.Or(c.whyWaiting(ctx, t, queue), "is a worker running?")
		return nil, fmt.Errorf("%s the deletes of connector %s: no answer from workflow %s on task queue %q within %s: %w; %s "+
			"The decision may still count once one runs: 'starter status %s' shows it",
			update, h.Connector, workflows.HoldWorkflowID(h.Connector), queue, decideTimeout, err, why, h.Connector)
	}
	return nil, fmt.Errorf("%s the deletes of connector %s: %w", update, h.Connector, err)
}

func sendDecision(ctx context.Context, t temporalClient, connector, update string, d workflows.Decision) (*workflows.DecisionResult, error) {
	handle, err := t.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflows.HoldWorkflowID(connector), UpdateName: update,
		Args: []any{d}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return nil, err
	}
	var done workflows.DecisionResult
	if err := handle.Get(ctx, &done); err != nil {
		return nil, err
	}
	return &done, nil
}

// startHold starts the workflow of a hold that has none.
func (c *cli) startHold(ctx context.Context, t temporalClient, connector, queue string) error {
	_, err := c.execute(ctx, t, client.StartWorkflowOptions{
		ID:                       workflows.HoldWorkflowID(connector),
		TaskQueue:                queue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            "deletes held back, waiting for an operator",
		TypedSearchAttributes:    searchAttributes(connector, workflows.Approval),
	}, workflows.HoldWorkflow, workflows.HoldInput{Connector: connector})
	if err != nil {
		return fmt.Errorf("start workflow %s, which has ended although the hold is open: %w", workflows.HoldWorkflowID(connector), err)
	}
	return nil
}
