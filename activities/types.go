package activities

import (
	"time"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// Every type here travels through Temporal: ids, counts and stamps only, never
// profile data, never a token (design invariant 7).

// What workflows need of the packages below; they import activities only.
type (
	// Fence is a run's right to write.
	Fence = mesh.Fence
	// Counts is what a run did to one object type.
	Counts = mesh.Counts
	// ObjectType is User, Group or GroupMember.
	ObjectType = mesh.ObjectType
	// Outcome is how a run ended.
	Outcome = mesh.Outcome
	// Watermark is the runbook's wrapper.
	Watermark = mesh.Watermark
	// Rate is the state of a rate-limit bucket.
	Rate = okta.Rate
)

// ObjectTypes lists the types in the order in which people read them.
var ObjectTypes = mesh.ObjectTypes

// The outcomes of a run.
const (
	Completed   = mesh.Completed
	HeldDeletes = mesh.HeldDeletes
	Skipped     = mesh.Skipped
	Failed      = mesh.Failed
	Cancelled   = mesh.Cancelled
)

// The modes of a run. Auto becomes one of the first two when it begins.
const (
	ModeFull     = "Full"
	ModeDelta    = "Delta"
	ModeAuto     = "Auto"
	ModeApproval = "Approval"
)

// BeginInput starts a run. RunID is the first Temporal run id of the workflow, so
// it stays the same through retries and continue-as-new.
type BeginInput struct {
	Connector  string    `json:"connector"`
	Mode       string    `json:"mode"`
	RunID      string    `json:"runId"`
	WorkflowID string    `json:"workflowId"`
	Namespace  string    `json:"namespace"`
	StartedAt  time.Time `json:"startedAt"`
	// Now is the workflow's clock, which says whether a reconcile is due.
	Now time.Time `json:"now"`
	// Cadence is the schedule's, for mode Auto; nil: no reconcile is ever due.
	Cadence *Cadence `json:"cadence,omitempty"`
	// DryRun plans the run on a copy of the connector.
	DryRun bool `json:"dryRun,omitempty"`
}

// BeginResult is the fence and the plan of a run, or who holds the connector.
type BeginResult struct {
	Fence Fence `json:"fence"`
	Plan  Plan  `json:"plan"`
	// HeldBy names the run that is importing this connector now; then Fence and
	// Plan are empty and the caller waits.
	HeldBy string `json:"heldBy,omitempty"`
	// Skipped is set when the run gave way to another one and is over.
	Skipped *RunResult `json:"skipped,omitempty"`
	// TaskQueue is set when nothing was begun, because the connector is imported on that
	// queue only; then the caller goes on there.
	TaskQueue string `json:"taskQueue,omitempty"`
}

// Plan is what the definition asks of this run.
type Plan struct {
	// Revision is a digest of the definition: an activity that finds another one
	// stops the run, since half a run under each would be neither.
	Revision string `json:"revision"`
	// Mode is [ModeFull], [ModeDelta] or [ModeApproval], and Note why.
	Mode        string `json:"mode"`
	Note        string `json:"note,omitempty"`
	Users       bool   `json:"users"`
	Groups      bool   `json:"groups"`
	Memberships bool   `json:"memberships"`
	// UsersSince and GroupsSince are the stored marks that a delta reads from; nil
	// walks the type in full.
	UsersSince  *time.Time `json:"usersSince,omitempty"`
	GroupsSince *time.Time `json:"groupsSince,omitempty"`
	// UsersInRanges reads a filtered user list by ranges of created, since one search
	// does not show as many as there are.
	UsersInRanges bool `json:"usersInRanges,omitempty"`
	// Watermark is what was stored when the run began; nil: none.
	Watermark *Watermark `json:"watermark,omitempty"`
	// Probe is the type of which a delta asks whether anything is listed at all, when it
	// saw no change of it; the mark of the other type then stays where it is.
	Probe ObjectType `json:"probe,omitempty"`
	// HoldOpen says that a hold was open when the run began.
	HoldOpen bool `json:"holdOpen,omitempty"`
	// MaxInFlight is the most calls to Okta at one time.
	MaxInFlight int `json:"maxInFlight"`
}

// ReadsUsers says whether the user list is walked.
func (p Plan) ReadsUsers() bool { return p.Users && p.Mode != ModeApproval }

// ReadsGroups says whether the group list is walked: to import it, or to know
// whose members to read.
func (p Plan) ReadsGroups() bool { return (p.Groups || p.Memberships) && p.Mode != ModeApproval }

// ReadsMembers says whether member lists are read.
func (p Plan) ReadsMembers() bool { return p.Memberships && p.Mode != ModeApproval }

// UsersFull says that the user list is walked in full: absence from it means something.
func (p Plan) UsersFull() bool { return p.ReadsUsers() && p.UsersSince == nil }

// GroupsFull says that the group list is walked in full.
func (p Plan) GroupsFull() bool { return p.ReadsGroups() && p.GroupsSince == nil }

// WalkInput asks for the next pages of a list.
type WalkInput struct {
	Fence    Fence `json:"fence"`
	Plan     Plan  `json:"plan"`
	MaxPages int   `json:"maxPages"`
}

// WalkResult is how far the walk is after an activity.
type WalkResult struct {
	Page int  `json:"page"` // pages recorded so far
	Seen int  `json:"seen"` // rows recorded so far
	Done bool `json:"done"`
	// Queued is how many groups the run has queued for their members so far.
	Queued int `json:"queued,omitempty"`
	// TooMany says that a search ended where Okta's searches end, so that it is not
	// complete and has to be read in another way.
	TooMany bool `json:"tooMany,omitempty"`
	// Mark is the walk's watermark: the Date of its first answer (design invariant 3).
	Mark *time.Time `json:"mark,omitempty"`
	Cost
}

// MembersInput asks a lane to read member lists: the lanes, 1 to MaxInFlight, share the
// queued groups out among themselves, and each is read by one activity at a time.
type MembersInput struct {
	Fence    Fence `json:"fence"`
	Plan     Plan  `json:"plan"`
	Lane     int   `json:"lane"`
	MaxPages int   `json:"maxPages"`
}

// MembersResult is what an activity read in its lane.
type MembersResult struct {
	Groups int `json:"groups"` // lists read to their end by this activity
	Pages  int `json:"pages"`  // pages recorded by this activity
	Seen   int `json:"seen"`   // members recorded by this activity
	// Done says that the lane has read all that it took and that nothing is left to take
	// of the Queued groups that were known by then.
	Done   bool `json:"done"`
	Queued int  `json:"queued"`
	Cost
}

// Cost is what an activity used of Okta's budget.
type Cost struct {
	APICalls int `json:"apiCalls"`
	Waits    int `json:"waits"`
	// Wait, when not zero, is how long to wait for the rate limit before the next call.
	Wait  time.Duration `json:"wait,omitempty"`
	Rates []Rate        `json:"rates,omitempty"`
}

// LookUpInput asks for the look-up of staged deletes (design invariant 5).
type LookUpInput struct {
	Fence Fence `json:"fence"`
	Plan  Plan  `json:"plan"`
}

// LookUpResult is how far the look-ups are.
type LookUpResult struct {
	Done     bool `json:"done"`
	LookedUp int  `json:"lookedUp"`
	Cost
}

// SettleInput asks for the deletes and edges of a run to be written.
type SettleInput struct {
	Fence Fence `json:"fence"`
	Plan  Plan  `json:"plan"`
}

// SettleResult counts what settling wrote.
type SettleResult struct {
	Objects int `json:"objects"`
	Edges   int `json:"edges"`
	// Held counts the deletes that the guards held back.
	Held map[ObjectType]int `json:"held,omitempty"`
}

// SweepResult counts the objects that the listings did not show.
type SweepResult struct {
	Users  int `json:"users"`
	Groups int `json:"groups"`
	// Open says that something has to be looked up, for whatever reason it was staged.
	Open bool `json:"open"`
}

// CommitInput ends a complete run. A nil mark leaves that key of the watermark as it was.
type CommitInput struct {
	Fence  Fence      `json:"fence"`
	Plan   Plan       `json:"plan"`
	Users  *time.Time `json:"users,omitempty"`
	Groups *time.Time `json:"groups,omitempty"`
}

// EndInput ends a run that did not complete.
type EndInput struct {
	RunID   string  `json:"runId"`
	Outcome Outcome `json:"outcome"`
	Message string  `json:"message"`
}

// EndResult says what the run left of a hold, as in [RunResult].
type EndResult struct {
	HoldOpen    bool `json:"holdOpen,omitempty"`
	HoldChanged bool `json:"holdChanged,omitempty"`
}

// RunResult is the run row as a workflow returns it.
type RunResult struct {
	RunID          string                `json:"runId"`
	Connector      string                `json:"connector"`
	Mode           string                `json:"mode"`
	Outcome        Outcome               `json:"outcome"`
	Counts         map[ObjectType]Counts `json:"counts"`
	APICalls       int                   `json:"apiCalls"`
	RateLimitWaits int                   `json:"rateLimitWaits"`
	DurationMs     int64                 `json:"durationMs"`
	Watermark      *Watermark            `json:"watermark"`
	Note           string                `json:"note,omitempty"`
	// HoldOpen says that a hold is open after the run, HoldChanged that this run is the
	// one that changed it last.
	HoldOpen    bool `json:"holdOpen,omitempty"`
	HoldChanged bool `json:"holdChanged,omitempty"`
}
