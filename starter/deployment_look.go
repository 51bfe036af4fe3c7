package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/identitymesh/okta-connector/internal/deployment"
)

// deploymentTimeout limits each look at a deployment.
const deploymentTimeout = 30 * time.Second

// queueKey is a task queue, for workflows or for activities.
type queueKey struct {
	name string
	kind enums.TaskQueueType
}

func (k queueKey) String() string {
	if k.kind == enums.TASK_QUEUE_TYPE_ACTIVITY {
		return k.name + " (activities)"
	}
	return k.name + " (workflows)"
}

// deploymentState is a deployment, and its task queues with who polls them.
type deploymentState struct {
	name   string
	info   client.WorkerDeploymentInfo
	queues map[queueKey]deployment.Queue
}

// lookAtDeployment reads the state of a deployment. Its task queues are those of the
// builds that have work or may get it, and of also.
func lookAtDeployment(ctx context.Context, t temporalClient, name string, also deployment.Version) (*deploymentState, error) {
	ctx, cancel := context.WithTimeout(ctx, deploymentTimeout)
	defer cancel()
	h := t.WorkerDeploymentClient().GetHandle(name)
	d, err := h.Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if err != nil {
		return nil, fmt.Errorf("look at worker deployment %s: %w", name, err)
	}
	s := &deploymentState{name: name, info: d.Info, queues: map[queueKey]deployment.Queue{}}
	for _, v := range d.Info.VersionSummaries {
		// Builds that were drained long ago may be many, and share the queues of the others.
		if v.DrainageStatus == client.WorkerDeploymentVersionDrainageStatusDrained && v.Version.BuildID != also.BuildID {
			continue
		}
		if err := s.addQueues(ctx, t, h, v.Version.BuildID); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *deploymentState) addQueues(ctx context.Context, t temporalClient, h client.WorkerDeploymentHandle, buildID string) error {
	d, err := h.DescribeVersion(ctx, client.WorkerDeploymentDescribeVersionOptions{BuildID: buildID})
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return nil // Temporal removed it just now
	}
	if err != nil {
		return fmt.Errorf("look at build %s of worker deployment %s: %w", buildID, s.name, err)
	}
	for _, q := range d.Info.TaskQueuesInfos {
		key := queueKey{q.Name, enums.TaskQueueType(q.Type)} // #nosec G115 -- a number of the enum
		if _, known := s.queues[key]; known || key.kind != enums.TASK_QUEUE_TYPE_WORKFLOW && key.kind != enums.TASK_QUEUE_TYPE_ACTIVITY {
			continue
		}
		answer, err := t.DescribeTaskQueue(ctx, key.name, key.kind)
		if err != nil {
			return fmt.Errorf("look at task queue %s: %w", key, err)
		}
		s.queues[key] = deployment.Read(answer)
	}
	return nil
}

// build is a version of the deployment; the workers without one for "".
func (s *deploymentState) build(id string) deployment.Version {
	if id == "" {
		return deployment.Version{}
	}
	return deployment.Version{Name: s.name, BuildID: id}
}

// buildOf is the build id of the SDK's version, "" for nil: the workers without a
// deployment.
func buildOf(v *worker.WorkerDeploymentVersion) string {
	if v == nil {
		return ""
	}
	return v.BuildID
}

// routing is where the deployment's work goes, by its own account.
func (s *deploymentState) routing() deployment.Queue {
	r := s.info.RoutingConfig
	return deployment.Queue{Current: s.build(buildOf(r.CurrentVersion)), Ramping: s.build(buildOf(r.RampingVersion)), Percent: r.RampingVersionPercentage}
}

func (s *deploymentState) share(v deployment.Version) float32 { return s.routing().Share(v) }

// known tells whether workers of a build have polled.
func (s *deploymentState) known(buildID string) bool {
	return slices.ContainsFunc(s.info.VersionSummaries, func(v client.WorkerDeploymentVersionSummary) bool { return v.Version.BuildID == buildID })
}

// builds lists the ids of the builds, the newest first.
func (s *deploymentState) builds() []string {
	all := slices.Clone(s.info.VersionSummaries)
	slices.SortFunc(all, func(a, b client.WorkerDeploymentVersionSummary) int {
		return cmp.Or(b.CreateTime.Compare(a.CreateTime), strings.Compare(a.Version.BuildID, b.Version.BuildID))
	})
	ids := make([]string, len(all))
	for i, v := range all {
		ids[i] = v.Version.BuildID
	}
	return ids
}

// workers are the distinct workers of a version and the task queues that they poll.
func (s *deploymentState) workers(v deployment.Version) (n int, queues []string) {
	names, identities := map[string]bool{}, map[string]bool{}
	for key, q := range s.queues {
		for _, p := range q.Pollers[v] {
			names[key.name], identities[p.Identity] = true, true
		}
	}
	return len(identities), slices.Sorted(maps.Keys(names))
}

// keys are the task queues in order.
func (s *deploymentState) keys() []queueKey {
	return slices.SortedFunc(maps.Keys(s.queues), func(a, b queueKey) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind))
	})
}

// missing are the task queues that would have no worker if to had the work: those that
// the workers who have it now poll and to does not, and those that to polls for
// workflows and not yet for activities, or the other way round. Nobody at all is one
// entry, too.
func (s *deploymentState) missing(to deployment.Version) (missing []string) {
	now := s.routing().Current
	polled := map[string]bool{}
	for key, q := range s.queues {
		if len(q.Pollers[to]) > 0 {
			polled[key.name] = true
		}
	}
	for _, key := range s.keys() {
		q := s.queues[key]
		if len(q.Pollers[to]) == 0 && (len(q.Pollers[now]) > 0 || polled[key.name]) {
			missing = append(missing, key.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(polled)) { // a kind that nobody has ever polled
		for _, kind := range []enums.TaskQueueType{enums.TASK_QUEUE_TYPE_WORKFLOW, enums.TASK_QUEUE_TYPE_ACTIVITY} {
			if _, seen := s.queues[queueKey{name, kind}]; !seen {
				missing = append(missing, queueKey{name, kind}.String())
			}
		}
	}
	if len(polled) == 0 && len(missing) == 0 {
		missing = append(missing, "any task queue")
	}
	return missing
}

// behind are the task queues of which the server still routes the tasks as before.
func (s *deploymentState) behind(to deployment.Version) (behind []string) {
	want := s.routing()
	for _, key := range s.keys() {
		q := s.queues[key]
		if len(q.Pollers[to]) > 0 && (q.Current != want.Current || q.Ramping != want.Ramping || q.Percent != want.Percent) {
			behind = append(behind, key.String())
		}
	}
	return behind
}

// view is the state for people and scripts.
func (s *deploymentState) view() deploymentView {
	r := s.info.RoutingConfig
	v := deploymentView{
		Deployment: s.name, Current: buildOf(r.CurrentVersion), Ramp: rampOf(r),
		ChangedBy: s.info.LastModifierIdentity, ManagedBy: s.info.ManagerIdentity,
		Builds: []buildView{}, TaskQueues: []string{},
	}
	if !r.CurrentVersionChangedTime.IsZero() {
		v.CurrentSince = &r.CurrentVersionChangedTime
	}
	for _, key := range s.keys() {
		if !slices.Contains(v.TaskQueues, key.name) {
			v.TaskQueues = append(v.TaskQueues, key.name)
		}
		q := s.queues[key]
		if v.Current != "" {
			q.Promoted = map[string]deployment.Version{s.name: s.build(v.Current)}
		}
		if found, remedy := q.Problem(); found != "" && v.Problem == "" {
			v.Problem = fmt.Sprintf("work of task queue %s waits: %s; %s", key.name, found, remedy)
		}
	}
	v.Unversioned, _ = s.workers(deployment.Version{})
	for _, id := range s.builds() {
		n, queues := s.workers(s.build(id))
		b := buildView{BuildID: id, Percent: s.share(s.build(id)), Workers: n, TaskQueues: queues}
		for _, sum := range s.info.VersionSummaries {
			if sum.Version.BuildID == id {
				b.Status, b.CreatedAt = s.status(sum), sum.CreateTime
			}
		}
		v.Builds = append(v.Builds, b)
	}
	return v
}

func (s *deploymentState) status(v client.WorkerDeploymentVersionSummary) string {
	r := s.info.RoutingConfig
	switch id := v.Version.BuildID; {
	case buildOf(r.CurrentVersion) == id:
		return "current"
	case buildOf(r.RampingVersion) == id:
		return "ramping"
	case v.DrainageStatus == client.WorkerDeploymentVersionDrainageStatusDraining:
		return "draining"
	case v.DrainageStatus == client.WorkerDeploymentVersionDrainageStatusDrained:
		return "drained"
	default:
		return "inactive"
	}
}
