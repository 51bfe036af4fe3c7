package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/preflight"
	"github.com/identitymesh/okta-connector/workflows"
)

// The steps about Temporal.
const (
	stepTemporal   preflight.ID = "temporal"
	stepWorker     preflight.ID = "worker"
	stepAttributes preflight.ID = "search-attributes"
	stepSchedule   preflight.ID = "schedule"
)

// temporalTimeout limits each question to Temporal.
const temporalTimeout = 5 * time.Second

// checkTemporal looks whether a run would be taken up. It starts nothing.
func (c *cli) checkTemporal(ctx context.Context, name, queue string) []preflight.Step {
	temporal := preflight.Step{ID: stepTemporal, Name: "Temporal", Result: preflight.OK}
	worker := preflight.Step{ID: stepWorker, Name: "Worker"}
	attributes := preflight.Step{ID: stepAttributes, Name: "Search attributes"}
	schedule := preflight.Step{ID: stepSchedule, Name: "Schedule"}
	err := c.withTemporal(ctx, "", func(t temporalClient) error {
		if err := c.checkWorker(ctx, t, queue, &worker); err != nil {
			return err
		}
		temporal.Found = "reachable, the namespace exists"
		checkAttributes(ctx, t, &attributes)
		c.checkSchedule(ctx, t, name, queue, &schedule)
		return nil
	})
	if err != nil {
		temporal.Result, temporal.Found = preflight.Failed, oneLine(err.Error())
		temporal.Advice = "set TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE as for the worker; --no-temporal leaves this out"
		if _, ok := errors.AsType[*serviceerror.NamespaceNotFound](err); ok {
			temporal.Advice = "make the namespace, or set TEMPORAL_NAMESPACE to the worker's; --no-temporal leaves this out"
		}
		for _, s := range []*preflight.Step{&worker, &attributes, &schedule} {
			s.Result, s.Found = preflight.Skipped, "not looked at: Temporal comes first"
		}
	}
	return []preflight.Step{temporal, worker, attributes, schedule}
}

// checkWorker also finds out whether the namespace exists.
func (c *cli) checkWorker(ctx context.Context, t temporalClient, queue string, s *preflight.Step) error {
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	idle := []string{}
	for _, kind := range []struct {
		name string
		kind enums.TaskQueueType
	}{{"workflows", enums.TASK_QUEUE_TYPE_WORKFLOW}, {"activities", enums.TASK_QUEUE_TYPE_ACTIVITY}} {
		d, err := t.DescribeTaskQueue(ctx, queue, kind.kind)
		if err != nil {
			return err
		}
		q := readQueue(ctx, t, d)
		if len(q.Pollers) == 0 {
			idle = append(idle, kind.name)
		}
		if found, remedy := q.Problem(); found != "" {
			s.Result, s.Found = preflight.Failed, fmt.Sprintf("workers poll task queue %q for %s and do not get its work: %s", queue, kind.name, found)
			s.Advice = "a run would wait: " + remedy
			return nil
		}
	}
	if len(idle) > 0 {
		s.Result, s.Found = preflight.Failed, fmt.Sprintf("nobody polls task queue %q for %s", queue, strings.Join(idle, " and "))
		s.Advice = "a run would wait. " + c.startAWorker(queue)
		return nil
	}
	s.Result, s.Found = preflight.OK, fmt.Sprintf("polls task queue %q", queue)
	return nil
}

// checkAttributes asks for runs by each attribute: Temporal refuses a query for one that is
// not registered, on every kind of server.
func checkAttributes(ctx context.Context, t temporalClient, s *preflight.Step) {
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	var missing []string
	for _, name := range []string{workflows.ConnectorAttribute.GetName(), workflows.ModeAttribute.GetName(), workflows.OutcomeAttribute.GetName()} {
		_, err := t.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1, Query: name + " = 'check'"})
		switch {
		case attributesRefused(err):
			missing = append(missing, name)
		case err != nil:
			s.Result, s.Found = preflight.Warning, "not known: "+oneLine(err.Error())
			s.Advice = "this credential may not list runs; runs go without the attributes that are missing"
			return
		}
	}
	if len(missing) == 0 {
		s.Result, s.Found = preflight.OK, "registered"
		return
	}
	s.Result, s.Found = preflight.Warning, strings.Join(missing, ", ")+" not registered"
	s.Advice = "runs go without them; to find runs by connector in the Web UI: temporal operator search-attribute create --name " +
		strings.Join(missing, " --type Keyword --name ") + " --type Keyword"
}

func (c *cli) checkSchedule(ctx context.Context, t temporalClient, name, queue string, s *preflight.Step) {
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	s.Result = preflight.OK
	d, err := t.ScheduleClient().GetHandle(ctx, scheduleID(name)).Describe(ctx)
	switch {
	case noSchedule(err):
		s.Found = fmt.Sprintf("none: imports run when somebody starts them; make one with `starter schedule apply %s --every 15m`", name)
	case err != nil:
		s.Result, s.Found = preflight.Warning, "not known: "+oneLine(err.Error())
	case queueOfSchedule(d) != queue:
		s.Result, s.Found = preflight.Warning, fmt.Sprintf("starts imports on task queue %q, and the connector is imported on %q", queueOfSchedule(d), queue)
		s.Advice = fmt.Sprintf("`starter schedule apply %s` with its cadence, which `starter schedule show %[1]s` shows; is IDENTITYMESH_TASK_QUEUE set here as for the worker?", name)
	case d.Schedule.State != nil && d.Schedule.State.Paused:
		s.Result, s.Found = preflight.Warning, "paused: "+orDash(oneLine(d.Schedule.State.Note))
		s.Advice = fmt.Sprintf("`starter schedule resume %s`", name)
	case len(d.Info.NextActionTimes) > 0:
		s.Found = "the next run is at " + stamp(d.Info.NextActionTimes[0])
	default:
		s.Found = scheduleID(name)
	}
	if err != nil {
		return
	}
	lost, err := c.lostRun(ctx, t, name, d)
	if err != nil || lost == nil {
		return // what cannot be asked is nothing to warn of
	}
	s.Result, s.Found = preflight.Warning, fmt.Sprintf("Temporal completed run %s of %s, which this database knows nothing of", lost.StartWorkflowResult.FirstExecutionRunID, stamp(lost.ActualTime))
	s.Advice = "was the database restored from a backup? Then say so with `starter restored --all`. Or is it another one than the worker's (" + app.EnvDB + ")?"
}

// lostRun is an import that Temporal knows to have completed and whose row the database does
// not have, although none is removed at that age; nil without one. A completed import always
// has a row: the database was put back to an earlier state, or is another one.
func (c *cli) lostRun(ctx context.Context, t temporalClient, name string, d *client.ScheduleDescription) (lost *client.ScheduleActionResult, err error) {
	if i, err := c.inspectStore(ctx); err != nil || !i.Exists {
		return nil, err
	}
	err = c.withStore(ctx, func(store mesh.Store) error {
		state, err := store.ReadState(ctx, name)
		if err != nil {
			return err
		}
		for _, a := range slices.Backward(d.Info.RecentActions) {
			if a.StartWorkflowResult == nil || a.ActualTime.Before(state.RestoredAt) || a.ActualTime.Before(c.now().Add(-mesh.MinRunAge)) {
				continue
			}
			r := a.StartWorkflowResult
			if _, err := store.Run(ctx, r.FirstExecutionRunID); err == nil {
				continue
			} else if _, unknown := errors.AsType[*mesh.NotFoundError](err); !unknown {
				return err
			}
			w, err := t.DescribeWorkflowExecution(ctx, r.WorkflowID, r.FirstExecutionRunID)
			if err != nil {
				return err
			}
			if w.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
				lost = &a
				return nil
			}
		}
		return nil
	})
	return lost, err
}

func queueOfSchedule(d *client.ScheduleDescription) string {
	_, _, action := partsOf(d)
	return action.TaskQueue
}
