package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/internal/deployment"
)

var (
	unversioned = deployment.Version{}
	v1          = deployment.Version{Name: "okta", BuildID: "v1"}
	v2          = deployment.Version{Name: "okta", BuildID: "v2"}
)

func TestDeploymentOptions(t *testing.T) {
	t.Parallel()
	require.Zero(t, deploymentOptions(unversioned), "off by default")
	o := deploymentOptions(v1)
	require.True(t, o.UseVersioning)
	require.Equal(t, "okta", o.Version.DeploymentName)
	require.Equal(t, "v1", o.Version.BuildID)
	require.Equal(t, workflow.VersioningBehaviorAutoUpgrade, o.DefaultVersioningBehavior)
}

// routes is what Temporal answers about the task queue.
type routes struct {
	mu  sync.Mutex
	q   deployment.Queue
	err error
}

func (r *routes) set(q deployment.Queue, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.q, r.err = q, err
}

func (r *routes) ask() (deployment.Queue, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.q, r.err
}

// watched runs a watch in a bubble of synctest; ask is Temporal's answer.
func watched(t *testing.T, own deployment.Version, ask func() (deployment.Queue, error)) (logs *observer.ObservedLogs, h *health) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	h = &health{}
	w := &shareWatch{own: own, tell: h.setVersioning, logger: zap.New(core), ask: func(ctx context.Context) (deployment.Queue, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			return deployment.Queue{}, errors.New("this question needs a time limit")
		}
		return ask()
	}}
	ctx, cancel := context.WithCancel(t.Context())
	go w.run(ctx)
	t.Cleanup(cancel)
	synctest.Wait()
	return logs, h
}

func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestShareOfAVersion follows a new build from its start to its end.
func TestShareOfAVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r routes
		logs, h := watched(t, v1, r.ask)
		newest := func(level zapcore.Level, message string, state string) {
			t.Helper()
			all := logs.TakeAll()
			require.Len(t, all, 1)
			require.Equal(t, level, all[0].Level)
			require.Contains(t, all[0].Message, message)
			parts, _ := h.check(t.Context())
			require.Equal(t, state, parts["versioning"])
		}
		all := logs.All()
		require.Len(t, all, 1)
		require.Equal(t, "`starter deployment promote okta v1`", all[0].ContextMap()["remedy"])
		require.Equal(t, "workers without a deployment", all[0].ContextMap()["current"])
		newest(zap.WarnLevel, "gets no work", "build v1 of deployment okta: gets no work, it goes to workers without a deployment")
		later(remindEvery / 2)
		require.Zero(t, logs.Len(), "it is said once")
		later(remindEvery / 2)
		newest(zap.WarnLevel, "gets no work", "build v1 of deployment okta: gets no work, it goes to workers without a deployment")

		r.set(deployment.Queue{Ramping: v1, Percent: 20}, nil)
		later(watchEvery)
		newest(zap.InfoLevel, "gets work", "build v1 of deployment okta: gets the work of 20 % of the workflows")
		r.set(deployment.Queue{Current: v1}, nil)
		later(watchEvery)
		newest(zap.InfoLevel, "gets work", "build v1 of deployment okta: gets the work")
		r.set(deployment.Queue{}, serviceerror.NewUnavailable("away"))
		later(time.Hour)
		require.Zero(t, logs.Len(), "an outage says nothing")
		r.set(deployment.Queue{Current: v2}, nil)
		later(watchEvery)
		newest(zap.InfoLevel, "no more new work", "build v1 of deployment okta: gets no work, it goes to build v2 of deployment okta")
		later(time.Hour)
		require.Zero(t, logs.Len(), "an old build does not complain")
	})
}

// TestShareWithoutADeployment has a worker that is not versioned.
func TestShareWithoutADeployment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r routes
		logs, h := watched(t, unversioned, r.ask)
		later(time.Hour)
		require.Zero(t, logs.Len(), "nothing is new where there are no deployments")
		parts, _ := h.check(t.Context())
		require.NotContains(t, parts, "versioning")
		r.set(deployment.Queue{Current: v1}, nil)
		later(watchEvery)
		require.Equal(t, 1, logs.FilterMessageSnippet("no more new work").Len())
		r.set(deployment.Queue{}, nil)
		later(watchEvery)
		require.Equal(t, 1, logs.FilterMessageSnippet("gets work").Len())
	})
	synctest.Test(t, func(t *testing.T) {
		logs, _ := watched(t, unversioned, func() (deployment.Queue, error) { return deployment.Queue{Current: v1}, nil })
		all := logs.FilterMessageSnippet("gets no work").All()
		require.Len(t, all, 1)
		require.Equal(t, "start it with --deployment okta, or give the work to workers without a deployment: `starter deployment promote okta --unversioned`",
			all[0].ContextMap()["remedy"])
	})
}

func TestShareThatNobodyMayKnow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		logs, _ := watched(t, v1, func() (deployment.Queue, error) {
			return deployment.Queue{}, serviceerror.NewPermissionDenied("not you", "")
		})
		later(time.Hour)
		require.Equal(t, 1, logs.Len())
		require.Contains(t, logs.All()[0].Message, "Not known")
	})
}

// TestAVersionWithoutWorkIsReady: it has to be before somebody promotes it.
func TestAVersionWithoutWorkIsReady(t *testing.T) {
	t.Parallel()
	h := &health{}
	reachable := func(context.Context) error { return nil }
	h.setDatabase(reachable)
	h.setTemporal(reachable)
	h.started()
	h.setVersioning("build v1 of deployment okta: gets no work")
	w := httptest.NewRecorder()
	h.ready(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", http.NoBody))
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), `"versioning":"build v1 of deployment okta: gets no work"`)
}

// server is a Temporal that knows no worker deployments, or as much as answer says.
type server struct {
	workflowservice.UnimplementedWorkflowServiceServer

	answer error // nil: Unimplemented, as a server from before them
}

func (s *server) DescribeWorkerDeployment(ctx context.Context, r *workflowservice.DescribeWorkerDeploymentRequest) (*workflowservice.DescribeWorkerDeploymentResponse, error) {
	if s.answer == nil {
		return s.UnimplementedWorkflowServiceServer.DescribeWorkerDeployment(ctx, r)
	}
	return nil, s.answer
}

// TestAServerWithoutDeployments: a versioned worker would poll it in vain, and does not
// start.
func TestAServerWithoutDeployments(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer error
		own    deployment.Version
		want   string
	}{
		"too old":            {nil, v1, "--deployment okta: this Temporal server knows no worker deployments"},
		"turned off":         {status.Error(codes.PermissionDenied, "Worker Deployment Versions are disabled on this namespace."), v1, "turned off in this namespace"},
		"not versioned":      {nil, unversioned, ""},
		"new deployment":     {status.Error(codes.NotFound, "no Worker Deployment found"), v1, ""},
		"may not be asked":   {status.Error(codes.PermissionDenied, "not you"), v1, ""},
		"broken for a while": {status.Error(codes.Internal, "broken"), v1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			g := grpc.NewServer()
			workflowservice.RegisterWorkflowServiceServer(g, &server{answer: tc.answer})
			go g.Serve(l) //nolint:errcheck // it ends with the test
			t.Cleanup(g.Stop)
			c, err := client.NewLazyClient(client.Options{HostPort: l.Addr().String(), Logger: app.TemporalLogger(zap.NewNop())})
			require.NoError(t, err)
			t.Cleanup(c.Close)
			err = checkDeployments(t.Context(), c, tc.own)
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, "start the worker without a deployment")
		})
	}
}
