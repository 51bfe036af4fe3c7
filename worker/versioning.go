package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/internal/deployment"
)

const versioningHelp = `
Upgrades: a worker that is restarted with a newer release goes on where the old one
stopped; nothing else is needed on one host. With --deployment a worker joins a Temporal
worker deployment as the build --build-id: it polls, and gets work once
'starter deployment promote' or 'ramp' gives it some. Runs move with the promotion
(auto-upgrade); see docs/upgrades.md.
`

const versioningEnvironment = `
  ` + deployment.EnvName + `, ` + deployment.EnvBuildID + `
                           as --deployment and --build-id; Temporal's worker controller for
                           Kubernetes sets them`

// addVersioning gives cmd the flags that say which build of which deployment this is.
func (c *config) addVersioning(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.deployment, "deployment", "", "join the Temporal worker deployment of this `NAME` ($"+deployment.EnvName+"); without it the worker is not versioned")
	f.StringVar(&c.buildID, "build-id", "", "the `ID` of this build within the deployment ($"+deployment.EnvBuildID+"; default: the release, "+app.VersionString()+")")
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, given []string) (err error) { // wrong flags are wrong usage, too
		if err := args(cmd, given); err != nil {
			return err
		}
		if c.stopTimeout < 0 {
			return fmt.Errorf("--stop-timeout %s: want a time from 0, such as 30s", c.stopTimeout)
		}
		if c.turn <= 0 {
			return fmt.Errorf("--turn %s: want a time above 0, such as %s", c.turn, activities.DefaultTurn)
		}
		c.version, err = deployment.Own(c.deployment, c.buildID, app.VersionString())
		return err
	}
}

// deploymentOptions are the SDK's. All workflows upgrade themselves: ADR 15.
func deploymentOptions(v deployment.Version) worker.DeploymentOptions {
	if v.IsZero() {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning:             true,
		Version:                   worker.WorkerDeploymentVersion{DeploymentName: v.Name, BuildID: v.BuildID},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}
}

// checkDeployments refuses a server that knows no worker deployments: such a worker would
// poll in vain. A server that does not answer just now is no reason to stop.
func checkDeployments(ctx context.Context, c client.Client, v deployment.Version) error {
	if v.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := c.WorkerDeploymentClient().GetHandle(v.Name).Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if why, refused := deployment.Unsupported(err); refused {
		return fmt.Errorf("--deployment %s: %s; start the worker without a deployment (unset %s, too)", v.Name, why, deployment.EnvName)
	}
	return nil
}

// The rhythm of the watch on a worker's share of the work.
const (
	watchEvery    = 5 * time.Second
	remindEvery   = 10 * time.Minute
	shareTimeout  = 5 * time.Second
	noWorkMessage = "This worker gets no work: Temporal gives the task queue's tasks to other workers"
)

// shareWatch follows which part of the task queue's work this worker gets, for the log
// and for /readyz: a worker that polls and that nobody promoted looks busy and is not.
type shareWatch struct {
	own    deployment.Version
	ask    func(context.Context) (deployment.Queue, error)
	tell   func(state string) // "" for a worker like any other: there are no deployments here
	logger *zap.Logger

	known  bool
	had    bool // it has had work
	share  float32
	said   time.Time
	silent error // why nothing is known
}

// watchShare asks until ctx ends.
func watchShare(ctx context.Context, c client.Client, own deployment.Version, h *health, logger *zap.Logger) {
	w := &shareWatch{own: own, tell: h.setVersioning, logger: logger, ask: func(ctx context.Context) (deployment.Queue, error) {
		d, err := c.DescribeTaskQueue(ctx, app.TaskQueue(), enums.TASK_QUEUE_TYPE_WORKFLOW)
		return deployment.Read(d), err
	}}
	w.run(ctx)
}

func (w *shareWatch) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *shareWatch) look(ctx context.Context) {
	asked, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	q, err := w.ask(asked)
	if err != nil {
		// A server that is away is seen elsewhere. One that refuses the question keeps us blind.
		if _, denied := errors.AsType[*serviceerror.PermissionDenied](err); denied && w.silent == nil && ctx.Err() == nil {
			w.silent = err
			w.logger.Info("Not known which part of the work this worker gets", zap.Error(err))
		}
		return
	}
	share := q.Share(w.own)
	w.tell(w.state(q, share))
	changed := !w.known || share != w.share
	w.known, w.share = true, share
	switch reminder := time.Since(w.said) >= remindEvery; {
	case share == 0 && !w.had && (changed || reminder):
		w.say(w.logger.Warn, noWorkMessage, q, zap.String("remedy", w.remedy(q)))
	case !changed || w.own.IsZero() && share == 100 && !w.had:
		// Nothing new, or no deployments here.
	case share == 0:
		w.say(w.logger.Info, "This worker gets no more new work: another version was promoted; it may be stopped once the activities in hand have ended", q)
	default:
		w.say(w.logger.Info, "This worker gets work", q, zap.Float32("percent", share))
	}
	w.had = w.had || share > 0
}

func (w *shareWatch) say(log func(string, ...zap.Field), message string, q deployment.Queue, more ...zap.Field) {
	w.said = time.Now()
	log(message, append([]zap.Field{
		zap.String("deployment", w.own.Name), zap.String("buildId", w.own.BuildID), zap.String("current", q.Current.String()),
	}, more...)...)
}

// remedy for a worker that never had work here.
func (w *shareWatch) remedy(q deployment.Queue) string {
	if w.own.IsZero() {
		return "start it with --deployment " + q.Current.Name + ", or give the work to workers without a deployment: " + q.Promotion(w.own)
	}
	return q.Promotion(w.own)
}

// state is the share for a probe's answer.
func (w *shareWatch) state(q deployment.Queue, share float32) string {
	switch {
	case w.own.IsZero() && share == 100:
		return ""
	case share == 0:
		return fmt.Sprintf("%s: gets no work, it goes to %s", w.own, q.Current)
	case share == 100:
		return fmt.Sprintf("%s: gets the work", w.own)
	default:
		return fmt.Sprintf("%s: gets the work of %.3g %% of the workflows", w.own, share)
	}
}
