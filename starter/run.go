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
	wait, quiet bool
}

func newRunCommand(c *cli) *cobra.Command {
	var o runOptions
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "run NAME --mode full",
		Short: "Start an import",
		Long: `Start an import of a connector. It runs in the worker; without --wait this command prints
{"runId": …} and ends.

With --wait it shows the progress on standard error (a bar on a terminal, a line every
ten seconds elsewhere), then prints the run, and ends with the exit code of its outcome:
Completed 0, HeldDeletes 3, Skipped 4, Failed and Cancelled 1. Ctrl-C ends the waiting
(exit code 130), not the run.`,
		Example: `  starter run contoso --mode full --wait
  starter run contoso --mode full --wait -q -o json | jq .counts
  RUN=$(starter run contoso --mode full | jq -r .runId); starter watch "$RUN"`,
		Args:              oneArg("NAME", ""),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			mode, err := parseMode(o.mode)
			if err != nil {
				return err
			}
			return c.withStore(ctx, func(store mesh.Store) error {
				if _, err := knownConnector(ctx, store, args[0]); err != nil {
					return err
				}
				return c.withTemporal(ctx, "", func(t temporalClient) error {
					return c.runImport(ctx, store, t, args[0], mode, o, out.value)
				})
			})
		}),
	}
	cmd.Flags().StringVar(&o.mode, "mode", "", "how much of the org to read: full")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait for the end and print the run")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "show no progress while waiting")
	out = addFormat(cmd, table, asJSON)
	mustRegister(cmd, "mode", []cobra.Completion{"full"})
	return cmd
}

// parseMode reads --mode in any case.
func parseMode(s string) (workflows.Mode, error) {
	switch strings.ToLower(s) {
	case "full":
		return workflows.Full, nil
	case "":
		return "", usagef("say how much of the org to read: --mode full")
	case "delta", "auto":
		return "", usagef("--mode %s: this release knows full only; delta and auto come with the next release", strings.ToLower(s))
	default:
		return "", usagef("--mode %q is unknown: this release knows full only; delta and auto come with the next release", s)
	}
}

func (c *cli) runImport(ctx context.Context, store mesh.Store, t temporalClient, name string, mode workflows.Mode, o runOptions, f format) error {
	expected, err := liveCounts(ctx, store, name)
	if err != nil {
		return err
	}
	started := c.now()
	ref, err := c.start(ctx, t, name, mode)
	if err != nil {
		return err
	}
	if !o.wait {
		c.notef("Started %s; follow it with: starter watch %s", ref.workflowID, ref.runID)
		c.noteMissingWorker(ctx, t)
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
func (c *cli) noteMissingWorker(ctx context.Context, t temporalClient) {
	ctx, cancel := context.WithTimeout(ctx, pollersTimeout)
	defer cancel()
	queue := c.taskQueue()
	d, err := t.DescribeTaskQueue(ctx, queue, enums.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil || len(d.GetPollers()) > 0 {
		return
	}
	c.notef("warning: no worker polls task queue %q, so the run waits. %s", queue, startAWorker)
}

// startAWorker is the remedy where no worker answers.
const startAWorker = "Start one with 'worker', with the same environment as here."

// start starts the workflow of an import.
func (c *cli) start(ctx context.Context, t temporalClient, name string, mode workflows.Mode) (runRef, error) {
	suffix, err := randomBase36(6)
	if err != nil {
		return runRef{}, err
	}
	lower := strings.ToLower(string(mode))
	o := client.StartWorkflowOptions{
		// Readable in the Web UI, sorted by time, and without a "/", which the UI's
		// addresses do not bear.
		ID:        fmt.Sprintf("import-%s-%s-%s-%s", name, lower, c.now().UTC().Format("20060102T150405Z"), suffix),
		TaskQueue: c.taskQueue(),

		WorkflowIDConflictPolicy:                 enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,

		StaticSummary: fmt.Sprintf("%s import of %s", mode, name),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			workflows.ConnectorAttribute.ValueSet(name),
			workflows.ModeAttribute.ValueSet(string(mode)),
			workflows.OutcomeAttribute.ValueSet(workflows.Running)),
	}
	in := workflows.ImportInput{Connector: name, Mode: mode}
	run, err := t.ExecuteWorkflow(ctx, o, workflows.ImportWorkflow, in)
	if _, ok := errors.AsType[*serviceerror.InvalidArgument](err); ok {
		// Most likely a server on which nobody has registered the search attributes: the
		// import does not need them. If it is anything else, it comes back.
		o.TypedSearchAttributes = temporal.SearchAttributes{}
		refused := err
		if run, err = t.ExecuteWorkflow(ctx, o, workflows.ImportWorkflow, in); err == nil {
			c.notef("note: this Temporal server does not know the search attributes %s, %s and %s (%v); the run goes without them",
				workflows.ConnectorAttribute.GetName(), workflows.ModeAttribute.GetName(), workflows.OutcomeAttribute.GetName(), refused)
		}
	}
	if err != nil {
		return runRef{}, fmt.Errorf("start the import of %s on task queue %q: %w", name, o.TaskQueue, err)
	}
	return runRef{runID: run.GetRunID(), workflowID: run.GetID(), connector: name, mode: string(mode)}, nil
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
	connector  string
	mode       string
	startedAt  time.Time
}
