package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/workflows"
)

// scheduleID is the id of the one Temporal Schedule of a connector.
func scheduleID(connector string) string { return schedulePrefix + connector }

const schedulePrefix = "import-"

// importWorkflowType is how Temporal calls [workflows.ImportWorkflow].
const importWorkflowType = "ImportWorkflow"

// The policies of every schedule (docs/operations.md, "Schedules").
const (
	overlapPolicy = enums.SCHEDULE_OVERLAP_POLICY_SKIP // a tick while an import runs is not made up for
	minCatchUp    = time.Minute
	maxCatchUp    = time.Hour // an import reads all that was missed: one late tick is as good as many
	maxJitter     = 30 * time.Second
	jitterShare   = 10 // of the time between two imports
)

// schedulePlan is the schedule of a connector as this program makes it.
type schedulePlan struct {
	connector string
	taskQueue string
	cadence   workflows.Cadence // in one spelling, so that equal ones are equal
	every     time.Duration     // 0: none
	slot      *activities.Slot  // nil: none

	// Of one that is created; one that is there stays as it is.
	paused bool
	note   string
}

// newSchedulePlan checks a cadence. Its errors are about the command line.
func newSchedulePlan(connector, taskQueue string, cadence workflows.Cadence) (schedulePlan, error) {
	p := schedulePlan{connector: connector, taskQueue: taskQueue}
	if cadence.Every == "" && cadence.Reconcile == "" {
		return p, usagef("say when to import: --every 15m, and --reconcile \"Sun 02:00\" for the weekly walk of the whole org")
	}
	if cadence.Timezone != "" && cadence.Reconcile == "" {
		return p, usagef("--timezone is the zone of --reconcile: give both or neither")
	}
	var err error
	if p.every, err = cadence.Interval(); err != nil {
		return p, usagef("--every: %w", err)
	}
	if p.every%time.Second != 0 {
		return p, usagef("--every %s: want whole seconds, which is what Temporal's schedules count in", cadence.Every)
	}
	if p.slot, err = cadence.Slot(); err != nil {
		if _, zoneErr := (workflows.Cadence{Timezone: cadence.Timezone}).Slot(); zoneErr != nil {
			return p, usagef("--timezone: %w", err)
		}
		return p, usagef("--reconcile: %w", err)
	}
	p.cadence = workflows.Cadence{Every: shortDuration(p.every)}
	if p.slot != nil {
		p.cadence.Reconcile = slotText(p.slot.Day, p.slot.Hour, p.slot.Minute)
		p.cadence.Timezone = p.slot.Zone.String()
	}
	return p, nil
}

func slotText(day time.Weekday, hour, minute int) string {
	return fmt.Sprintf("%s %02d:%02d", day.String()[:3], hour, minute)
}

// shortDuration writes 15m for 15m0s; "" for zero.
func shortDuration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// catchUp is how late a missed tick may still be made up for.
func (p schedulePlan) catchUp() time.Duration {
	if p.every == 0 {
		return maxCatchUp
	}
	return min(max(p.every, minCatchUp), maxCatchUp)
}

// jitter spreads the ticks of many connectors.
func (p schedulePlan) jitter() time.Duration {
	if p.every == 0 {
		return maxJitter
	}
	return min(p.every/jitterShare, maxJitter)
}

func (p schedulePlan) input() workflows.ImportInput {
	return workflows.ImportInput{Connector: p.connector, Mode: workflows.Auto, Cadence: &p.cadence}
}

func (p schedulePlan) spec() client.ScheduleSpec {
	s := client.ScheduleSpec{Jitter: p.jitter(), TimeZoneName: "UTC"}
	if p.every > 0 {
		s.Intervals = []client.ScheduleIntervalSpec{{Every: p.every}}
	}
	if p.slot != nil {
		at := func(n int) []client.ScheduleRange { return []client.ScheduleRange{{Start: n}} }
		s.TimeZoneName = p.slot.Zone.String()
		s.Calendars = []client.ScheduleCalendarSpec{{
			DayOfWeek: at(int(p.slot.Day)), Hour: at(p.slot.Hour), Minute: at(p.slot.Minute), Comment: "the weekly reconcile",
		}}
	}
	return s
}

func (p schedulePlan) action(attributes bool) *client.ScheduleWorkflowAction {
	a := &client.ScheduleWorkflowAction{
		ID:            schedulePrefix + p.connector + "-auto", // Temporal appends the time
		Workflow:      workflows.ImportWorkflow,
		Args:          []any{p.input()},
		TaskQueue:     p.taskQueue,
		StaticSummary: "Scheduled import of " + p.connector,
	}
	if attributes {
		a.TypedSearchAttributes = searchAttributes(p.connector, workflows.Auto)
	}
	return a
}

// traits are what makes a schedule what it is, in words: two schedules with the same
// traits are the same.
func (p schedulePlan) traits(attributes bool, payloads *codec.Codec) []field {
	return traitsOf(p.spec(), client.SchedulePolicies{Overlap: overlapPolicy, CatchupWindow: p.catchUp()}, p.action(attributes),
		importWorkflowType, p.input(), payloads.KeyID())
}

// storedTraits are those of a schedule as Temporal has it.
func storedTraits(d *client.ScheduleDescription, payloads *codec.Codec) []field {
	spec, policy, action := partsOf(d)
	in, err := inputOf(d, payloads)
	if err != nil {
		in.Connector = "(not readable)"
	}
	name, _ := action.Workflow.(string)
	var key string
	if len(action.Args) > 0 {
		p, _ := action.Args[0].(*common.Payload)
		key = codec.KeyOf(p)
	}
	return traitsOf(spec, policy, action, name, in, key)
}

// partsOf returns the parts of a schedule, zero where it has none.
func partsOf(d *client.ScheduleDescription) (client.ScheduleSpec, client.SchedulePolicies, *client.ScheduleWorkflowAction) {
	var spec client.ScheduleSpec
	if d.Schedule.Spec != nil {
		spec = *d.Schedule.Spec
	}
	var policy client.SchedulePolicies
	if d.Schedule.Policy != nil {
		policy = *d.Schedule.Policy
	}
	action, ok := d.Schedule.Action.(*client.ScheduleWorkflowAction)
	if !ok || action == nil {
		action = &client.ScheduleWorkflowAction{}
	}
	return spec, policy, action
}

func traitsOf(spec client.ScheduleSpec, policy client.SchedulePolicies, a *client.ScheduleWorkflowAction,
	workflow string, in workflows.ImportInput, key string,
) []field {
	overlap := policy.Overlap
	if overlap == enums.SCHEDULE_OVERLAP_POLICY_UNSPECIFIED {
		overlap = enums.SCHEDULE_OVERLAP_POLICY_SKIP // the server's default
	}
	attributes := "none"
	if a.TypedSearchAttributes.Size()+len(a.UntypedSearchAttributes) > 0 {
		attributes = "set"
	}
	text, err := json.Marshal(in)
	if err != nil {
		text = nil // it always marshals
	}
	return []field{
		{"every", intervalText(spec)},
		{"reconcile", calendarText(spec)},
		{"overlap policy", overlap.String()},
		{"catch-up window", policy.CatchupWindow.String()},
		{"jitter", spec.Jitter.String()},
		{"task queue", a.TaskQueue},
		{"workflow", workflow + " " + a.ID},
		{"search attributes", attributes},
		{"payloads", payloadsText(key)},
		{traitInput, string(text)},
	}
}

// payloadsText says what a schedule's payloads are encrypted with: applied again, the
// schedule takes the active key, so that an older one can be removed.
func payloadsText(key string) string {
	if key == "" {
		return "plain"
	}
	return "encrypted with key " + key
}

// traitInput repeats the cadence, for the workflow.
const traitInput = "input"

func intervalText(s client.ScheduleSpec) string {
	if len(s.Intervals) == 0 {
		return "none"
	}
	texts := make([]string, len(s.Intervals))
	for i, v := range s.Intervals {
		texts[i] = shortDuration(v.Every)
		if v.Offset != 0 {
			texts[i] += " offset " + shortDuration(v.Offset)
		}
	}
	return strings.Join(texts, ", ")
}

func calendarText(s client.ScheduleSpec) string {
	if len(s.Calendars) == 0 {
		return "none"
	}
	zone := s.TimeZoneName
	if zone == "" {
		zone = "UTC"
	}
	texts := make([]string, len(s.Calendars))
	for i, v := range s.Calendars {
		day, dayOK := single(v.DayOfWeek)
		hour, hourOK := single(v.Hour)
		minute, minuteOK := single(v.Minute)
		second, secondOK := single(v.Second)
		if !dayOK || !hourOK || !minuteOK || !secondOK || second != 0 {
			texts[i] = fmt.Sprintf("%v %v:%v", v.DayOfWeek, v.Hour, v.Minute) // somebody else's
			continue
		}
		texts[i] = slotText(time.Weekday(day%7), hour, minute)
	}
	return strings.Join(texts, ", ") + " " + zone
}

// single is the one value of a list of ranges; of none it is 0, as for Temporal.
func single(ranges []client.ScheduleRange) (int, bool) {
	switch {
	case len(ranges) == 0:
		return 0, true
	case len(ranges) > 1 || ranges[0].End > ranges[0].Start:
		return 0, false
	}
	return ranges[0].Start, true
}

// inputOf reads what a schedule gives its workflow.
func inputOf(d *client.ScheduleDescription, payloads *codec.Codec) (workflows.ImportInput, error) {
	var in workflows.ImportInput
	_, _, action := partsOf(d)
	if len(action.Args) == 0 {
		return in, errors.New("it starts a workflow without an input")
	}
	p, ok := action.Args[0].(*common.Payload)
	if !ok {
		return in, fmt.Errorf("its input is a %T", action.Args[0])
	}
	err := payloads.DataConverter().FromPayload(p, &in)
	return in, err
}

// cadenceOf is the cadence of a connector's schedule, nil when it has none.
func (c *cli) cadenceOf(ctx context.Context, t temporalClient, connector string) (*workflows.Cadence, error) {
	payloads, err := c.payloads()
	if err != nil {
		return nil, err
	}
	d, err := t.ScheduleClient().GetHandle(ctx, scheduleID(connector)).Describe(ctx)
	if noSchedule(err) {
		return nil, nil
	}
	if err != nil {
		return nil, scheduleError("read", connector, err)
	}
	in, err := inputOf(d, payloads)
	if err != nil {
		return nil, fmt.Errorf("the schedule of connector %s cannot be read (%w): apply it again with 'starter schedule apply', or say --mode", connector, err)
	}
	return in.Cadence, nil
}

func noSchedule(err error) bool {
	_, ok := errors.AsType[*serviceerror.NotFound](err)
	return ok
}

// noScheduleError says that a connector is not imported on a schedule, or that there is no
// such connector: Temporal does not know.
type noScheduleError struct{ connector string }

func (e *noScheduleError) Error() string {
	return fmt.Sprintf("connector %s has no schedule: make one with 'starter schedule apply %[1]s --every 15m --reconcile \"Sun 02:00\"'", e.connector)
}

// scheduleError says what failed and what helps.
func scheduleError(verb, connector string, err error) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("%s the schedule of connector %s", verb, connector)
	if noSchedule(err) {
		return &noScheduleError{connector}
	}
	remedy := remedyFor(err)
	if remedy == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w; %s", what, err, remedy)
}

// remedyFor is what helps against an error of Temporal, "" when nothing is known.
func remedyFor(err error) string {
	var (
		noNamespace *serviceerror.NamespaceNotFound
		denied      *serviceerror.PermissionDenied
		unknown     *serviceerror.Unimplemented
		busy        *serviceerror.ResourceExhausted
	)
	switch {
	case errors.As(err, &noNamespace):
		return "is TEMPORAL_NAMESPACE right?"
	case errors.As(err, &denied):
		return "these credentials (TEMPORAL_API_KEY or the client certificate) may not manage schedules of this namespace"
	case errors.As(err, &unknown):
		return "this Temporal server knows no schedules: it needs release 1.18 or later"
	case errors.As(err, &busy):
		return "Temporal is busy: try again in a minute"
	case outage(err):
		return "Temporal does not answer: is it up? Try again"
	case errors.Is(err, temporal.ErrScheduleAlreadyRunning):
		return "somebody else makes it just now: try again"
	default:
		return ""
	}
}
