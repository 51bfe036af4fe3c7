package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// fakeSchedules is the schedules of a Temporal. They come back as a server returns
// them: the workflow by name, its input encoded, the calendar's fields filled in.
type fakeSchedules struct {
	b         *bench
	all       map[string]*client.ScheduleDescription
	createErr []error // of the calls in turn; then none
	err       error   // of everything on a handle
	updates   int
	triggered int
	backfills []client.ScheduleBackfill
	memo      map[string]any
}

func (f *fakeSchedules) Create(ctx context.Context, o client.ScheduleOptions) (client.ScheduleHandle, error) {
	if len(f.createErr) > 0 {
		err := f.createErr[0]
		f.createErr = f.createErr[1:]
		if err != nil {
			return nil, err
		}
	}
	if f.all[o.ID] != nil {
		return nil, temporal.ErrScheduleAlreadyRunning
	}
	if f.all == nil {
		f.all = map[string]*client.ScheduleDescription{}
	}
	f.memo = o.Memo
	f.all[o.ID] = &client.ScheduleDescription{
		Schedule: client.Schedule{
			Spec: served(o.Spec), Action: servedAction(f.b, o.Action),
			Policy: &client.SchedulePolicies{Overlap: o.Overlap, CatchupWindow: o.CatchupWindow},
			State:  &client.ScheduleState{Note: o.Note, Paused: o.Paused},
		},
		Info: client.ScheduleInfo{CreatedAt: f.b.now, NextActionTimes: []time.Time{f.b.now.Add(time.Minute), f.b.now.Add(2 * time.Minute)}},
	}
	return f.GetHandle(ctx, o.ID), nil
}

func served(s client.ScheduleSpec) *client.ScheduleSpec {
	s.Calendars = slices.Clone(s.Calendars)
	for i := range s.Calendars {
		c := &s.Calendars[i]
		c.Second = []client.ScheduleRange{{Start: 0, End: 0, Step: 1}}
		c.DayOfMonth = []client.ScheduleRange{{Start: 1, End: 31, Step: 1}}
		c.Month = []client.ScheduleRange{{Start: 1, End: 12, Step: 1}}
		for _, list := range []*[]client.ScheduleRange{&c.Minute, &c.Hour, &c.DayOfWeek} {
			*list = []client.ScheduleRange{{Start: (*list)[0].Start, End: (*list)[0].Start, Step: 1}}
		}
	}
	return &s
}

func servedAction(b *bench, action client.ScheduleAction) client.ScheduleAction {
	a := *action.(*client.ScheduleWorkflowAction)
	a.Workflow = importWorkflowType
	p, err := b.payloads.DataConverter().ToPayload(a.Args[0])
	if err != nil {
		panic(err)
	}
	a.Args = []any{p}
	a.UntypedSearchAttributes = map[string]*common.Payload{}
	return &a
}

func (f *fakeSchedules) List(context.Context, client.ScheduleListOptions) (client.ScheduleListIterator, error) {
	return &fakeScheduleList{slices.Sorted(maps.Keys(f.all))}, nil
}

type fakeScheduleList struct{ ids []string }

func (l *fakeScheduleList) HasNext() bool { return len(l.ids) > 0 }

func (l *fakeScheduleList) Next() (*client.ScheduleListEntry, error) {
	e := &client.ScheduleListEntry{ID: l.ids[0]}
	e.WorkflowType.Name = importWorkflowType
	l.ids = l.ids[1:]
	return e, nil
}

func (f *fakeSchedules) GetHandle(_ context.Context, id string) client.ScheduleHandle {
	return fakeSchedule{f, id}
}

type fakeSchedule struct {
	f  *fakeSchedules
	id string
}

func (s fakeSchedule) GetID() string { return s.id }

func (s fakeSchedule) Describe(context.Context) (*client.ScheduleDescription, error) {
	if s.f.err != nil {
		return nil, s.f.err
	}
	d := s.f.all[s.id]
	if d == nil {
		return nil, serviceerror.NewNotFound("schedule not found")
	}
	return d, nil
}

func (s fakeSchedule) Update(ctx context.Context, o client.ScheduleUpdateOptions) error {
	d, err := s.Describe(ctx)
	if err != nil {
		return err
	}
	u, err := o.DoUpdate(client.ScheduleUpdateInput{Description: *d})
	if errors.Is(err, temporal.ErrSkipScheduleUpdate) {
		return nil
	}
	if err != nil {
		return err
	}
	s.f.updates++
	u.Schedule.Spec, u.Schedule.Action = served(*u.Schedule.Spec), servedAction(s.f.b, u.Schedule.Action)
	d.Schedule = *u.Schedule
	return nil
}

func (s fakeSchedule) Delete(ctx context.Context) error {
	_, err := s.Describe(ctx)
	delete(s.f.all, s.id)
	return err
}

func (s fakeSchedule) Backfill(ctx context.Context, o client.ScheduleBackfillOptions) error {
	s.f.backfills = append(s.f.backfills, o.Backfill...)
	_, err := s.Describe(ctx)
	return err
}

func (s fakeSchedule) Trigger(ctx context.Context, _ client.ScheduleTriggerOptions) error {
	s.f.triggered++
	_, err := s.Describe(ctx)
	return err
}

func (s fakeSchedule) Pause(ctx context.Context, o client.SchedulePauseOptions) error {
	return s.setPaused(ctx, true, o.Note)
}

func (s fakeSchedule) Unpause(ctx context.Context, o client.ScheduleUnpauseOptions) error {
	return s.setPaused(ctx, false, o.Note)
}

func (s fakeSchedule) setPaused(ctx context.Context, paused bool, note string) error {
	d, err := s.Describe(ctx)
	if err == nil {
		d.Schedule.State.Paused, d.Schedule.State.Note = paused, note
	}
	return err
}
