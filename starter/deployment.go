package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/internal/deployment"
)

func newDeploymentCommand(c *cli) *cobra.Command {
	return c.group(&cobra.Command{
		Use:   "deployment",
		Short: "Roll out a release of the worker, and roll it back",
		Long: `Say which build of the workers gets the work, where workers run with --deployment: a
Temporal worker deployment. A new build polls and gets nothing until it is promoted, or
ramps up; then runs under way go on with it, at their next step. Without --deployment
there is nothing to do here: see docs/upgrades.md.`,
		Example: `  starter deployment list
  starter deployment show identitymesh-okta
  starter deployment ramp identitymesh-okta v1.5.0 20    # a fifth of the workflows
  starter deployment promote identitymesh-okta v1.5.0    # all of them
  starter deployment promote identitymesh-okta v1.4.2    # and back
  starter deployment promote identitymesh-okta --unversioned`,
	}, newDeploymentList(c), newDeploymentShow(c), newDeploymentPromote(c), newDeploymentRamp(c))
}

// withDeployments is withTemporal for commands about deployments, which not every server
// has.
func (c *cli) withDeployments(ctx context.Context, f func(temporalClient) error) error {
	return c.withTemporal(ctx, "", func(t temporalClient) error {
		err := f(t)
		if why, unsupported := deployment.Unsupported(err); unsupported {
			return errors.New(why)
		}
		return err
	})
}

func newDeploymentList(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the deployments of the namespace",
		Long: `List the worker deployments of the namespace, which may be those of other products, too,
with the build that gets the work of each.`,
		Example: `  starter deployment list
  starter deployment list -o json | jq -r '.[].deployment'`,
		Args: noArgs("'starter deployment show NAME' shows one"),
		RunE: c.action(func(ctx context.Context, _ []string) error {
			return c.withDeployments(ctx, func(t temporalClient) error { return c.listDeployments(ctx, t, out.value) })
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// deploymentRow is what `deployment list -o json` prints of each.
type deploymentRow struct {
	Deployment string    `json:"deployment"`
	Current    string    `json:"current"` // build id; "" for the workers without a deployment
	Ramp       *rampView `json:"ramp"`    // null without one
	CreatedAt  time.Time `json:"createdAt"`
}

// rampView is the part of the workflows that goes to another build.
type rampView struct {
	BuildID string  `json:"buildId"` // "" for the workers without a deployment
	Percent float32 `json:"percent"`
}

// rampOf reads a ramp; nil when nothing ramps.
func rampOf(r client.WorkerDeploymentRoutingConfig) *rampView {
	if r.RampingVersion == nil && r.RampingVersionPercentage == 0 {
		return nil
	}
	return &rampView{buildOf(r.RampingVersion), r.RampingVersionPercentage}
}

func (r *rampView) String() string {
	if r == nil {
		return "-"
	}
	return fmt.Sprintf("%s, %.3g %%", buildName(r.BuildID), r.Percent)
}

// buildName is a build id for people.
func buildName(id string) string { return cmp.Or(id, "(unversioned)") }

func (c *cli) listDeployments(ctx context.Context, t temporalClient, f format) error {
	ctx, cancel := context.WithTimeout(ctx, deploymentTimeout)
	defer cancel()
	all, err := t.WorkerDeploymentClient().List(ctx, client.WorkerDeploymentListOptions{})
	if err != nil {
		return fmt.Errorf("list the worker deployments: %w", err)
	}
	list := []deploymentRow{}
	for all.HasNext() {
		d, err := all.Next()
		if err != nil {
			return fmt.Errorf("list the worker deployments: %w", err)
		}
		list = append(list, deploymentRow{d.Name, buildOf(d.RoutingConfig.CurrentVersion), rampOf(d.RoutingConfig), d.CreateTime})
	}
	slices.SortFunc(list, func(a, b deploymentRow) int { return strings.Compare(a.Deployment, b.Deployment) })
	if f == asJSON {
		return printJSON(c.stdout, list)
	}
	if len(list) == 0 {
		c.notef("There is no worker deployment: workers make it when they poll with --deployment.")
		return nil
	}
	rows := make([][]string, len(list))
	for i, d := range list {
		rows[i] = []string{d.Deployment, buildName(d.Current), d.Ramp.String(), stamp(d.CreatedAt)}
	}
	return printTable(c.stdout, []string{"DEPLOYMENT", "CURRENT", "RAMPING", "CREATED"}, rows)
}

func newDeploymentShow(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show the builds of a deployment, and who gets the work",
		Long: `Show the builds of a worker deployment: which one gets the work, how many workers of each
poll, and which task queues.

STATUS: current and ramping get work; inactive has never had any; draining and drained had
it once. Draining becomes drained after some minutes: Temporal looks for workflows that
are pinned to the build, and ours never are. A worker that was killed is counted for some
minutes more.`,
		Example: `  starter deployment show identitymesh-okta
  starter deployment show identitymesh-okta -o json | jq '.builds[] | select(.workers > 0)'`,
		Args:              oneArg("NAME", "the deployment's, as in 'starter deployment list'"),
		ValidArgsFunction: c.completeDeployment(false),
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withDeployments(ctx, func(t temporalClient) error { return c.showDeployment(ctx, t, args[0], out.value) })
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// deploymentView is what `deployment show -o json` prints.
type deploymentView struct {
	Deployment   string      `json:"deployment"`
	Current      string      `json:"current"` // build id; "" for the workers without a deployment
	CurrentSince *time.Time  `json:"currentSince"`
	Ramp         *rampView   `json:"ramp"` // null without one
	ChangedBy    string      `json:"changedBy"`
	ManagedBy    string      `json:"managedBy"` // who alone may promote; "" for everybody
	Builds       []buildView `json:"builds"`    // the newest first
	// Unversioned workers poll the same task queues without a deployment.
	Unversioned int      `json:"unversionedWorkers"`
	TaskQueues  []string `json:"taskQueues"`
	// Problem is why work waits; "" when it does not.
	Problem string `json:"problem"`
}

// buildView is one build of a deployment.
type buildView struct {
	BuildID    string    `json:"buildId"`
	Status     string    `json:"status"` // current, ramping, draining, drained or inactive
	Percent    float32   `json:"percent"`
	Workers    int       `json:"workers"`
	TaskQueues []string  `json:"taskQueues"` // that they poll
	CreatedAt  time.Time `json:"createdAt"`
}

func (c *cli) showDeployment(ctx context.Context, t temporalClient, name string, f format) error {
	if err := deployment.CheckName(name); err != nil {
		return err
	}
	s, err := lookAtDeployment(ctx, t, name, deployment.Version{})
	if err != nil {
		return explainMissing(ctx, t, name, err)
	}
	v := s.view()
	if f == asJSON {
		return printJSON(c.stdout, v)
	}
	fields := []field{{"Deployment", v.Deployment}, {"Current", buildName(v.Current)}}
	if v.CurrentSince != nil {
		fields[1].value += ", since " + stamp(*v.CurrentSince)
	}
	fields = append(fields, field{"Ramping", v.Ramp.String()}, field{"Changed by", orDash(v.ChangedBy)})
	if v.ManagedBy != "" {
		fields = append(fields, field{"Managed by", v.ManagedBy + ", who alone may change it"})
	}
	if v.Problem != "" {
		fields = append(fields, field{"Problem", v.Problem})
	}
	if err := printFields(c.stdout, fields); err != nil {
		return err
	}
	rows := make([][]string, 0, len(v.Builds)+1)
	for _, b := range v.Builds {
		rows = append(rows, []string{
			b.BuildID, b.Status, fmt.Sprintf("%.3g %%", b.Percent), fmt.Sprint(b.Workers),
			orDash(strings.Join(b.TaskQueues, ", ")), stamp(b.CreatedAt),
		})
	}
	if share := s.share(deployment.Version{}); share > 0 || v.Unversioned > 0 {
		rows = append(rows, []string{buildName(""), "-", fmt.Sprintf("%.3g %%", share), fmt.Sprint(v.Unversioned), orDash(strings.Join(v.TaskQueues, ", ")), "-"})
	}
	printLine(c.stdout, "")
	return printTable(c.stdout, []string{"BUILD", "STATUS", "WORK", "WORKERS", "TASK QUEUES", "FIRST SEEN"}, rows)
}

// explainMissing names the deployments that there are.
func explainMissing(ctx context.Context, t temporalClient, name string, err error) error {
	if _, missing := errors.AsType[*serviceerror.NotFound](err); !missing {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, deploymentTimeout)
	defer cancel()
	known := "there is none yet"
	if names, lerr := deploymentNames(ctx, t); lerr == nil && len(names) > 0 {
		known = "known deployments: " + strings.Join(names, ", ")
	}
	return fmt.Errorf("there is no worker deployment %q in this namespace; workers make it when they poll with `worker --deployment %s`; %s", name, name, known)
}

// completeDeployment completes the first argument with the deployments that there are, and
// where a build follows the second one with the builds of that deployment.
func (c *cli) completeDeployment(builds bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 1 || len(args) == 1 && !builds {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		var found []cobra.Completion
		err := c.withTemporal(ctx, "", func(t temporalClient) (err error) {
			if len(args) == 0 {
				found, err = deploymentNames(ctx, t)
			} else {
				found, err = buildNames(ctx, t, args[0])
			}
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		found = slices.DeleteFunc(found, func(name string) bool { return !strings.HasPrefix(name, prefix) })
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// deploymentNames are the deployments of the namespace, sorted.
func deploymentNames(ctx context.Context, t temporalClient) ([]string, error) {
	all, err := t.WorkerDeploymentClient().List(ctx, client.WorkerDeploymentListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for all.HasNext() {
		d, err := all.Next()
		if err != nil {
			return nil, err
		}
		names = append(names, d.Name)
	}
	slices.Sort(names)
	return names, nil
}

// buildNames are the builds of a deployment, sorted.
func buildNames(ctx context.Context, t temporalClient, name string) ([]string, error) {
	d, err := t.WorkerDeploymentClient().GetHandle(name).Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if err != nil {
		return nil, err
	}
	names := make([]string, len(d.Info.VersionSummaries))
	for i, v := range d.Info.VersionSummaries {
		names[i] = v.Version.BuildID
	}
	slices.Sort(names)
	return names, nil
}
