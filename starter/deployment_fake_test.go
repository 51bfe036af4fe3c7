package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	deploymentpb "go.temporal.io/api/deployment/v1"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// fakeDeployments is the one worker deployment of a Temporal, "okta", and who polls.
type fakeDeployments struct {
	client.WorkerDeploymentClient

	mu       sync.Mutex
	builds   []string // that have polled, the oldest first; none: the deployment is unknown
	drainage map[string]client.WorkerDeploymentVersionDrainageStatus
	pollers  map[queueKey][]string // by build id; "" has no deployment
	manager  string
	by       string   // who changed it
	errs     []error  // of the calls in turn; then none
	sets     []string // what was changed

	fakeRouting

	before fakeRouting // which a number of looks at a task queue still show
	lag    int         // that number after a change
	lags   int         // and how many are left
}

// fakeRouting is where work goes, by build id.
type fakeRouting struct {
	current, ramping string
	percent          float32
}

var workflowsOf, activitiesOf = enums.TASK_QUEUE_TYPE_WORKFLOW, enums.TASK_QUEUE_TYPE_ACTIVITY

// poll lets workers of a build poll a task queue for both.
func (f *fakeDeployments) poll(build, queue string, kinds ...enums.TaskQueueType) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if build != "" && !slices.Contains(f.builds, build) {
		f.builds = append(f.builds, build)
	}
	if len(kinds) == 0 {
		kinds = []enums.TaskQueueType{workflowsOf, activitiesOf}
	}
	if f.pollers == nil {
		f.pollers = map[queueKey][]string{}
	}
	for _, kind := range kinds {
		f.pollers[queueKey{queue, kind}] = append(f.pollers[queueKey{queue, kind}], build)
	}
}

// route gives the work to a build.
func (f *fakeDeployments) route(build string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = build
}

// leave ends the workers of a build.
func (f *fakeDeployments) leave(build string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.pollers {
		f.pollers[key] = slices.DeleteFunc(f.pollers[key], func(b string) bool { return b == build })
	}
}

// describeQueue is DescribeTaskQueue.
func (f *fakeDeployments) describeQueue(queue string, kind enums.TaskQueueType) *workflowservice.DescribeTaskQueueResponse {
	f.mu.Lock()
	defer f.mu.Unlock()
	pb := func(build string) *deploymentpb.WorkerDeploymentVersion {
		if build == "" {
			return nil
		}
		return &deploymentpb.WorkerDeploymentVersion{DeploymentName: "okta", BuildId: build}
	}
	now := f.fakeRouting
	if f.lags > 0 {
		f.lags--
		now = f.before
	}
	d := &workflowservice.DescribeTaskQueueResponse{VersioningInfo: &taskqueue.TaskQueueVersioningInfo{
		CurrentDeploymentVersion: pb(now.current), RampingDeploymentVersion: pb(now.ramping), RampingVersionPercentage: now.percent,
	}}
	workers := map[string]int{}
	for _, build := range f.pollers[queueKey{queue, kind}] {
		workers[build]++
		p := &taskqueue.PollerInfo{Identity: fmt.Sprintf("worker %d of %q", workers[build], build)}
		if build != "" {
			p.DeploymentOptions = &deploymentpb.WorkerDeploymentOptions{
				WorkerVersioningMode: enums.WORKER_VERSIONING_MODE_VERSIONED, DeploymentName: "okta", BuildId: build,
			}
		}
		d.Pollers = append(d.Pollers, p)
	}
	return d
}

type fakeList struct {
	left []*client.WorkerDeploymentListEntry
}

func (l *fakeList) HasNext() bool { return len(l.left) > 0 }
func (l *fakeList) Next() (*client.WorkerDeploymentListEntry, error) {
	next := l.left[0]
	l.left = l.left[1:]
	return next, nil
}

func (f *fakeDeployments) List(ctx context.Context, _ client.WorkerDeploymentListOptions) (client.WorkerDeploymentListIterator, error) {
	if err := f.fail(ctx); err != nil {
		return nil, err
	}
	var l fakeList
	if len(f.builds) > 0 {
		l.left = append(l.left, &client.WorkerDeploymentListEntry{Name: "okta", CreateTime: fixedNow, RoutingConfig: f.routing()})
	}
	return &l, nil
}

func (f *fakeDeployments) GetHandle(name string) client.WorkerDeploymentHandle {
	return fakeHandle{f: f, name: name}
}

type fakeHandle struct {
	client.WorkerDeploymentHandle

	f    *fakeDeployments
	name string
}

// fail is the next error, of whatever call.
func (f *fakeDeployments) fail(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, bounded := ctx.Deadline(); !bounded {
		return fmt.Errorf("this question needs a time limit")
	}
	if len(f.errs) == 0 {
		return nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return err
}

func (f *fakeDeployments) routing() client.WorkerDeploymentRoutingConfig {
	version := func(build string) *worker.WorkerDeploymentVersion {
		if build == "" {
			return nil
		}
		return &worker.WorkerDeploymentVersion{DeploymentName: "okta", BuildID: build}
	}
	r := client.WorkerDeploymentRoutingConfig{CurrentVersion: version(f.current), RampingVersion: version(f.ramping), RampingVersionPercentage: f.percent}
	if f.current != "" {
		r.CurrentVersionChangedTime = fixedNow
	}
	return r
}

func (h fakeHandle) Describe(ctx context.Context, _ client.WorkerDeploymentDescribeOptions) (client.WorkerDeploymentDescribeResponse, error) {
	if err := h.f.fail(ctx); err != nil {
		return client.WorkerDeploymentDescribeResponse{}, err
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if h.name != "okta" || len(h.f.builds) == 0 {
		return client.WorkerDeploymentDescribeResponse{}, serviceerror.NewNotFound("no Worker Deployment found")
	}
	info := client.WorkerDeploymentInfo{Name: h.name, RoutingConfig: h.f.routing(), LastModifierIdentity: h.f.by, ManagerIdentity: h.f.manager}
	for i, build := range h.f.builds {
		info.VersionSummaries = append(info.VersionSummaries, client.WorkerDeploymentVersionSummary{
			Version:    worker.WorkerDeploymentVersion{DeploymentName: h.name, BuildID: build},
			CreateTime: fixedNow.Add(time.Duration(i) * time.Hour), DrainageStatus: h.f.drainage[build],
		})
	}
	return client.WorkerDeploymentDescribeResponse{Info: info}, nil
}

func (h fakeHandle) DescribeVersion(ctx context.Context, o client.WorkerDeploymentDescribeVersionOptions) (client.WorkerDeploymentVersionDescription, error) {
	if err := h.f.fail(ctx); err != nil {
		return client.WorkerDeploymentVersionDescription{}, err
	}
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	var d client.WorkerDeploymentVersionDescription
	for key, builds := range h.f.pollers {
		if slices.Contains(builds, o.BuildID) || o.BuildID == h.f.current { // also where they polled once
			d.Info.TaskQueuesInfos = append(d.Info.TaskQueuesInfos, client.WorkerDeploymentTaskQueueInfo{Name: key.name, Type: client.TaskQueueType(key.kind)})
		}
	}
	return d, nil
}

// change is one change of the routing; the answers about task queues lag behind it.
func (f *fakeDeployments) change(ctx context.Context, what, by string, do func()) error {
	if err := f.fail(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.lags = f.fakeRouting, f.lag
	f.sets, f.by = append(f.sets, what), by
	do()
	return nil
}

func (h fakeHandle) SetCurrentVersion(ctx context.Context, o client.WorkerDeploymentSetCurrentVersionOptions) (r client.WorkerDeploymentSetCurrentVersionResponse, err error) {
	return r, h.f.change(ctx, fmt.Sprintf("current %q ignore=%t", o.BuildID, o.IgnoreMissingTaskQueues), o.Identity, func() {
		if h.f.current = o.BuildID; h.f.ramping == o.BuildID {
			h.f.ramping, h.f.percent = "", 0
		}
	})
}

func (h fakeHandle) SetRampingVersion(ctx context.Context, o client.WorkerDeploymentSetRampingVersionOptions) (r client.WorkerDeploymentSetRampingVersionResponse, err error) {
	return r, h.f.change(ctx, fmt.Sprintf("ramp %q %g", o.BuildID, o.Percentage), o.Identity, func() {
		h.f.ramping, h.f.percent = o.BuildID, o.Percentage
	})
}
