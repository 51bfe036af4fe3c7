package activities

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
)

// searchCap is how many rows Okta is said to show of one search (facts.md §1): a
// search that returns as many is taken for incomplete.
const searchCap = 50_000

// plan decides what the run reads: everything, or what changed since the watermark
// (design.md §4).
func (a *Activities) plan(ctx context.Context, name string, def *connector.Definition, in BeginInput) (Plan, error) {
	cfg := def.Config
	p := Plan{
		Revision:    revisionOf(def),
		Mode:        in.Mode,
		Users:       cfg.ImportUsers,
		Groups:      cfg.ImportGroups,
		Memberships: cfg.ImportMemberships,
		MaxInFlight: cfg.MaxInFlight,
	}
	hold, err := a.store.Hold(ctx, name, 0)
	if err != nil {
		return p, storeError(err)
	}
	p.HoldOpen = hold != nil
	if p.Mode != ModeApproval {
		if err := a.planUsers(ctx, name, def, &p); err != nil {
			return p, err
		}
	}
	if p.Mode == ModeFull {
		return p, nil
	}
	state, err := a.store.ReadState(ctx, name)
	if err != nil {
		return p, storeError(err)
	}
	changed := connector.ChangedSince(state.ReadAs, def)
	if p.Mode == ModeApproval {
		if state.Unhealed {
			return p, permanentf(ErrRestored, "the mesh database was restored from a backup since these deletes of connector %q were held: run a Full, which decides anew", in.Connector)
		}
		if len(changed) > 0 {
			return p, permanentf(ErrDefinition, "the definition of connector %q has changed since its deletes were held (%s): run a Full, which decides anew", in.Connector, strings.Join(changed, ", "))
		}
		if hold != nil && (!p.Users && hold.Deletes[mesh.User] > 0 || !p.Groups && hold.Deletes[mesh.Group] > 0 || !p.Memberships && hold.Deletes[mesh.GroupMember] > 0) {
			return p, permanentf(ErrDefinition, "connector %q no longer imports what its held deletes are about: turn the pass on again, or reject the deletes", in.Connector)
		}
		return p, nil
	}
	if state.Unhealed {
		p.Mode, p.Note = ModeFull, "in full: the mesh database was restored from a backup ("+state.RestoredAt.UTC().Format(time.RFC3339)+")"
		return p, nil
	}
	text, err := a.store.RawWatermark(ctx, name)
	if err != nil {
		return p, storeError(err)
	}
	w, err := mesh.ParseWatermark(text)
	if err != nil {
		return p, permanentf(ErrWatermark, "connector %q: %v", in.Connector, err)
	}
	if len(changed) > 0 {
		p.Mode, p.Note = ModeFull, "in full: the definition changed ("+strings.Join(changed, ", ")+")"
		return p, nil
	}
	if p.Mode == ModeAuto {
		due, why, err := a.reconcileDue(ctx, in)
		if err != nil {
			return p, err
		}
		if due {
			p.Mode, p.Note = ModeFull, why
			return p, nil
		}
	}
	p.Mode = ModeDelta
	p.since(w)
	p.probe()
	return p, nil
}

// since sets what a delta reads from. A type without a mark is walked in full; when
// none has one, the run is a Full.
func (p *Plan) since(w mesh.Watermark) {
	if w != (mesh.Watermark{}) {
		p.Watermark = &w
	}
	if w.Users != nil {
		p.UsersSince = &w.Users.Time
	}
	if w.Groups != nil {
		p.GroupsSince = &w.Groups.Time
	}
	users, groups := p.ReadsUsers() && p.UsersSince == nil, p.ReadsGroups() && p.GroupsSince == nil
	switch {
	case (users || !p.ReadsUsers()) && (groups || !p.ReadsGroups()):
		p.Mode, p.Note = ModeFull, "in full: there is no watermark"
	case users:
		p.Note = `users in full: the watermark has no "u"`
	case groups:
		p.Note = `groups in full: the watermark has no "g"`
	}
}

// probe chooses the type whose mark is the older one. A delta makes one such call at
// most, so that the types take turns; the mark of one that showed nothing and was not
// probed does not move, and nothing is skipped (design.md §4, "empty is never success").
func (p *Plan) probe() {
	users, groups := p.ReadsUsers() && p.UsersSince != nil, p.ReadsGroups() && p.GroupsSince != nil
	switch {
	case users && (!groups || !p.UsersSince.After(*p.GroupsSince)):
		p.Probe = mesh.User
	case groups:
		p.Probe = mesh.Group
	}
}

// planUsers has a filtered user list read by ranges when one search is not likely to
// show it whole.
func (a *Activities) planUsers(ctx context.Context, name string, def *connector.Definition, p *Plan) error {
	if !p.Users || def.Config.UserSearchFilter == nil {
		return nil
	}
	live, err := a.store.LiveCounts(ctx, name)
	if err != nil {
		return storeError(err)
	}
	p.UsersInRanges = live[mesh.User] >= a.searchCap*9/10
	return nil
}

// Retries of a reconcile that failed are spread out: after 1, 2, 4 … ticks of the
// schedule, and at least once a day (design.md §4).
const (
	defaultTick    = 15 * time.Minute
	longestBackoff = 24 * time.Hour
)

// reconcileDue says whether no Full has satisfied the last weekly slot. A dry run, too,
// asks for the runs of the connector itself: its copy has none.
func (a *Activities) reconcileDue(ctx context.Context, in BeginInput) (due bool, why string, _ error) {
	if in.Cadence == nil {
		return false, "", nil
	}
	slot, err := in.Cadence.Slot()
	if err != nil {
		return false, "", permanentf(ErrDefinition, "the schedule of connector %q: %v; correct it with `starter schedule apply`", in.Connector, err)
	}
	tick, err := in.Cadence.Interval()
	if err != nil {
		return false, "", permanentf(ErrDefinition, "the schedule of connector %q: %v; correct it with `starter schedule apply`", in.Connector, err)
	}
	if slot == nil {
		return false, "", nil
	}
	if tick == 0 {
		tick = defaultTick
	}
	last := slot.Last(in.Now)
	runs, err := a.store.ModeRuns(ctx, in.Connector, ModeFull, last)
	if err != nil {
		return false, "", storeError(err)
	}
	failed := 0
	var newest time.Time
	for _, r := range runs {
		switch {
		case r.RunID == in.RunID: // this run, asked again
		case r.Outcome == mesh.Completed || r.Outcome == mesh.HeldDeletes || r.Outcome == "":
			return false, "", nil
		case r.Outcome == mesh.Failed || r.Outcome == mesh.Cancelled:
			failed++
			if r.EndedAt != nil && r.EndedAt.After(newest) {
				newest = *r.EndedAt
			}
		}
	}
	if failed > 0 && in.Now.Before(newest.Add(retryAfter(tick, failed))) {
		return false, "", nil
	}
	why = fmt.Sprintf("in full: the reconcile of %s is due", last.Format("Mon 2006-01-02 15:04 MST"))
	if failed > 0 {
		why += fmt.Sprintf(", attempt %d", failed+1)
	}
	return true, why, nil
}

// retryAfter is the pause after the given number of failures in a row.
func retryAfter(tick time.Duration, failures int) time.Duration {
	return min(tick<<min(failures-1, 20), max(longestBackoff, tick))
}
