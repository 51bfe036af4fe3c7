package mesh

import (
	"context"
	"iter"
	"time"
)

// Store is the mesh. Its methods are safe for concurrent use by goroutines and
// by processes. A caller whose context ends before his turn has written nothing; a page that
// has begun is written whole, anything else is rolled back.
type Store interface {
	Connectors
	Writer
	Reader
	Operator
	Retention
	Restores
	Observer
	Secrets
	Close() error
}

// Connectors keeps the connector definitions.
type Connectors interface {
	// Shared says whether workers on other machines can open this mesh, too. An SQLite
	// file they cannot.
	Shared() bool
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
	// Wait says that the caller asks again until it gets the lease. Runs that do not
	// wait give way to it meanwhile (a [*LeaseHeldError] with Waiting set).
	Wait bool
	// Closed names a holder whose workflow Temporal says is closed: its lease is taken
	// over at once.
	Closed string
	// Note is why the run is what it is, such as "Full: the definition changed".
	Note string
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
	// Queued is how many groups the run has queued for their members so far, by any
	// stream.
	Queued int
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
	// Changed says that the rows only tell which users changed: their ids are kept for
	// [Writer.StageChanged], Deletes are staged, nothing else is written.
	Changed bool
	// MembersOnly keeps users that are not live outside the mesh until
	// [Writer.Decide] finds them in a group (GroupFilter.UsersInGroupsOnly).
	MembersOnly bool
	// Queue, when set, queues groups whose members are to be read in this run.
	Queue *QueueRule
	// Ignore names the attributes that alone make no Update (IgnoreForChanges).
	Ignore []string
}

// QueueRule says whose members are to be read (design.md §4, "no filter on /groups").
type QueueRule struct {
	// All queues every group of the page. Otherwise a group is due when its members
	// were never read, when its MembersStamp is not the one they were read for, when the
	// stamp is later than Mark, or when they were read less than Overlap after the stamp:
	// then once more (docs/adr/0007). The group Everyone is not due while the store
	// derives it.
	All bool
	// Mark is the stored watermark of the groups, zero without one.
	Mark time.Time
	// Overlap is the connector's WatermarkOverlap.
	Overlap time.Duration
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
	// Had says that the mesh knows members of this group: a list without any is then
	// read once more before it is believed.
	Had bool
	// Progress is the list's resume point.
	Progress Progress
}

// ClaimGroups asks for queued groups to read. A lane is read by one attempt at a time,
// which takes over what an earlier one of the same lane left.
type ClaimGroups struct {
	Lane   int    // from 1
	Prefix string // of the streams: that of a group is Prefix + its id
	Owner  string // the attempt, as in Claim
	// A lane that has nothing to do gets the free groups divided by Share, but at least
	// one and at most Most: fewer, the fewer are left, so that all lanes end together.
	Share, Most int
}

// ClaimedGroups answers a [ClaimGroups].
type ClaimedGroups struct {
	// Groups are those of the lane that are not read to their end, in order; empty: the
	// lane is done with everything that is queued so far.
	Groups []QueuedGroup
	Queued int // groups that the run has queued so far
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
	// Found is the object as read. When it is alive and in scope it is written like a
	// page's row and marked as seen; when it is deprovisioned it is what a hold shows of
	// it meanwhile.
	Found *Object
}

// DeleteLimits are the guards of design.md §4. They are counted over the last 24
// hours, without what an operator approved.
type DeleteLimits struct {
	Percent int // of a type's live objects, for more than 10 deletes
	Most    int // negative: none
}

// Decision says what [Writer.Decide] found.
type Decision struct {
	Deletes map[ObjectType]int // to be written by Settle
	Held    map[ObjectType]int // newly held by this run
}

// CommitRun ends a complete run.
type CommitRun struct {
	// Watermark holds the marks of the walks; a nil mark leaves the stored key as it was.
	Watermark Watermark
	// UsersFull and GroupsFull say that the type was walked in full: its mark replaces
	// the stored one, and its held deletes replace those of the open hold.
	UsersFull, GroupsFull bool
	// ReadAs describes the definition that the run read by; see [ReadState].
	ReadAs string
	// HoldTimeLimit is how long what this run holds waits for an operator.
	HoldTimeLimit time.Duration
}

// ReadState is what the last committed run left behind, for the planning of the next.
type ReadState struct {
	// ReadAs is the last CommitRun.ReadAs, "" before the first commit.
	ReadAs string
	// DerivesEveryone says that the last Full found exactly one group Everyone whose
	// members were exactly the live users: newcomers get their edge without a read.
	DerivesEveryone bool
	// RestoredAt is when somebody said last that the database had been restored from a backup,
	// zero if nobody did. Unhealed says that no Full has been committed since.
	RestoredAt time.Time
	Unhealed   bool
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
	// Skip records a run that gave way and never began, as ended. It needs no fence and
	// may be called again.
	Skip(ctx context.Context, b BeginRun, message string) (*Run, error)

	// WriteObjects writes one page of users or groups: Adds and Updates into the feed,
	// Deletes staged, the ids marked as seen, the progress row moved; all or nothing.
	// A page already recorded is not written again. A next link that this walk already
	// followed is a [*LoopError], a walk that will not end an [*EndlessError].
	WriteObjects(ctx context.Context, f Fence, p ObjectPage) (Progress, error)
	// WriteMembers records one page of a group's member list as evidence. With the last
	// page, pairs that the complete list did not show lose their evidence. Edges enter
	// and leave the feed in Settle. The errors are those of WriteObjects.
	WriteMembers(ctx context.Context, f Fence, p MemberPage) (Progress, error)
	// GroupGone says that Okta answered 404 for a queued group's members: its member
	// stream is done, the group counts as not seen and becomes a candidate for deletion.
	GroupGone(ctx context.Context, f Fence, p Page, groupID string) error
	// ClaimGroups hands a lane the next queued groups, and is Claim for their streams.
	ClaimGroups(ctx context.Context, f Fence, c ClaimGroups) (ClaimedGroups, error)
	// QueueKnown queues every group whose members were ever read, is not queued yet and
	// is not about to be deleted (MembershipRefresh "all"), and returns how many groups
	// the run has queued in all.
	QueueKnown(ctx context.Context, f Fence) (queued int, err error)

	// CheckComplete returns an [*IncompleteError] unless each of the streams, and the
	// member list of each queued group, was recorded to its end. It is asked before
	// anything is decided from what a run did not see.
	CheckComplete(ctx context.Context, f Fence, streams []string) error
	// StageSweep stages every live object of typ that this run has not seen. It is
	// called once the type's listing is complete; calling it again changes nothing.
	// Where groups are not imported, only those known by their members are staged.
	StageSweep(ctx context.Context, f Fence, typ ObjectType, imported bool) (candidates int, err error)
	// StageChanged stages every live user whom a page with Changed named and whom no
	// other page of the run showed: he may have left the scope of UserSearchFilter.
	StageChanged(ctx context.Context, f Fence) (candidates int, err error)
	// StageHolders stages every live object that holds an external id which something
	// staged by this run wants, and that this run has not seen: a login that went to
	// somebody else tells that its holder may be gone. It also stages those who waited for
	// an id that a hold kept and that may be free now.
	StageHolders(ctx context.Context, f Fence) (candidates int, err error)
	// StageHold stages what the open hold keeps back, to be looked up again: the run
	// carries out an approval of the hold as run holdRun left it. A [*ConflictError] when
	// the hold is another by now or was not approved.
	StageHold(ctx context.Context, f Fence, holdRun string) (candidates int, err error)
	// Candidates returns up to limit staged objects without a Reason.
	Candidates(ctx context.Context, f Fence, limit int) ([]Candidate, error)
	// Control returns a live object of typ that a page of this run showed, "" when there
	// is none: a search that leaves it out has not answered (design invariant 5).
	Control(ctx context.Context, f Fence, typ ObjectType) (oktaID string, err error)
	// Resolve records what the look-ups found, with their calls. Where they show somebody
	// with an external id that another live object holds, that one is staged too: ask for
	// Candidates until there are none.
	Resolve(ctx context.Context, f Fence, verdicts []Verdict, ignore []string, calls Calls) error
	// Acquitted counts the verdicts of this run without a Reason, by type: objects that
	// a listing missed although they are alive and in scope.
	Acquitted(ctx context.Context, f Fence) (map[ObjectType]int, error)
	// CheckExternalIDs returns a [*CollisionError] when the run would leave two live
	// objects of one type with the same external id.
	CheckExternalIDs(ctx context.Context, f Fence) error
	// Decide is asked once everything staged is looked up: it stages whom
	// Scope.UsersInGroupsOnly brings in or leaves out, and holds back the deletes of each
	// type that exceed the limits. Asked again, it decides the same. A run that carries out
	// a hold has no limits: pass nil.
	Decide(ctx context.Context, f Fence, scope Scope, limits *DeleteLimits) (Decision, error)
	// Settle applies the staged deletes, then the staged adds and renames, then derives
	// the edges: Deletes before the Deletes of their ends, Adds after the Adds of their
	// ends. It works in bounded transactions, up to budget, and is called until Done.
	Settle(ctx context.Context, f Fence, scope Scope, budget time.Duration) (SettleResult, error)
	// Commit moves the watermark, opens, changes or closes the hold, and completes the
	// run row in one transaction, drops the run's working rows and releases the lease. The
	// outcome is HeldDeletes when the run held anything new, else Completed. A mark never
	// moves backwards, but for a type walked in full (runbook, "Watermark stuck").
	Commit(ctx context.Context, f Fence, c CommitRun) (*Run, error)
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
	// Epoch is the one in which Since was read; another than the feed's is an [*EpochError], and
	// so is a Since beyond the feed's last row. Empty: not known.
	Epoch string
	ID    string // external id; empty: all
	RunID string // empty: all
	Limit int
	// Kept begins with the oldest row that is kept when retention has removed rows after
	// Since, which is a [*PrunedError] otherwise.
	Kept bool
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
	// StoredWatermark is RawWatermark with who wrote it and when.
	StoredWatermark(ctx context.Context, connector string) (StoredWatermark, error)
	// ReadState returns what the last committed run left behind.
	ReadState(ctx context.Context, connector string) (ReadState, error)
	// ModeRuns returns the runs of a mode that started at since or later, newest first.
	ModeRuns(ctx context.Context, connector, mode string, since time.Time) ([]Run, error)
	// Hold returns the open hold with up to sample of its rows, nil when there is none.
	Hold(ctx context.Context, connector string, sample int) (*Hold, error)
	// Held yields everything that the open hold keeps back, users first.
	Held(ctx context.Context, connector string) iter.Seq2[HeldDelete, error]
	// Holder returns the run that holds the connector's lease, "" when none does.
	Holder(ctx context.Context, connector string) (runID string, err error)
}

// Operator is what people do to a connector beside its runs.
type Operator interface {
	// SetWatermark stores a watermark by hand; "" or null removes it. A [*ConflictError]
	// while a run holds the lease, an error of [ParseWatermark] for malformed text.
	SetWatermark(ctx context.Context, connector, text, by string) error
	// ApproveHold records who approved the hold as run holdRun left it; a run that calls
	// [Writer.StageHold] carries it out. Approving twice changes nothing. A
	// [*ConflictError] when there is no open hold or another run has changed it since.
	ApproveHold(ctx context.Context, connector, holdRun, by string) error
	// CloseHold ends the open hold without deleting anything, as Rejected or Expired;
	// refused as in ApproveHold. Until the next completed Full, a delta that meets the
	// same deletes again leaves them alone.
	CloseHold(ctx context.Context, connector, holdRun string, state HoldState, by string) error
	// Shadow copies a connector, its objects, edges, watermark and hold, under a name of
	// its own with an empty feed, so that a dry run may write there. It is listed nowhere.
	// Shadows that a lost dry run left behind are dropped first.
	Shadow(ctx context.Context, connector, runID string) (name string, err error)
	// DropShadow removes a shadow and all that was written there.
	DropShadow(ctx context.Context, name string) error
}

// Secrets is the im_secrets table: sealed values by reference, for package secrets.
type Secrets interface {
	PutSecret(ctx context.Context, ref string, sealed []byte) error
	// GetSecret returns a [*NotFoundError] for an unknown reference.
	GetSecret(ctx context.Context, ref string) (sealed []byte, err error)
	// ResealSecret replaces before by after and keeps the row's times: the secret is the
	// same, under another key. It says whether before was still there; if not, it
	// changes nothing.
	ResealSecret(ctx context.Context, ref string, before, after []byte) (bool, error)
	ListSecrets(ctx context.Context) ([]Secret, error)
	DeleteSecret(ctx context.Context, ref string) error
}
