package deployment

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	deploymentpb "go.temporal.io/api/deployment/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestOwn(t *testing.T) {
	for name, tc := range map[string]struct {
		flag, id, envFlag, envID, build string

		want Version
		err  string
	}{
		"off":                 {build: "v1"},
		"the release":         {flag: "okta", build: "v1.2.3", want: Version{"okta", "v1.2.3"}},
		"named":               {flag: "okta", id: "b7", build: "v1", want: Version{"okta", "b7"}},
		"environment":         {envFlag: "team/okta", envID: "abc-1", build: "v1", want: Version{"team/okta", "abc-1"}},
		"flags go first":      {flag: "okta", id: "b7", envFlag: "x", envID: "y", build: "v1", want: Version{"okta", "b7"}},
		"build id alone":      {id: "b7", build: "v1", err: "without a deployment: set --deployment or TEMPORAL_DEPLOYMENT_NAME"},
		"stray variable":      {envID: "b7", build: "v1", err: "unset TEMPORAL_WORKER_BUILD_ID"},
		"nothing to tell":     {flag: "okta", build: "(devel)", err: "set --build-id"},
		"told all the same":   {flag: "okta", id: "b7", build: "(devel)", want: Version{"okta", "b7"}},
		"dot":                 {flag: "okta.eu", build: "v1", err: "dot or a colon"},
		"colon":               {flag: "okta:eu", build: "v1", err: "dot or a colon"},
		"Temporal's own":      {flag: "__okta", build: "v1", err: "Temporal's own"},
		"Temporal's build id": {flag: "okta", id: "__unversioned__", build: "v1", err: "build id"},
		"blank":               {flag: "okta", id: "a b", build: "v1", err: "blank"},
		"long":                {flag: strings.Repeat("o", 256), build: "v1", err: "longer than 255"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(EnvName, tc.envFlag)
			t.Setenv(EnvBuildID, tc.envID)
			got, err := Own(tc.flag, tc.id, tc.build)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				require.Zero(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

var (
	unversioned = Version{}
	v1          = Version{"okta", "v1"}
	v2          = Version{"okta", "v2"}
)

// answer is Temporal's of a task queue.
func answer(current, ramping Version, percent float32, pollers ...Version) *workflowservice.DescribeTaskQueueResponse {
	pb := func(v Version) *deploymentpb.WorkerDeploymentVersion {
		if v.IsZero() {
			return nil
		}
		return &deploymentpb.WorkerDeploymentVersion{DeploymentName: v.Name, BuildId: v.BuildID}
	}
	d := &workflowservice.DescribeTaskQueueResponse{VersioningInfo: &taskqueue.TaskQueueVersioningInfo{
		CurrentDeploymentVersion: pb(current), RampingDeploymentVersion: pb(ramping), RampingVersionPercentage: percent,
	}}
	for _, v := range pollers {
		p := &taskqueue.PollerInfo{Identity: "w-" + v.BuildID, LastAccessTime: timestamppb.New(time.Unix(1e9, 0))}
		// An unversioned worker may name its build, too.
		p.DeploymentOptions = &deploymentpb.WorkerDeploymentOptions{WorkerVersioningMode: enums.WORKER_VERSIONING_MODE_UNVERSIONED, BuildId: "x"}
		if !v.IsZero() {
			p.DeploymentOptions = &deploymentpb.WorkerDeploymentOptions{
				WorkerVersioningMode: enums.WORKER_VERSIONING_MODE_VERSIONED, DeploymentName: v.Name, BuildId: v.BuildID,
			}
		}
		d.Pollers = append(d.Pollers, p)
	}
	return d
}

func TestWhoGetsTheTasks(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		d      *workflowservice.DescribeTaskQueueResponse
		shares map[Version]float32

		promoted Version // elsewhere

		found, remedy string // "" for no problem
	}{
		"an old server": {
			d:      &workflowservice.DescribeTaskQueueResponse{Pollers: []*taskqueue.PollerInfo{{Identity: "w"}}},
			shares: map[Version]float32{unversioned: 100, v1: 0},
		},
		"nobody": {d: answer(v1, unversioned, 0), shares: map[Version]float32{v1: 100, unversioned: 0}},
		"promoted": {
			d:      answer(v1, unversioned, 0, v1, v1, v2),
			shares: map[Version]float32{v1: 100, v2: 0, unversioned: 0},
		},
		"never promoted": {
			d:      answer(unversioned, unversioned, 0, v1),
			shares: map[Version]float32{unversioned: 100, v1: 0},
			found:  "its tasks go to workers without a deployment, and none of those polls it, only build v1 of deployment okta",
			remedy: "`starter deployment promote okta v1`, or start a worker without --deployment",
		},
		"promoted, but not on this queue": {
			d:        answer(unversioned, unversioned, 0, v1),
			promoted: v2,
			shares:   map[Version]float32{unversioned: 100, v1: 0},
			found:    "its tasks go to workers without a deployment, and none of those polls it, only build v1 of deployment okta",
			remedy:   "start a worker with --deployment okta --build-id v2, the current build, on this queue, or start a worker without --deployment",
		},
		"the current one has gone": {
			d:      answer(v1, unversioned, 0, v2),
			shares: map[Version]float32{v1: 100, v2: 0},
			found:  "its tasks go to build v1 of deployment okta, and none of those polls it, only build v2 of deployment okta",
			remedy: "`starter deployment promote okta v2`, or start a worker with --deployment okta --build-id v1",
		},
		"only workers without a deployment": {
			d:      answer(v1, unversioned, 0, unversioned),
			shares: map[Version]float32{v1: 100, unversioned: 0},
			found:  "only workers without a deployment",
			remedy: "`starter deployment promote okta --unversioned`, or start a worker with --deployment okta --build-id v1",
		},
		"ramp": {
			d:      answer(v1, v2, 20, v1, v2),
			shares: map[Version]float32{v1: 80, v2: 20, unversioned: 0},
		},
		"ramp to nobody": {
			d:      answer(v1, v2, 20, v1),
			shares: map[Version]float32{v1: 80, v2: 20},
			found:  "the tasks of 20 % of the workflows go to build v2 of deployment okta",
			remedy: "`starter deployment promote okta v1` ends the ramp, or start a worker with --deployment okta --build-id v2",
		},
		"ramp to unversioned": {
			d:      answer(v1, unversioned, 100, unversioned),
			shares: map[Version]float32{v1: 0, unversioned: 100},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := Read(tc.d)
			q.Promoted = map[string]Version{"okta": tc.promoted}
			for v, share := range tc.shares {
				require.InDelta(t, share, q.Share(v), 1e-6, v.String())
			}
			found, remedy := q.Problem()
			if tc.found == "" {
				require.Empty(t, found)
				require.Empty(t, remedy)
				return
			}
			require.Contains(t, found, tc.found)
			require.Contains(t, remedy, tc.remedy)
		})
	}
	q := Read(answer(v1, unversioned, 0, v1, v1))
	require.Len(t, q.Pollers[v1], 2)
	require.Equal(t, Poller{"w-v1", time.Unix(1e9, 0).UTC()}, q.Pollers[v1][0])
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	why, yes := Unsupported(serviceerror.NewUnimplemented("unknown method DescribeWorkerDeployment"))
	require.True(t, yes)
	require.Contains(t, why, MinimumServer)
	why, yes = Unsupported(serviceerror.NewPermissionDenied("Worker Deployment Versions are disabled on this namespace.", ""))
	require.True(t, yes)
	require.Contains(t, why, "system.enableDeploymentVersions")
	for _, err := range []error{nil, serviceerror.NewPermissionDenied("not you", ""), serviceerror.NewNotFound("no deployment")} {
		_, yes = Unsupported(err)
		require.False(t, yes)
	}
}
