package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/spf13/cobra"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// runOptions are the flags of `run`.
type runOptions struct {
	mode        string
	dryRun      bool
	wait, quiet bool

	queue string // the connector's, which is no flag
}

func newRunCommand(c *cli) *cobra.Command {
	var o runOptions
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "run NAME",
		Short: "Start an import",
		Long: `Start an import of a connector. It runs in the worker; without --wait this command prints
{"runId": …} and ends.

  --mode auto   a delta, or a full walk when the reconcile of the connector's schedule is
                due, when there is no watermark yet, or when the definition has changed:
                what the schedule would do now (the default)
  --mode delta  what changed since the watermark; it gives way to an import under way
  --mode full   the whole org; it waits while another import is under way

With --wait it shows the progress on standard error (a bar on a terminal, a line every
ten seconds elsewhere), then prints the run, and ends with the exit code of its outcome:
Completed 0, HeldDeletes 3, Skipped 4, Failed and Cancelled 1. Ctrl-C ends the waiting
(exit code 130), not the run.

--dry-run reads Okta as the run would, decides on a copy of the mesh, prints what the run
would add, update, delete and hold, and drops the copy: nothing is written, no watermark
moves. It implies --wait.`,
		Example: `  starter run contoso
  starter run contoso --mode full --wait
  starter run contoso --mode full --dry-run
  starter run contoso --mode delta --wait -q -o json | jq .counts
  RUN=$(starter run contoso | jq -r .runId); starter watch "$RUN"`,
		Args:              oneArg("NAME", ""),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			mode, err := parseMode(o.mode)
			if err != nil {
				return err
			}
			return c.withStore(ctx, func(store mesh.Store) error {
				conn, err := knownConnector(ctx, store, args[0])
				if err != nil {
					return err
				}
				o.queue = c.queueOf(conn)
				return c.withTemporal(ctx, "", func(t temporalClient) error {
					in := workflows.ImportInput{Connector: args[0], Mode: mode, DryRun: o.dryRun}
					return c.runImport(ctx, store, t, in, o, out.value)
				})
			})
		}),
	}
	cmd.Flags().StringVar(&o.mode, "mode", "auto", "how much of the org to read: auto, delta or full")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what the run would do, and write nothing")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait for the end and print the run")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "show no progress while waiting")
	out = addFormat(cmd, table, asJSON)
	mustRegister(cmd, "mode", []cobra.Completion{"auto", "delta", "full"})
	return cmd
}

// parseMode reads --mode in any case.
func parseMode(s string) (workflows.Mode, error) {
	for _, m := range []workflows.Mode{workflows.Auto, workflows.Delta, workflows.Full} {
		if strings.EqualFold(s, string(m)) {
			return m, nil
		}
	}
	return "", usagef("--mode %q is unknown: want auto, delta or full", s)
}

func (c *cli) runImport(ctx context.Context, store mesh.Store, t temporalClient, in workflows.ImportInput, o runOptions, f format) error {
	expected, err := liveCounts(ctx, store, in.Connector)
	if err != nil {
		return err
	}
	if in.Mode == workflows.Auto {
		if in.Cadence, err = c.cadenceOf(ctx, t, in.Connector); err != nil {
			return err
		}
	}
	started := c.now()
	ref, err := c.start(ctx, t, in, o.queue)
	if err != nil {
		return err
	}
	if !o.wait && !in.DryRun {
		c.notef("Started %s; follow it with: starter watch %s", ref.workflowID, ref.runID)
		c.noteMissingWorker(ctx, t, o.queue)
		return encoder(c.stdout).Encode(struct {
			RunID string `json:"runId"`
		}{ref.runID})
	}
	if !o.quiet {
		c.notef("Started %s, run %s", ref.workflowID, ref.runID)
	}
	ref.startedAt = started
	return c.follow(ctx, store, t, ref, followOptions{quiet: o.quiet, format: f, expected: expected})
}

// pollersTimeout is how long `run` waits to learn whether there is a worker.
const pollersTimeout = time.Second

// noteMissingWorker warns that nobody will take up the run. The run has been started,
// so that a question without an answer is no error.
func (c *cli) noteMissingWorker(ctx context.Context, t temporalClient, queue string) {
	if why := c.whyWaiting(ctx, t, queue); why != "" {
		c.notef("warning: the run waits: %s", why)
	}
}

// start starts the workflow of an import on a task queue.
func (c *cli) start(ctx context.Context, t temporalClient, in workflows.ImportInput, queue string) (runRef, error) {
	suffix, err := randomBase36(6)
	if err != nil {
		return runRef{}, err
	}
	kind, summary := "import", fmt.Sprintf("%s import of %s", in.Mode, in.Connector)
	if in.DryRun {
		kind, summary = "dryrun", "Dry run: "+summary
	}
	run, err := c.execute(ctx, t, client.StartWorkflowOptions{
		// Readable in the Web UI, sorted by time, and without a "/", which the UI's
		// addresses do not bear.
		ID: fmt.Sprintf("%s-%s-%s-%s-%s", kind, in.Connector, strings.ToLower(string(in.Mode)),
			c.now().UTC().Format("20060102T150405Z"), suffix),
		TaskQueue:                                queue,
		WorkflowIDConflictPolicy:                 enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,

		StaticSummary:         summary,
		TypedSearchAttributes: searchAttributes(in.Connector, in.Mode),
	}, workflows.ImportWorkflow, in)
	if err != nil {
		return runRef{}, fmt.Errorf("start the import of %s on task queue %q: %w", in.Connector, queue, err)
	}
	return runRef{runID: run.GetRunID(), workflowID: run.GetID(), queue: queue, connector: in.Connector, mode: string(in.Mode), dryRun: in.DryRun}, nil
}

// searchAttributes are those of an import or a hold that begins.
func searchAttributes(connector string, mode workflows.Mode) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(
		workflows.ConnectorAttribute.ValueSet(connector),
		workflows.ModeAttribute.ValueSet(string(mode)),
		workflows.OutcomeAttribute.ValueSet(workflows.Running))
}

// execute starts a workflow, without the search attributes where the server does not know
// them.
func (c *cli) execute(ctx context.Context, t temporalClient, o client.StartWorkflowOptions, workflow, in any) (client.WorkflowRun, error) {
	run, err := t.ExecuteWorkflow(ctx, o, workflow, in)
	if !attributesRefused(err) {
		return run, err
	}
	o.TypedSearchAttributes = temporal.SearchAttributes{}
	refused := err
	if run, err = t.ExecuteWorkflow(ctx, o, workflow, in); err == nil {
		c.noteMissingAttributes(refused, "the run goes without them")
	}
	return run, err
}

// attributesRefused tells whether a refusal is most likely that of a server on which
// nobody has registered the search attributes: imports do not need them. If it is
// anything else, it comes back.
func attributesRefused(err error) bool {
	_, ok := errors.AsType[*serviceerror.InvalidArgument](err)
	return ok
}

func (c *cli) noteMissingAttributes(refused error, so string) {
	c.notef("note: this Temporal server does not know the search attributes %s, %s and %s (%v); %s",
		workflows.ConnectorAttribute.GetName(), workflows.ModeAttribute.GetName(), workflows.OutcomeAttribute.GetName(), refused, so)
}

// randomBase36 returns n random characters of 0–9 and a–z.
func randomBase36(n int) (string, error) {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	b := make([]byte, n)
	for i := range b {
		d, err := rand.Int(rand.Reader, big.NewInt(int64(len(digits))))
		if err != nil {
			return "", fmt.Errorf("make a workflow id: %w", err)
		}
		b[i] = digits[d.Int64()]
	}
	return string(b), nil
}

// runRef says where a run is. What is not known is empty.
type runRef struct {
	runID      string // the first Temporal run id, which stays through continue-as-new
	workflowID string
	namespace  string // empty: the environment's
	queue      string // empty: the environment's
	connector  string
	mode       string
	startedAt  time.Time
	dryRun     bool
}
