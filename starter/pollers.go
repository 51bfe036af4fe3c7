package main

import (
	"context"
	"fmt"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/internal/deployment"
)

// whyWaiting says why no worker takes up the work of a task queue, and what to do; "" when
// one does, or when nobody knows. A worker that polls is not enough: work goes to the
// current build of a deployment, and to nobody when that has no worker.
func (c *cli) whyWaiting(ctx context.Context, t temporalClient, queue string) string {
	ctx, cancel := context.WithTimeout(ctx, pollersTimeout)
	defer cancel()
	d, err := t.DescribeTaskQueue(ctx, queue, enums.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return ""
	}
	q := readQueue(ctx, t, d)
	if len(q.Pollers) == 0 {
		return c.nobodyPolls(q, queue)
	}
	if found, remedy := q.Problem(); found != "" {
		return fmt.Sprintf("workers poll task queue %q and do not get its work: %s. To mend it: %s.", queue, found, remedy)
	}
	return ""
}

// nobodyPolls names the build that is awaited, where it is one.
func (c *cli) nobodyPolls(q deployment.Queue, queue string) string {
	if q.Current.IsZero() {
		return fmt.Sprintf("no worker polls task queue %q. %s", queue, c.startAWorker(queue))
	}
	return fmt.Sprintf("no worker polls task queue %q, whose work goes to %s. %s Give it --deployment %s --build-id %s, or promote the build that it is.",
		queue, q.Current, c.startAWorker(queue), q.Current.Name, q.Current.BuildID)
}

// readQueue reads what Temporal says of a task queue. Where its tasks go to workers without
// a deployment and wait, it also finds out which builds the pollers' deployments have
// promoted, if Temporal says so: one of those is what the queue lacks.
func readQueue(ctx context.Context, t temporalClient, d *workflowservice.DescribeTaskQueueResponse) deployment.Queue {
	q := deployment.Read(d)
	if found, _ := q.Problem(); found == "" || !q.Current.IsZero() {
		return q
	}
	q.Promoted = map[string]deployment.Version{}
	for v := range q.Pollers {
		if _, asked := q.Promoted[v.Name]; asked || v.IsZero() {
			continue
		}
		known, err := t.WorkerDeploymentClient().GetHandle(v.Name).Describe(ctx, client.WorkerDeploymentDescribeOptions{})
		if err != nil {
			continue // the remedy is less exact
		}
		if build := buildOf(known.Info.RoutingConfig.CurrentVersion); build != "" {
			q.Promoted[v.Name] = deployment.Version{Name: v.Name, BuildID: build}
		}
	}
	return q
}
