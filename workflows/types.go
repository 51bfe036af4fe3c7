package workflows

import (
	"time"

	"github.com/identitymesh/okta-connector/activities"
)

// Mode says how much of the org a run reads.
type Mode string

// The modes of an import (runbook, "Watermark behaviour").
const (
	// Full walks the whole org, as the child workflow [ReconcileWorkflow].
	Full Mode = "Full"
	// Delta reads what changed since the watermark; without one it is a Full.
	Delta Mode = "Delta"
	// Auto is a Full when the reconcile is due, else a Delta.
	Auto Mode = "Auto"
	// Approval carries out a hold that an operator approved. [HoldWorkflow] starts it.
	Approval Mode = "Approval"
)

// Cadence is how often a schedule imports and when the reconcile is due.
type Cadence = activities.Cadence

// ImportInput starts an [ImportWorkflow].
type ImportInput struct {
	Connector string `json:"connector"`
	Mode      Mode   `json:"mode"`
	// Cadence says when an Auto run is a reconcile; nil: never because of the calendar.
	Cadence *Cadence `json:"cadence,omitempty"`
	// DryRun reads everything and decides everything on a copy, which is then dropped.
	DryRun bool `json:"dryRun,omitempty"`
	// Hold names the hold that an Approval carries out: the run that changed it last.
	Hold string `json:"hold,omitempty"`
	// State is carried through continue-as-new; nil at the start.
	State *State `json:"state,omitempty"`
}

// ImportResult is what a completed import returns: its run row.
type ImportResult = activities.RunResult

// ProgressQuery is the name of the query that answers a [Progress], from the first
// second of a run to after its end.
const ProgressQuery = "progress"

// State is what an import knows, carried through continue-as-new. It holds ids,
// counts and stamps only.
type State struct {
	StartedAt time.Time        `json:"startedAt"` // of the first execution
	Begun     bool             `json:"begun"`
	Fence     activities.Fence `json:"fence"`
	Plan      activities.Plan  `json:"plan"`
	Progress  Progress         `json:"progress"`
	Users     Lane             `json:"users"`
	Groups    Lane             `json:"groups"`
	Members   Lane             `json:"members"`
	// Taken is how many of the queued groups are certain to have a lane.
	Taken int `json:"taken,omitempty"`
	// Open are the lanes of member lists whose activity ended before their groups were
	// read.
	Open []int `json:"open,omitempty"`
}

// Lane is one of the three kinds of reading, each with its own rate-limit waits.
type Lane struct {
	// WaitUntil is when Okta's budget allows the next call; zero: now.
	WaitUntil time.Time `json:"waitUntil,omitzero"`
	// Waited sums the waits since the last recorded page.
	Waited time.Duration `json:"waited,omitempty"`
}

// Phase is what an import is doing.
type Phase string

// The phases of an import, in order.
const (
	Beginning Phase = "Beginning" // loading the definition, taking the lease
	Waiting   Phase = "Waiting"   // another run holds the connector
	Reading   Phase = "Reading"   // walking Okta's lists
	LookingUp Phase = "LookingUp" // asking Okta about objects the listings did not show
	Settling  Phase = "Settling"  // deciding deletes, deriving edges
	// Reconciling is all of these, done by a child workflow.
	Reconciling Phase = "Reconciling"
	Ended       Phase = "Ended"
)

// Progress answers [ProgressQuery].
type Progress struct {
	RunID     string `json:"runId"`
	Connector string `json:"connector"`
	Mode      Mode   `json:"mode"`
	DryRun    bool   `json:"dryRun,omitempty"`
	// Note is why the run is what it is: why a Full, whom it gave way to.
	Note  string `json:"note,omitempty"`
	Phase Phase  `json:"phase"`
	// Watermark is what was stored when the run began; the streams' marks replace it.
	Watermark *activities.Watermark `json:"watermark,omitempty"`
	HeldBy    string                `json:"heldBy,omitempty"` // the run this one waits for
	// Child is the workflow id of the reconcile under way, which answers the same query
	// with more.
	Child   string          `json:"child,omitempty"`
	Users   StreamProgress  `json:"users"`
	Groups  StreamProgress  `json:"groups"`
	Members MembersProgress `json:"members"`
	// Missing counts the objects that the complete listings did not show.
	Missing  int `json:"missing"`
	LookedUp int `json:"lookedUp"`
	// Held counts the deletes that were held back for an operator.
	Held      map[activities.ObjectType]int `json:"held,omitempty"`
	APICalls  int                           `json:"apiCalls"`
	Waits     int                           `json:"rateLimitWaits"`
	WaitUntil *time.Time                    `json:"waitUntil,omitempty"` // set while a stream waits for the rate limit
	Rates     []activities.Rate             `json:"rates,omitempty"`     // the newest state of each rate-limit bucket
	// Counts is what the run did, once it has ended; NewWatermark what it left.
	Counts       map[activities.ObjectType]activities.Counts `json:"counts,omitempty"`
	NewWatermark *activities.Watermark                       `json:"newWatermark,omitempty"`

	Outcome string `json:"outcome,omitempty"`
	Error   string `json:"error,omitempty"`
}

// StreamProgress is how far the walk of one list is.
type StreamProgress struct {
	Enabled bool `json:"enabled"`
	Pages   int  `json:"pages"`
	Seen    int  `json:"seen"`
	Done    bool `json:"done"`
	// Mark is the watermark this walk will leave.
	Mark *time.Time `json:"mark,omitempty"`
}

// MembersProgress is how far the reading of member lists is. Groups grows while
// the group list is still being walked.
type MembersProgress struct {
	Enabled bool `json:"enabled"`
	Groups  int  `json:"groups"` // known so far
	Read    int  `json:"read"`
	Pages   int  `json:"pages"`
	Seen    int  `json:"seen"`
	Done    bool `json:"done"`
}
