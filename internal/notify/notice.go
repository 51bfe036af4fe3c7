// Package notify tells people of failed runs, of holds and of recoveries, so that nobody
// has to watch: by a command or a webhook (docs/adr/0013). A notice holds ids, counts and
// the commands to run next; nothing personal and no token.
package notify

import (
	"fmt"
	"strings"
	"time"

	"github.com/identitymesh/okta-connector/mesh"
)

// Event is what a notice is about.
type Event string

// The events.
const (
	Failed    Event = "failed"    // a run failed
	Held      Event = "held"      // a run held deletes back: they wait for an operator
	Recovered Event = "recovered" // a run completed after failed ones
	Test      Event = "test"      // somebody tries notifications out
)

// Notice is what is told of one run, as JSON.
type Notice struct {
	// ID is the same when a notice is told again: it is delivered at least once.
	ID    string `json:"id"`
	Event Event  `json:"event"`
	// Text is the notice in one line for people.
	Text           string                          `json:"text"`
	Connector      string                          `json:"connector"`
	RunID          string                          `json:"runId"`
	WorkflowID     string                          `json:"workflowId"`
	Namespace      string                          `json:"namespace"`
	Mode           string                          `json:"mode"`
	Outcome        mesh.Outcome                    `json:"outcome"`
	Error          string                          `json:"error,omitempty"`
	StartedAt      time.Time                       `json:"startedAt"`
	EndedAt        time.Time                       `json:"endedAt"`
	DurationMs     int64                           `json:"durationMs"`
	Counts         map[mesh.ObjectType]mesh.Counts `json:"counts"`
	APICalls       int                             `json:"apiCalls"`
	RateLimitWaits int                             `json:"rateLimitWaits"`
	// FailedRuns is how many runs in a row failed: with this one, or before it recovered.
	FailedRuns int   `json:"failedRuns"`
	Hold       *Hold `json:"hold,omitempty"` // of a held notice, while the hold is open
	// Commands are what to run next.
	Commands []string `json:"commands"`
}

// Hold is what a notice says of the open hold.
type Hold struct {
	RunID     string                  `json:"runId"`
	Deletes   map[mesh.ObjectType]int `json:"deletes"`
	Reasons   map[mesh.Reason]int     `json:"reasons"`
	ExpiresAt time.Time               `json:"expiresAt"`
}

// eventOf says what an ended run is news of; "" when it is none. Of runs that fail one
// after the other the 1st, 2nd, 4th … 64th, and then every 64th is news: a broken night
// sends a handful of messages, and a broken month does not fall silent.
func eventOf(e *mesh.EndedRun) Event {
	switch e.Run.Outcome {
	case mesh.Failed:
		if n := e.FailedBefore + 1; n%64 == 0 || n < 64 && n&(n-1) == 0 {
			return Failed
		}
	case mesh.HeldDeletes:
		return Held
	case mesh.Completed:
		if e.FailedBefore > 0 {
			return Recovered
		}
	case mesh.Skipped, mesh.Cancelled:
	}
	return ""
}

// newNotice writes the notice of a run. hold is the connector's open hold, nil without
// one.
func newNotice(event Event, e *mesh.EndedRun, hold *mesh.Hold) Notice {
	r := e.Run
	n := Notice{
		ID: string(event) + "/" + r.RunID, Event: event,
		Connector: r.Connector, RunID: r.RunID, WorkflowID: r.WorkflowID, Namespace: r.Namespace,
		Mode: r.Mode, Outcome: r.Outcome, Error: r.Error,
		StartedAt: r.StartedAt, DurationMs: r.DurationMs,
		Counts: r.Counts, APICalls: r.APICalls, RateLimitWaits: r.RateLimitWaits,
		FailedRuns: e.FailedBefore,
		Commands:   []string{"starter runs show " + r.RunID, "starter status " + r.Connector},
	}
	if r.EndedAt != nil {
		n.EndedAt = *r.EndedAt
	}
	switch event {
	case Failed:
		n.FailedRuns++
		n.Text = fmt.Sprintf("%s: the %s import failed%s: %s", r.Connector, r.Mode, inARow(n.FailedRuns), r.Error)
	case Held:
		n.Text = fmt.Sprintf("%s: the %s import held deletes back (%s)", r.Connector, r.Mode, deletes(heldBy(r)))
		if hold == nil || hold.RunID != r.RunID {
			n.Text += "; the hold was answered or changed since"
			break
		}
		n.Hold = &Hold{RunID: hold.RunID, Deletes: hold.Deletes, Reasons: hold.Reasons, ExpiresAt: hold.ExpiresAt}
		n.Text += fmt.Sprintf("; in all %s wait for an answer until %s", deletes(hold.Deletes), hold.ExpiresAt.UTC().Format("2006-01-02 15:04Z"))
		n.Commands = append(n.Commands, "starter approve "+r.RunID, "starter reject "+r.RunID)
	case Recovered:
		n.Text = fmt.Sprintf("%s: the %s import completed again, after %d failed", r.Connector, r.Mode, n.FailedRuns)
	case Test:
		n.Text = r.Connector + ": a test of notifications; nothing has happened"
	}
	return n
}

func inARow(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(" (%d in a row)", n)
}

// heldBy is what a run held back itself.
func heldBy(r mesh.Run) map[mesh.ObjectType]int {
	held := map[mesh.ObjectType]int{}
	for typ, c := range r.Counts {
		held[typ] = c.Held
	}
	return held
}

// deletes are counts for people: "237 User, 3 Group".
func deletes(counts map[mesh.ObjectType]int) string {
	var parts []string
	for _, typ := range mesh.ObjectTypes {
		if n := counts[typ]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, typ))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// Sample is a notice to try notifications out with.
func Sample(now time.Time) Notice {
	now = now.UTC().Truncate(time.Millisecond)
	counts := map[mesh.ObjectType]mesh.Counts{}
	for _, typ := range mesh.ObjectTypes {
		counts[typ] = mesh.Counts{}
	}
	return newNotice(Test, &mesh.EndedRun{Run: mesh.Run{
		RunID: "00000000-0000-0000-0000-000000000000", Connector: "example", WorkflowID: "import-example", Namespace: "default",
		Mode: "Delta", Outcome: mesh.Completed, Counts: counts, StartedAt: now, EndedAt: &now,
	}}, nil)
}
