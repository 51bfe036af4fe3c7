package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/identitymesh/okta-connector/mesh"
)

func newWatchCommand(c *cli) *cobra.Command {
	var quiet bool
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "watch RUN|NAME",
		Short: "Follow a run until it ends",
		Long: `Follow a run until it ends, as 'starter run --wait' does, with the same output and exit
codes. A connector's name means the run that is importing it now. While a child workflow
walks the whole org, its progress is shown. Ctrl-C ends the watching, not the run.`,
		Example: `  starter watch 0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a11
  starter watch contoso
  starter watch contoso -q -o json`,
		Args:              oneArg("RUN or NAME", ""),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withStore(ctx, func(store mesh.Store) error { return c.watch(ctx, store, args[0], quiet, out.value) })
		}),
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	out = addFormat(cmd, table, asJSON)
	return cmd
}

func (c *cli) watch(ctx context.Context, store mesh.Store, arg string, quiet bool, f format) error {
	run, err := runByIDOrConnector(ctx, store, arg)
	if err != nil {
		return err
	}
	dryRun := run != nil && ofDryRun(run)
	if run != nil && run.Outcome != "" { // over: there is nothing to wait for
		return c.report(run, dryRun, f)
	}
	ref := runRef{runID: arg}
	o := followOptions{quiet: quiet, format: f}
	if run != nil {
		ref = refOf(run)
		ref.dryRun = dryRun
		if ref.queue, err = c.queueFor(ctx, store, run.Connector); err != nil {
			return err
		}
		if o.expected, err = liveCounts(ctx, store, run.Connector); err != nil {
			return err
		}
	}
	return c.withTemporal(ctx, ref.namespace, func(t temporalClient) error {
		if ref.workflowID == "" {
			if ref.workflowID, err = findWorkflow(ctx, t, arg); err != nil {
				return err
			}
		}
		return c.follow(ctx, store, t, ref, o)
	})
}

func refOf(run *mesh.Run) runRef {
	return runRef{runID: run.RunID, workflowID: run.WorkflowID, namespace: run.Namespace,
		connector: run.Connector, mode: run.Mode, startedAt: run.StartedAt}
}

// runByIDOrConnector returns the run row of an id, or of the run that is importing
// the named connector. It returns nil for an id that the mesh does not know: the
// run may not have begun yet.
func runByIDOrConnector(ctx context.Context, store mesh.Store, arg string) (*mesh.Run, error) {
	run, err := store.Run(ctx, arg)
	if _, missing := errors.AsType[*mesh.NotFoundError](err); !missing {
		return run, err
	}
	if runID.MatchString(arg) {
		return nil, nil
	}
	if _, err := knownConnector(ctx, store, arg); err != nil {
		if _, missing := errors.AsType[*mesh.NotFoundError](err); missing {
			return nil, fmt.Errorf("%q is no run id, and %w", arg, err)
		}
		return nil, err
	}
	holder, err := store.Holder(ctx, arg)
	if err != nil {
		return nil, err
	}
	if holder == "" {
		return nil, fmt.Errorf("no run is importing connector %[1]s now; 'starter runs %[1]s' lists the earlier ones, and one that was started and has not begun is followed by its id, which 'starter status %[1]s' shows", arg)
	}
	return store.Run(ctx, holder)
}

// runID is what Temporal's run ids look like.
var runID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// findWorkflow asks Temporal for the workflow of a run that the mesh does not know.
func findWorkflow(ctx context.Context, t temporalClient, id string) (string, error) {
	unknown := &mesh.NotFoundError{Kind: "run", Name: id}
	if !runID.MatchString(id) { // it also must not carry a quote into the query
		return "", fmt.Errorf("%w: that is no run id; 'starter status NAME' and 'starter runs NAME' show them", unknown)
	}
	found, err := t.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: 1,
		Query:    fmt.Sprintf("RunId = '%s'", id),
	})
	if err != nil {
		return "", fmt.Errorf("look for run %s in Temporal: %w", id, err)
	}
	for _, e := range found.GetExecutions() {
		return e.GetExecution().GetWorkflowId(), nil
	}
	return "", fmt.Errorf("%w, neither in the mesh nor in this namespace of Temporal; 'starter runs NAME' lists the runs of a connector", unknown)
}
