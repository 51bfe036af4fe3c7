package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/internal/deployment"
)

// Promoting: how long workers may take to begin polling, and how often we look.
const (
	promoteTimeout = 2 * time.Minute
	promoteEvery   = 500 * time.Millisecond
)

// promotion is what `promote` and `ramp` are about to do.
type promotion struct {
	name string
	to   deployment.Version // zero: the workers without a deployment
	// percent is the share of a ramp; all makes it a promotion.
	percent float32
	all     bool

	timeout       time.Duration
	ignoreMissing bool
	format        format
}

func (p *promotion) addFlags(cmd *cobra.Command, out **formatFlag) {
	cmd.Flags().DurationVar(&p.timeout, "timeout", promoteTimeout, "how long the build's workers may take to poll")
	cmd.Flags().BoolVar(&p.ignoreMissing, "ignore-missing-queues", false, "leave out task queues that no worker of the build polls: their work then goes to workers without a deployment")
	*out = addFormat(cmd, table, asJSON)
}

func newDeploymentPromote(c *cli) *cobra.Command {
	var p promotion
	var out *formatFlag
	var unversioned bool
	cmd := &cobra.Command{
		Use:   "promote NAME (BUILD | --unversioned)",
		Short: "Give all work to a build",
		Long: `Make BUILD the current build of a deployment: it gets all new runs, holds and schedules'
imports, and those under way go on with it. The command waits until workers of the build
poll every task queue that the present ones poll, and until Temporal routes the work; it
changes nothing when they do not come within --timeout. A ramp ends. It may be repeated: a
build that is current already is left as it is.

The same command rolls back: promote the old build, while its workers still run or after
starting them again. --unversioned gives the work to workers without --deployment.`,
		Example: `  starter deployment promote identitymesh-okta v1.5.0
  starter deployment promote identitymesh-okta v1.5.0 --timeout 10m -o json
  starter deployment promote identitymesh-okta --unversioned`,
		Args: func(cmd *cobra.Command, args []string) error {
			want := 2
			if unversioned {
				want = 1
			}
			if len(args) != want || args[0] == "" || args[want-1] == "" {
				return wrongArgs(cmd, "NAME and BUILD, or NAME and --unversioned", "", args)
			}
			return p.set(args[0], args[1:])
		},
		ValidArgsFunction: c.completeDeployment(true),
		RunE: c.action(func(ctx context.Context, _ []string) error {
			p.all, p.format = true, out.value
			return c.withDeployments(ctx, func(t temporalClient) error { return c.promote(ctx, t, &p) })
		}),
	}
	cmd.Flags().BoolVar(&unversioned, "unversioned", false, "give the work to workers without a deployment")
	p.addFlags(cmd, &out)
	return cmd
}

func newDeploymentRamp(c *cli) *cobra.Command {
	var p promotion
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "ramp NAME BUILD PERCENT",
		Short: "Give a part of the work to a build",
		Long: `Give PERCENT of the workflows to BUILD, and leave the others with the current build. Which
ones is decided by their workflow id: a run or hold of the part stays in it while PERCENT
grows, and connectors are not told apart. 0 ends the ramp. The command waits for the
build's workers, as 'promote' does.`,
		Example: `  starter deployment ramp identitymesh-okta v1.5.0 20
  starter deployment ramp identitymesh-okta v1.5.0 0`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 3 || args[0] == "" || args[1] == "" {
				return wrongArgs(cmd, "NAME, BUILD and PERCENT", "", args)
			}
			percent, err := strconv.ParseFloat(strings.TrimSuffix(args[2], "%"), 32)
			if err != nil || !(percent >= 0 && percent <= 100) {
				return noPercent(args[2])
			}
			p.percent = float32(percent)
			return p.set(args[0], args[1:2])
		},
		ValidArgsFunction: c.completeDeployment(true),
		RunE: c.action(func(ctx context.Context, _ []string) error {
			p.format = out.value
			return c.withDeployments(ctx, func(t temporalClient) error { return c.promote(ctx, t, &p) })
		}),
	}
	p.addFlags(cmd, &out)
	belowZero(cmd, noPercent)
	return cmd
}

func noPercent(text string) error {
	return fmt.Errorf("PERCENT %q: want a number from 0 to 100", text)
}

// set reads NAME and BUILD, which is left out for the workers without a deployment.
func (p *promotion) set(name string, build []string) error {
	if p.timeout <= 0 {
		return fmt.Errorf("--timeout %s: want a time above 0, such as 10m", p.timeout)
	}
	if err := deployment.CheckName(name); err != nil {
		return err
	}
	p.name = name
	if len(build) == 0 {
		return nil
	}
	if err := deployment.CheckBuildID(build[0]); err != nil {
		return err
	}
	p.to = deployment.Version{Name: name, BuildID: build[0]}
	return nil
}

// promoted is what `promote` and `ramp` print.
type promoted struct {
	Deployment string    `json:"deployment"`
	Current    string    `json:"current"` // build id; "" for the workers without a deployment
	Previous   string    `json:"previous"`
	Ramp       *rampView `json:"ramp"` // null without one
	Changed    bool      `json:"changed"`
	Workers    int       `json:"workers"` // of the build
	TaskQueues []string  `json:"taskQueues"`
}

// promote waits for the workers, changes who gets the work, and waits until that counts.
func (c *cli) promote(ctx context.Context, t temporalClient, p *promotion) error {
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r := &roller{c: c, t: t, p: p, h: t.WorkerDeploymentClient().GetHandle(p.name)}
	err := r.roll(limited)
	switch {
	case err == nil:
		return r.print()
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil && r.changed:
		return fmt.Errorf("deployment %s: %s %s, but after %s that does not count everywhere: %s; look again with `starter deployment show %s`", p.name, p.to, r.verb(), p.timeout, r.waiting, p.name)
	case limited.Err() != nil:
		return fmt.Errorf("deployment %s: %s not %s within %s, nothing has changed: %s", p.name, p.to, r.verb(), p.timeout, r.waiting)
	default:
		return err
	}
}

// roller carries out one promotion.
type roller struct {
	c *cli
	t temporalClient
	p *promotion
	h client.WorkerDeploymentHandle

	state    *deploymentState
	previous string // the build that had the work
	changed  bool
	waiting  string // what we wait for, as it was said last
}

func (r *roller) verb() string {
	if r.p.all {
		return "promoted"
	}
	return "ramped up"
}

// roll tries until it is done or ctx ends; then r.waiting is what it waited for.
func (r *roller) roll(ctx context.Context) error {
	for {
		wait, err := r.step(ctx)
		switch {
		case ctx.Err() != nil:
			r.waiting = cmp.Or(r.waiting, "Temporal does not answer")
			return ctx.Err()
		case err != nil:
			return err
		case wait == "":
			return nil
		case wait != r.waiting:
			r.waiting = wait
			r.c.notef("Waiting: %s", wait)
		}
		select {
		case <-ctx.Done():
		case <-time.After(promoteEvery):
		}
	}
}

// step looks at the deployment and does what is due. It returns what has to be waited
// for, "" when all is done.
func (r *roller) step(ctx context.Context) (wait string, err error) {
	s, err := lookAtDeployment(ctx, r.t, r.p.name, r.p.to)
	if _, missing := errors.AsType[*serviceerror.NotFound](err); missing {
		return fmt.Sprintf("no worker has polled with `worker --deployment %s` yet", r.p.name), nil
	}
	if err != nil {
		return "", err
	}
	r.state = s
	if !r.changed {
		r.previous = buildOf(s.info.RoutingConfig.CurrentVersion)
	}
	if !r.changed && !r.reached() {
		if wait := r.absent(); wait != "" {
			return wait, nil
		}
		if err := r.change(ctx); err != nil {
			return r.refusal(err)
		}
		r.changed = true
		if r.state, err = lookAtDeployment(ctx, r.t, r.p.name, r.p.to); err != nil {
			return "", err
		}
	}
	if !r.reached() {
		return "the change has not arrived; somebody else may be changing the deployment, too", nil
	}
	if wait := r.absent(); wait != "" { // also where nothing had to be changed
		return wait, nil
	}
	if behind := r.state.behind(r.p.to); len(behind) > 0 {
		return fmt.Sprintf("Temporal routes the work of task queue %s as before", strings.Join(behind, ", ")), nil
	}
	return "", nil
}

// reached tells whether the deployment is as it shall be.
func (r *roller) reached() bool {
	routing := r.state.routing()
	ramp := rampOf(r.state.info.RoutingConfig)
	switch {
	case r.p.all:
		return routing.Current == r.p.to && ramp == nil
	case r.p.percent == 0:
		return ramp == nil
	default:
		return ramp != nil && routing.Ramping == r.p.to && ramp.Percent == r.p.percent
	}
}

// absent says which workers have to come first, "" when they are all there.
func (r *roller) absent() string {
	if !r.p.all && r.p.percent == 0 {
		return ""
	}
	if !r.p.to.IsZero() && !r.state.known(r.p.to.BuildID) {
		return fmt.Sprintf("no worker of %s has polled yet; known builds: %s", r.p.to, strings.Join(r.state.builds(), ", "))
	}
	missing := r.state.missing(r.p.to)
	if n, _ := r.state.workers(r.p.to); n > 0 && r.p.ignoreMissing {
		return ""
	}
	if len(missing) > 0 {
		whose := "of " + r.p.to.String()
		if r.p.to.IsZero() {
			whose = "without a deployment"
		}
		return fmt.Sprintf("no worker %s polls %s", whose, strings.Join(missing, ", "))
	}
	return ""
}

// change tells Temporal.
func (r *roller) change(ctx context.Context) error {
	by := r.c.operator()
	routing := r.state.routing()
	if r.p.all && routing.Current != r.p.to {
		_, err := r.h.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{
			BuildID: r.p.to.BuildID, Identity: by, IgnoreMissingTaskQueues: r.p.ignoreMissing,
		})
		if err != nil {
			return err
		}
	}
	if r.p.all || r.p.percent == 0 {
		// Promoting what ramps ends the ramp; any other goes on, which nobody expects of a
		// rollback.
		if ramp := rampOf(r.state.info.RoutingConfig); ramp != nil && (!r.p.all || routing.Ramping != r.p.to) {
			if !r.p.all && routing.Ramping != r.p.to {
				return usagef("%s does not ramp: %s does", r.p.to, routing.Ramping)
			}
			_, err := r.h.SetRampingVersion(ctx, client.WorkerDeploymentSetRampingVersionOptions{Identity: by})
			return err
		}
		return nil
	}
	_, err := r.h.SetRampingVersion(ctx, client.WorkerDeploymentSetRampingVersionOptions{
		BuildID: r.p.to.BuildID, Percentage: r.p.percent, Identity: by, IgnoreMissingTaskQueues: r.p.ignoreMissing,
	})
	return err
}

// refusal tells refusals that pass from those that do not.
func (r *roller) refusal(err error) (wait string, final error) {
	text := err.Error()
	_, precondition := errors.AsType[*serviceerror.FailedPrecondition](err)
	_, busy := errors.AsType[*serviceerror.ResourceExhausted](err)
	_, missing := errors.AsType[*serviceerror.NotFound](err)
	switch {
	case precondition && strings.Contains(text, "ManagerIdentity"):
		return "", fmt.Errorf("deployment %s is managed by %s, who alone may change it (Temporal's worker controller for Kubernetes does so: change it there): %w", r.p.name, r.state.info.ManagerIdentity, err)
	case precondition && strings.Contains(text, "already current"):
		return "", fmt.Errorf("%s is current: it has all the work: %w", r.p.to, err)
	case precondition && strings.Contains(text, "missing active task queues"):
		return fmt.Sprintf("%s; start its workers on those task queues, too, or leave them out with --ignore-missing-queues", text), nil
	case precondition, busy, missing:
		return text, nil
	default:
		return "", err
	}
}

func (r *roller) print() error {
	s := r.state
	n, queues := s.workers(r.p.to)
	done := promoted{
		Deployment: r.p.name, Current: buildOf(s.info.RoutingConfig.CurrentVersion), Previous: r.previous,
		Ramp: rampOf(s.info.RoutingConfig), Changed: r.changed, Workers: n, TaskQueues: queues,
	}
	if r.p.format == asJSON {
		return printJSON(r.c.stdout, done)
	}
	what := "was so already"
	switch {
	case r.changed && r.p.all && r.previous != r.p.to.BuildID:
		what = "before: " + buildName(r.previous)
	case r.changed && r.p.all:
		what = "the ramp has ended"
	case r.changed:
		what = "changed"
	}
	fields := []field{
		{"Deployment", r.p.name}, {"Current", buildName(done.Current) + " (" + what + ")"}, {"Ramping", done.Ramp.String()},
		{"Workers", fmt.Sprintf("%d of %s poll %s", n, buildName(r.p.to.BuildID), orDash(strings.Join(queues, ", ")))},
	}
	if err := printFields(r.c.stdout, fields); err != nil {
		return err
	}
	if r.changed && r.p.all {
		r.c.notef("Runs under way go on with it. Stop the other workers with SIGTERM, when you do not mean to go back: they finish the pages in hand.")
	}
	return nil
}
