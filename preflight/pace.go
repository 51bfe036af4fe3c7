package preflight

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

const (
	// markTolerance is how far ahead of Okta's clock a watermark may be; a run allows as much.
	markTolerance = 10 * time.Second
	// longImport is how many windows of a minute a Full may take without a remark.
	longImport = 60
	// membersAPage is how many members one call shows (facts.md §3).
	membersAPage = 1000
)

// The buckets of Okta's rate limits that carry an import.
const (
	usersBucket  = "/api/v1/users"
	groupsBucket = "/api/v1/groups" // and the member lists
)

// rates looks at what Okta leaves of each bucket that was asked.
func (c *check) rates() {
	all := c.limits.Snapshot()
	if len(all) == 0 {
		c.warn(RateLimit, "Okta's answers carry no X-Rate-Limit headers",
			"a gateway in between removes them: only MaxInFlight then keeps a run from running into Okta's limits")
		return
	}
	for _, r := range all {
		c.rate(r)
	}
}

func (c *check) rate(r okta.Rate) {
	cfg := &c.def.Config
	usable := usable(r, cfg.RateLimitReserve)
	found := fmt.Sprintf("%s: %d calls a window, %d left", r.Bucket, r.Limit, r.Remaining)
	if !c.date.IsZero() {
		now := c.date.Add(c.Now().Sub(c.dated))
		found += fmt.Sprintf(" for the next %s", seconds(r.Reset.Sub(now)))
	}
	found += fmt.Sprintf("; imports use %d of a window", usable)
	add := func(result Result, advice string) {
		c.add(RateLimit, result, found, advice)
	}
	switch {
	case r.Remaining <= r.Limit-usable:
		add(Warning, "the org's other clients have used up the rest: a run that starts now waits until the window is over; look at Okta's dashboard Reports, Rate Limits")
	case cfg.MaxInFlight > usable:
		add(Warning, fmt.Sprintf("MaxInFlight is %d, more than a window bears: lower it to %d, or ask Okta for a higher limit", cfg.MaxInFlight, max(usable/2, 1)))
	default:
		add(OK, "")
	}
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%d s", max(d, 0).Round(time.Second)/time.Second)
}

// usable is how many calls of a window an import takes, as the client reckons.
func usable(r okta.Rate, percent int) int {
	return r.Limit - min((r.Limit*percent+99)/100, r.Limit-1)
}

// fullImport says how long a Full takes at least under the rate limits, from what the mesh
// holds: nothing else is known exactly.
func (c *check) fullImport(ctx context.Context) {
	live, err := c.live(ctx)
	if err != nil {
		c.fail(FullImport, err.Error(), "")
		return
	}
	if live[mesh.User]+live[mesh.Group]+live[mesh.GroupMember] == 0 {
		c.ok(FullImport, "how many calls it makes is not known before the first one")
		return
	}
	calls := c.callsOf(live)
	total, windows, slowest := calls[usersBucket]+calls[groupsBucket], 1, ""
	for _, r := range c.limits.Snapshot() {
		a := usable(r, c.def.Config.RateLimitReserve)
		if w := (calls[r.Bucket] + a - 1) / a; w > windows {
			windows, slowest = w, r.Bucket
		}
	}
	found := fmt.Sprintf("reads what the mesh holds with %d calls at least", total)
	if windows == 1 {
		c.ok(FullImport, "%s, within one window of Okta's rate limits", found)
		return
	}
	found += fmt.Sprintf("; those of %s take %d windows of a minute at least", slowest, windows)
	if windows > longImport {
		c.warn(FullImport, found, "ask Okta's support to raise the limit, read the memberships with a connector of their own, or set ImportMemberships to false (runbook, Throttling)")
		return
	}
	c.ok(FullImport, "%s", found)
}

func (c *check) live(ctx context.Context) (map[mesh.ObjectType]int, error) {
	if c.store == nil {
		return nil, nil
	}
	live, err := c.store.LiveCounts(ctx, c.Name)
	if _, unknown := errors.AsType[*mesh.NotFoundError](err); unknown {
		return nil, nil
	}
	return live, err
}

// callsOf counts the calls of a Full by bucket, at least: the pages of users and groups,
// and one member list for each group.
func (c *check) callsOf(live map[mesh.ObjectType]int) map[string]int {
	cfg := &c.def.Config
	pages := func(n, size int) int { return max((n+size-1)/size, 1) }
	calls := map[string]int{}
	if cfg.ImportUsers {
		calls[usersBucket] = pages(live[mesh.User], cfg.PageSize)
	}
	if cfg.ImportGroups || cfg.ImportMemberships {
		calls[groupsBucket] = pages(live[mesh.Group], cfg.PageSize)
	}
	if cfg.ImportMemberships {
		calls[groupsBucket] += max(live[mesh.Group], live[mesh.GroupMember]/membersAPage)
	}
	return calls
}
