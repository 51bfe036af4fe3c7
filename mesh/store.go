package mesh

import (
	"context"
	"iter"
	"time"
)

// Store is the mesh. Its methods are safe for concurrent use by goroutines and
// by processes. A cancelled context rolls the transaction back.
type Store interface {
	Connectors
	Writer
	Reader
	Secrets
	Close() error
}

// Connectors keeps the connector definitions.
type Connectors interface {
	// ApplyConnector creates or replaces a definition. A deleted connector of the
	// same name is revived with its feed.
	ApplyConnector(ctx context.Context, c Connector) (created bool, err error)
	// Connector returns a [*NotFoundError] for an unknown or deleted name.
	Connector(ctx context.Context, name string) (*Connector, error)
	ListConnectors(ctx context.Context) ([]Connector, error)
	// DeleteConnector refuses (a [*ConflictError]) while a run holds the fence.
	// The feed stays readable.
	DeleteConnector(ctx context.Context, name string, mode DeleteMode) error
}

// Fence is a run's right to write: the lease of design invariant 2. Each taking
// of the lease has a larger Token.
type Fence struct {
	Connector string `json:"connector"`
	RunID     string `json:"runId"`
	Token     int64  `json:"token"`
}

// BeginRun is what [Writer.Begin] needs.
type BeginRun struct {
	Connector  string
	RunID      string
	WorkflowID string
	Namespace  string
	Mode       string
	StartedAt  time.Time // the workflow's start
	// LeaseTTL is how long the fence holds without a write; on the database's clock.
	LeaseTTL time.Duration
}

// Progress is the resume point of one stream of one run. The zero value (but for
// Stream) means nothing was read yet.
type Progress struct {
	Stream string
	Page   int    // pages recorded
	Next   string // opaque URL of the next page; empty at the start and at the end
	Done   bool
	Seen   int // rows recorded
	// FirstDate is the Date header of the walk's first answer, zero without one.
	FirstDate time.Time
	// HighWater is the largest stamp seen.
	HighWater time.Time
	// Failures counts consecutive failed attempts since the last recorded page.
	Failures int
}

// Page is the envelope of a page's transaction.
type Page struct {
	Stream string
	// Owner is the attempt that claimed the stream; see [Writer.Claim].
	Owner string
	// Number is 1 for the first page and must be Progress.Page+1.
	Number int
	Next   string
	Done   bool // no page follows
	// Date is the answer's Date header, zero without one.
	Date  time.Time
	Calls Calls
}

// ObjectPage is a page of users or groups.
type ObjectPage struct {
	Page
	// Rows is how many rows Okta sent.
	Rows    int
	Objects []Object
	// Import false records the page without writing objects: the connector reads
	// this list only to know its groups.
	Import bool
	// QueueMembers queues each object's OktaID as a group whose members are to be
	// read in this run.
	QueueMembers bool
	// Ignore names the attributes that alone make no Update (IgnoreForChanges).
	Ignore []string
}

// MemberPage is a page of one group's member list.
type MemberPage struct {
	Page
	GroupID string
	Members []Member
}

// QueuedGroup is a group whose members are to be read, in the order of discovery.
// Ordinals of a run are 1, 2, 3 … without gaps.
type QueuedGroup struct {
	Ordinal int
	OktaID  string
	Done    bool
}

// Candidate is an object staged for deletion because a listing did not show it,
// or because Okta shows it as gone.
type Candidate struct {
	Type   ObjectType
	OktaID string
	Reason Reason // empty: not looked up yet
}

// Verdict is what a look-up of a [Candidate] found.
type Verdict struct {
	Type   ObjectType
	OktaID string
	// Reason decides the Delete; empty acquits: the object is alive and in scope.
	Reason Reason
	// Found, when the object is alive and in scope, is the object as read; it is
	// written like a page's row and marked as seen.
	Found *Object
}

// SettleResult says how far [Writer.Settle] came.
type SettleResult struct {
	Done  bool
	Edges int // edge rows written by this call
	Other int // object rows written by this call
}

// Writer is what a run writes. Every method that takes a [Fence] checks it in its
// own transaction, renews it, and returns a [*FencedError] when another run holds it.
type Writer interface {
	// Begin takes the lease and creates the run row. The same run id may begin again
	// (a retried activity): it gets the same fence. A lease held by another run is a
	// [*LeaseHeldError].
	Begin(ctx context.Context, b BeginRun) (Fence, error)
	// Renew extends the lease by TTL from now; ahead of a long wait, ttl covers the wait.
	Renew(ctx context.Context, f Fence, ttl time.Duration) error
	// Claim makes owner the only attempt that may write stream and returns the
	// stream's resume point. An earlier owner's writes fail with [*FencedError].
	Claim(ctx context.Context, f Fence, stream, owner string) (Progress, error)
	// RecordFailure counts a failed attempt of stream and what it cost, and returns
	// the consecutive failures since the last recorded page.
	RecordFailure(ctx context.Context, f Fence, stream, owner string, calls Calls) (failures int, err error)
	// RecordCalls adds calls and waits that belong to no page to the run row.
	RecordCalls(ctx context.Context, f Fence, calls Calls) error

	// WriteObjects writes one page of users or groups: Adds and Updates into the feed,
	// Deletes staged, the ids marked as seen, the progress row moved; all or nothing.
	// A page already recorded is not written again. A next link that this walk already
	// followed is a [*LoopError].
	WriteObjects(ctx context.Context, f Fence, p ObjectPage) (Progress, error)
	// WriteMembers records one page of a group's member list as evidence. With the last
	// page, pairs that the complete list did not show lose their evidence. Edges enter
	// and leave the feed in Settle.
	WriteMembers(ctx context.Context, f Fence, p MemberPage) (Progress, error)
	// GroupGone says that Okta answered 404 for a queued group's members: its member
	// stream is done and the group counts as not seen.
	GroupGone(ctx context.Context, f Fence, p Page, groupID string) error
	// QueuedGroups returns the queued groups with from <= Ordinal <= to.
	QueuedGroups(ctx context.Context, f Fence, from, to int) ([]QueuedGroup, error)

	// CheckComplete returns an [*IncompleteError] unless each of the streams, and the
	// member list of each queued group, was recorded to its end. It is asked before
	// anything is decided from what a run did not see.
	CheckComplete(ctx context.Context, f Fence, streams []string) error
	// StageSweep stages every live object of typ that this run has not seen. It is
	// called once the type's listing is complete; calling it again changes nothing.
	// Where groups are not imported, only those known by their members are staged.
	StageSweep(ctx context.Context, f Fence, typ ObjectType, imported bool) (candidates int, err error)
	// Candidates returns up to limit staged objects without a Reason.
	Candidates(ctx context.Context, f Fence, limit int) ([]Candidate, error)
	// Resolve records what the look-ups found, with their calls.
	Resolve(ctx context.Context, f Fence, verdicts []Verdict, ignore []string, calls Calls) error
	// Acquitted counts the verdicts of this run without a Reason, by type: objects that
	// a listing missed although they are alive and in scope.
	Acquitted(ctx context.Context, f Fence) (map[ObjectType]int, error)
	// CheckExternalIDs returns a [*CollisionError] when the run would leave two live
	// objects of one type with the same external id.
	CheckExternalIDs(ctx context.Context, f Fence) error
	// Settle applies the staged deletes, then the staged adds and renames, then derives
	// the edges: Deletes before the Deletes of their ends, Adds after the Adds of their
	// ends. It works in bounded transactions, up to budget, and is called until Done.
	Settle(ctx context.Context, f Fence, scope Scope, budget time.Duration) (SettleResult, error)
	// Commit moves the watermark and completes the run row in one transaction, drops the
	// run's working rows and releases the lease. A nil mark of w leaves the stored key as
	// it was. A mark never moves backwards, but a run of mode Full replaces what is stored
	// (runbook, "Watermark stuck").
	Commit(ctx context.Context, f Fence, outcome Outcome, w Watermark) (*Run, error)
	// End completes the run row of a run that failed, was cancelled or skipped, and
	// releases the lease if this run holds it. It needs no fence and may be called again.
	End(ctx context.Context, runID string, outcome Outcome, message string) (*Run, error)
}

// ObjectQuery selects objects of a connector. Limit 0 means all.
type ObjectQuery struct {
	Connector string
	Type      ObjectType // empty: all types
	ID        string     // external id or Okta id; empty: all
	All       bool       // deleted ones too
	Limit     int
}

// ChangeQuery selects rows of a connector's feed with Seq > Since, in order.
// Limit 0 means all.
type ChangeQuery struct {
	Connector string
	Since     int64
	ID        string // external id; empty: all
	RunID     string // empty: all
	Limit     int
}

// Reader reads what runs wrote. Sequences yield an error at most once, last.
type Reader interface {
	Objects(ctx context.Context, q ObjectQuery) iter.Seq2[StoredObject, error]
	Changes(ctx context.Context, q ChangeQuery) iter.Seq2[Change, error]
	// Runs returns the newest first. Limit 0 means all.
	Runs(ctx context.Context, connector string, limit int) ([]Run, error)
	// Run returns a [*NotFoundError] for an unknown id. A running run's counts are
	// those of the pages recorded so far.
	Run(ctx context.Context, runID string) (*Run, error)
	// LiveCounts returns the live objects of each type.
	LiveCounts(ctx context.Context, connector string) (map[ObjectType]int, error)
	// RawWatermark returns the stored text, which may be hand-edited and malformed;
	// "" when there is none. See [ParseWatermark].
	RawWatermark(ctx context.Context, connector string) (string, error)
	// Holder returns the run that holds the connector's lease, "" when none does.
	Holder(ctx context.Context, connector string) (runID string, err error)
}

// Secrets is the im_secrets table: sealed values by reference. It satisfies the
// table interface of package secrets.
type Secrets interface {
	PutSecret(ctx context.Context, ref string, sealed []byte) error
	// GetSecret returns a [*NotFoundError] for an unknown reference.
	GetSecret(ctx context.Context, ref string) (sealed []byte, err error)
	ListSecrets(ctx context.Context) ([]Secret, error)
	DeleteSecret(ctx context.Context, ref string) error
}
