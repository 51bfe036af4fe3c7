package deployment

import (
	"fmt"
	"slices"
	"strings"
	"time"

	deploymentpb "go.temporal.io/api/deployment/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// Queue is who polls a task queue, for workflows or for activities, and who gets its
// tasks. A worker that has gone stays among the pollers for some minutes.
type Queue struct {
	// Current gets the tasks, but for the Percent of the workflows that Ramping gets.
	Current, Ramping Version
	Percent          float32
	// Pollers are the workers by version.
	Pollers map[Version][]Poller
	// Promoted is the current build of a deployment, by the deployment's name, where the
	// caller knows it. It need not poll this queue.
	Promoted map[string]Version
}

// Poller is one worker.
type Poller struct {
	Identity string
	Seen     time.Time // by the server's clock
}

// Read reads what Temporal says of a task queue. A server that knows no deployments says
// nothing of them: then the workers without one get the tasks.
func Read(d *workflowservice.DescribeTaskQueueResponse) Queue {
	info := d.GetVersioningInfo()
	q := Queue{
		Current: versionOf(info.GetCurrentDeploymentVersion()),
		Ramping: versionOf(info.GetRampingDeploymentVersion()),
		Percent: info.GetRampingVersionPercentage(),
		Pollers: map[Version][]Poller{},
	}
	for _, p := range d.GetPollers() {
		var v Version
		if o := p.GetDeploymentOptions(); o.GetWorkerVersioningMode() == enums.WORKER_VERSIONING_MODE_VERSIONED {
			v = Version{Name: o.GetDeploymentName(), BuildID: o.GetBuildId()}
		}
		q.Pollers[v] = append(q.Pollers[v], Poller{p.GetIdentity(), p.GetLastAccessTime().AsTime()})
	}
	return q
}

func versionOf(v *deploymentpb.WorkerDeploymentVersion) Version {
	return Version{Name: v.GetDeploymentName(), BuildID: v.GetBuildId()}
}

// Share is the part of the workflows whose tasks a version gets, in percent.
func (q Queue) Share(v Version) float32 {
	var share float32
	if v == q.Ramping {
		share += q.Percent
	}
	if v == q.Current {
		share += 100 - q.Percent
	}
	return share
}

// Problem is why tasks wait although somebody may be polling, and what to do about it;
// "" when every share of them has a worker. A queue that nobody polls is a problem that
// the caller can describe better: it knows how workers are started here.
func (q Queue) Problem() (found, remedy string) {
	if len(q.Pollers) == 0 {
		return "", ""
	}
	for _, to := range []Version{q.Current, q.Ramping} {
		share := q.Share(to)
		if share == 0 || len(q.Pollers[to]) > 0 {
			continue
		}
		return q.describe(to, share), q.remedy(to)
	}
	return "", ""
}

func (q Queue) describe(to Version, share float32) string {
	what := "its tasks go to"
	if share < 100 {
		what = fmt.Sprintf("the tasks of %.3g %% of the workflows go to", share)
	}
	return fmt.Sprintf("%s %s, and none of those polls it, only %s", what, to, strings.Join(q.names(), ", "))
}

// remedy names the builds that poll: one of them is to be promoted, a ramp to be ended,
// or the workers that get the tasks are to be started. A build that was replaced by one
// that does not poll here is not to be promoted again.
func (q Queue) remedy(to Version) string {
	var promote []string
	if to == q.Ramping && len(q.Pollers[q.Current]) > 0 {
		return fmt.Sprintf("%s ends the ramp, or start %s", promotion(q.Current, to), starting(to))
	}
	for _, v := range q.versions() {
		now := q.Promoted[v.Name]
		if to.IsZero() && !now.IsZero() && now != v { // to promote v would take the other queues back to it
			promote = append(promote, "start "+starting(now)+", the current build, on this queue")
			continue
		}
		promote = append(promote, promotion(v, to))
	}
	return strings.Join(slices.Compact(promote), " or ") + ", or start " + starting(to)
}

// starting is how a worker of v is started.
func starting(v Version) string {
	if v.IsZero() {
		return "a worker without --deployment"
	}
	return fmt.Sprintf("a worker with --deployment %s --build-id %s", v.Name, v.BuildID)
}

// promotion is the command that gives v the tasks that now go to another version.
func promotion(v, now Version) string {
	if v.IsZero() {
		return fmt.Sprintf("`starter deployment promote %s --unversioned`", now.Name)
	}
	return fmt.Sprintf("`starter deployment promote %s %s`", v.Name, v.BuildID)
}

// Promotion is the command that gives v the tasks of the queue.
func (q Queue) Promotion(v Version) string { return promotion(v, q.Current) }

// versions are those that poll, in order.
func (q Queue) versions() []Version {
	all := make([]Version, 0, len(q.Pollers))
	for v := range q.Pollers {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b Version) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.BuildID, b.BuildID)
	})
	return all
}

func (q Queue) names() []string {
	var names []string
	for _, v := range q.versions() {
		names = append(names, v.String())
	}
	return names
}
