package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
)

// reader walks users and groups side by side and reads member lists as soon as the
// first groups are known, all under one cap of calls in flight (design.md §4).
// Everything runs in one coroutine: handOut starts what may start, the selector
// brings back what has ended.
type reader struct {
	*pass
	sel      workflow.Selector
	failure  error
	draining bool // continue-as-new is due: start nothing more

	activities   int // in flight
	timers       int
	users        bool // its activity is in flight
	groups       bool
	lanes        []bool // of member lists, from 1: its activity is in flight
	timerOf      map[*Lane]bool
	cancelTimers workflow.CancelFunc
}

func newReader(r *pass) *reader {
	return &reader{pass: r, timerOf: make(map[*Lane]bool), lanes: make([]bool, r.st.Plan.MaxInFlight+1)}
}

// read returns when everything planned is read, on the first failure, or with
// errContinue; never with an activity in flight.
func (d *reader) read(ctx workflow.Context) error {
	if d.st.Progress.Phase != Reading {
		return nil
	}
	info := workflow.GetInfo(ctx)
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timers, cancelTimers := workflow.WithCancel(ctx)
	d.cancelTimers = cancelTimers
	d.sel = workflow.NewSelector(ctx)
	for {
		if d.failure == nil && !d.draining {
			d.handOut(ctx, timers)
		}
		if d.activities+d.timers == 0 {
			break
		}
		d.sel.Select(ctx)
		d.details(ctx)
		if d.failure != nil {
			cancel() // the others finish the page in hand
		}
		if !d.draining && info.GetContinueAsNewSuggested() {
			d.draining = true
			cancelTimers()
		}
	}
	switch {
	case d.failure != nil:
		return d.failure
	case d.done():
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return errContinue
	}
}

// done says whether everything planned is read.
func (d *reader) done() bool {
	p := &d.st.Progress
	m := &p.Members
	m.Done = !m.Enabled || p.Groups.Done && d.st.Taken >= m.Groups && len(d.st.Open) == 0 && !slices.Contains(d.lanes, true)
	if m.Done {
		m.Read = m.Groups // what a lost worker had read and not told is in it
	}
	return (!p.Users.Enabled || p.Users.Done) && (!p.Groups.Enabled || p.Groups.Done) && p.Members.Done
}

// handOut starts every activity that may start now.
func (d *reader) handOut(ctx, timers workflow.Context) {
	p, most := &d.st.Progress, d.st.Plan.MaxInFlight
	if p.Users.Enabled && !p.Users.Done && !d.users && d.activities < most && d.ready(timers, &d.st.Users) {
		d.walk(ctx, "users", act.ReadUsers, &p.Users, &d.st.Users, &d.users)
	}
	if p.Groups.Enabled && !p.Groups.Done && !d.groups && d.activities < most && d.ready(timers, &d.st.Groups) {
		d.walk(ctx, "groups", act.ReadGroups, &p.Groups, &d.st.Groups, &d.groups)
	}
	for d.st.Plan.ReadsMembers() && d.activities < d.slots() {
		lane := d.nextLane()
		if lane == 0 || !d.ready(timers, &d.st.Members) {
			return
		}
		d.members(ctx, lane)
	}
}

// slots is the cap of calls in flight for members: a list that is still being
// walked, but waits, keeps its place, unless there are hardly any.
func (d *reader) slots() int {
	n := d.st.Plan.MaxInFlight
	if n < fewSlots {
		return n
	}
	if p := d.st.Progress; p.Users.Enabled && !p.Users.Done && !d.users {
		n--
	}
	if p := d.st.Progress; p.Groups.Enabled && !p.Groups.Done && !d.groups {
		n--
	}
	return n
}

// ready says whether a lane may call Okta now; otherwise its timer is running.
func (d *reader) ready(ctx workflow.Context, l *Lane) bool {
	if d.timerOf[l] {
		return false
	}
	wait := l.WaitUntil.Sub(workflow.Now(ctx))
	if l.WaitUntil.IsZero() || wait <= 0 {
		l.WaitUntil = time.Time{}
		return true
	}
	d.timers++
	d.timerOf[l] = true
	d.sel.AddFuture(workflow.NewTimer(ctx, wait), func(f workflow.Future) {
		d.timers--
		d.timerOf[l] = false
		if err := f.Get(ctx, nil); err != nil && !d.draining {
			d.fail(err)
		}
	})
	return false
}

// nextLane is the lane to start next, 0 for none: one that has groups left, else one for
// groups that nobody has taken. The lanes share the groups out among themselves, in the
// mesh: see activities.MembersInput.
func (d *reader) nextLane() int {
	if len(d.st.Open) > 0 {
		return d.st.Open[0]
	}
	free, idle := d.st.Progress.Members.Groups-d.st.Taken, 0
	for lane := len(d.lanes) - 1; lane > 0; lane-- {
		if d.lanes[lane] {
			free-- // it takes one at least
		} else {
			idle = lane
		}
	}
	if free <= 0 {
		return 0
	}
	return idle
}

// walk starts an activity on the user or the group list.
func (d *reader) walk(ctx workflow.Context, name string, activity any, p *StreamProgress, l *Lane, busy *bool) {
	*busy = true
	d.activities++
	pages := walkPages
	if name == "groups" && p.Pages == 0 && d.st.Plan.ReadsMembers() {
		pages = 1 // the lanes begin with what it shows
	}
	f := workflow.ExecuteActivity(options(ctx, reading, fmt.Sprintf("%s, from page %d", name, p.Pages+1)), activity,
		activities.WalkInput{Fence: d.st.Fence, Plan: d.st.Plan, MaxPages: pages})
	d.sel.AddFuture(f, func(f workflow.Future) {
		*busy = false
		d.activities--
		var w activities.WalkResult
		if err := f.Get(ctx, &w); err != nil {
			d.fail(err)
			return
		}
		moved := w.Page > p.Pages
		p.Pages, p.Seen, p.Done, p.Mark = w.Page, w.Seen, w.Done, w.Mark
		if w.TooMany {
			d.readAnew(p)
		}
		if name == "groups" {
			d.st.Progress.Members.Groups = max(d.st.Progress.Members.Groups, w.Queued)
		}
		d.fail(d.spent(ctx, l, w.Cost, moved))
	})
}

// readAnew replaces a search of users that shows only a part: a delta becomes a full
// walk, a filtered full walk one by ranges (design.md §4, "any size").
func (d *reader) readAnew(p *StreamProgress) {
	if d.st.Plan.UsersSince != nil {
		d.st.Plan.UsersSince = nil
		d.st.Progress.Note = "users in full: more have changed than one search shows"
	} else {
		d.st.Plan.UsersInRanges = true
		d.st.Progress.Note = "users by ranges of created: there are more than one search shows"
	}
	d.log.Info("Users are read anew", "why", d.st.Progress.Note)
	*p = StreamProgress{Enabled: true}
}

// members starts an activity on a lane of member lists.
func (d *reader) members(ctx workflow.Context, lane int) {
	d.activities++
	d.lanes[lane] = true
	d.st.Open = slices.DeleteFunc(d.st.Open, func(l int) bool { return l == lane })
	p := &d.st.Progress.Members
	summary := fmt.Sprintf("members, lane %d of %d, after %d of %d groups", lane, d.st.Plan.MaxInFlight, p.Read, p.Groups)
	f := workflow.ExecuteActivity(options(ctx, reading, summary), act.ReadMembers,
		activities.MembersInput{Fence: d.st.Fence, Plan: d.st.Plan, Lane: lane, MaxPages: memberPages})
	d.sel.AddFuture(f, func(f workflow.Future) {
		d.activities--
		d.lanes[lane] = false
		var m activities.MembersResult
		if err := f.Get(ctx, &m); err != nil {
			d.fail(err)
			return
		}
		p.Pages += m.Pages
		p.Seen += m.Seen
		p.Read += m.Groups
		p.Groups = max(p.Groups, m.Queued)
		if m.Done {
			d.st.Taken = max(d.st.Taken, m.Queued)
		} else {
			d.st.Open = append(d.st.Open, lane)
		}
		d.fail(d.spent(ctx, &d.st.Members, m.Cost, m.Pages > 0))
	})
}

// fail keeps the first failure; what is cancelled because of it does not replace it.
func (d *reader) fail(err error) {
	if err != nil && (d.failure == nil || temporal.IsCanceledError(d.failure)) {
		d.failure = err
	}
}

// spent adds an activity's cost to the progress and to its lane's wait. moved says
// that it recorded something.
func (r *pass) spent(ctx workflow.Context, l *Lane, c activities.Cost, moved bool) error {
	p := &r.st.Progress
	p.APICalls += c.APICalls
	p.Waits += c.Waits
	if len(c.Rates) > 0 {
		p.Rates = c.Rates
	}
	if moved {
		l.Waited = 0
	}
	p.WaitUntil = nil
	if c.Wait == 0 {
		return nil
	}
	now := workflow.Now(ctx)
	until := now.Add(c.Wait)
	if from := later(l.WaitUntil, now); until.After(from) { // activities side by side wait for the same thing
		l.Waited += until.Sub(from)
		l.WaitUntil = until
	}
	if l.Waited > maxRateLimitWait {
		return temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("Okta let no page through for %s: spread the connectors' schedules, lower PageSize, or ask Okta for a higher rate limit", l.Waited.Round(time.Second)),
			activities.ErrGaveUp, nil)
	}
	p.WaitUntil = &l.WaitUntil
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
