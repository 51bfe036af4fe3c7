// Package mesh is the IdentityMesh store: the objects an import keeps true to
// its source, the append-only feed of their changes, the watermarks, and the
// rows that make a run idempotent, fenced and resumable.
//
// [Store] is the contract. [OpenSQLite] is the embedded default; every
// implementation passes the conformance suite in package meshtest.
//
// Three ideas carry the design (design.md §2 and §3):
//
//   - A page of a walk and the progress row that says "this page is done" are
//     written in one transaction, so an activity may die anywhere and run again.
//   - Every writing transaction checks the run's [Fence], so a zombie cannot write.
//   - Adds and updates flow page by page; deletes are staged and settled once, at
//     the end of the run.
package mesh

import (
	"encoding/json"
	"time"
)

// ObjectType is the type of a mesh object: one of the three of the runbook's
// "At a glance".
type ObjectType string

// The object types of the Okta connector.
const (
	User        ObjectType = "User"
	Group       ObjectType = "Group"
	GroupMember ObjectType = "GroupMember"
)

// ObjectTypes lists the types in the order in which people read them.
var ObjectTypes = []ObjectType{User, Group, GroupMember}

// Op is what a row of the change feed does to an object.
type Op string

// The operations of the change feed.
const (
	Add    Op = "Add"
	Update Op = "Update"
	Delete Op = "Delete"
)

// Reason says why an object was deleted.
type Reason string

// The reasons of a Delete.
const (
	Deprovisioned Reason = "deprovisioned"  // Okta shows the user as DEPROVISIONED
	HardDeleted   Reason = "hard-deleted"   // Okta no longer knows the user
	OutOfScope    Reason = "out-of-scope"   // alive, but no longer matching UserSearchFilter
	GroupDeleted  Reason = "group-deleted"  // Okta no longer knows the group
	MemberRemoved Reason = "member-removed" // the group's member list no longer shows the user
	Renamed       Reason = "renamed"        // the external id changed; an Add of the new one follows
	Purged        Reason = "purged"         // the operator deleted the connector with --purge
)

// Connector is a connector definition as the store keeps it. The store does not
// look inside ConfigJSON and AuthJSON; package connector does.
type Connector struct {
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	ConfigJSON json.RawMessage `json:"configJson"`
	AuthJSON   json.RawMessage `json:"authJson"`
	CreatedAt  time.Time       `json:"createdAt"`
	UpdatedAt  time.Time       `json:"updatedAt"`
}

// DeleteMode says what becomes of a connector's live objects when it is deleted.
type DeleteMode int

// The ways to delete a connector.
const (
	RefuseIfLive DeleteMode = iota // a [*ConflictError] while live objects are left
	KeepObjects                    // the objects stay, owned by nobody's schedule
	Purge                          // a Delete (reason purged) is written for each live object
)

// Object is one user or group as read from Okta and mapped, ready to be written.
type Object struct {
	Type       ObjectType
	OktaID     string
	ExternalID string
	// Attributes is a JSON object with sorted keys.
	Attributes json.RawMessage
	// Hash covers the attributes that count as a change (all but the connector's
	// IgnoreForChanges). It is compared only while the stored row is live.
	Hash []byte
	// Stamp is the newest change stamp of the answer. An answer older than the
	// stored row's Stamp is stale and is ignored (design invariant 3). Zero: unknown,
	// never stale.
	Stamp time.Time
	// Delete, when not empty, says that Okta shows this object as one the mesh must
	// not hold (a DEPROVISIONED user): a live row is staged for deletion, an unknown
	// one writes nothing.
	Delete Reason
}

// Member is one row of a group's member list: evidence, whatever the member's state.
type Member struct {
	OktaID        string
	Deprovisioned bool
}

// Scope says which ends of an edge the connector imports. An end that is not
// imported is not checked (design invariant 6).
type Scope struct {
	Users  bool `json:"users"`
	Groups bool `json:"groups"`
}

// Calls counts what a page cost, for the run row.
type Calls struct {
	API    int           // HTTP requests sent to Okta, failed ones too
	Waits  int           // waits for a rate limit
	Waited time.Duration // their sum
}

// Counts is what a run did to one object type. Added, Updated and Deleted count
// rows of the change feed.
type Counts struct {
	Seen      int `json:"seen"`
	Added     int `json:"added"`
	Updated   int `json:"updated"`
	Deleted   int `json:"deleted"`
	Unchanged int `json:"unchanged"`
}

// Outcome is how a run ended; empty while it runs.
type Outcome string

// The outcomes of a run, and the exit codes of `starter run --wait`: 0, 3, 4, 1, 1.
const (
	Completed   Outcome = "Completed"
	HeldDeletes Outcome = "HeldDeletes"
	Skipped     Outcome = "Skipped"
	Failed      Outcome = "Failed"
	Cancelled   Outcome = "Cancelled"
)

// Run is one row of im_runs: the record of an import that outlives Temporal's
// retention.
type Run struct {
	RunID           string                `json:"runId"`
	Connector       string                `json:"connector"`
	Mode            string                `json:"mode"`
	WorkflowID      string                `json:"workflowId"`
	Namespace       string                `json:"namespace"`
	Outcome         Outcome               `json:"outcome"`
	Error           string                `json:"error"`
	Counts          map[ObjectType]Counts `json:"counts"`
	APICalls        int                   `json:"apiCalls"`
	RateLimitWaits  int                   `json:"rateLimitWaits"`
	RateLimitWaitMs int64                 `json:"rateLimitWaitMs"`
	StartedAt       time.Time             `json:"startedAt"`
	EndedAt         *time.Time            `json:"endedAt"`
	DurationMs      int64                 `json:"durationMs"`
	// Watermark is the connector's watermark after the run, null when it has none.
	Watermark *Watermark `json:"watermark"`
}

// StoredObject is one mesh object as `starter objects` shows it.
type StoredObject struct {
	Type       ObjectType      `json:"type"`
	ExternalID string          `json:"externalId"`
	State      State           `json:"state"`
	Attributes json.RawMessage `json:"attributes"`
	Reason     Reason          `json:"reason,omitempty"`
}

// State is whether an object is in the mesh or was.
type State string

// The states of a stored object.
const (
	Live    State = "live"
	Deleted State = "deleted"
)

// Change is one row of the feed as `starter changes` shows it. Attributes is the
// object after the change (for a Delete, as it was last); Changed names what an
// Update changed, sorted.
type Change struct {
	Seq        int64           `json:"seq"`
	Op         Op              `json:"op"`
	Type       ObjectType      `json:"type"`
	ExternalID string          `json:"externalId"`
	Attributes json.RawMessage `json:"attributes"`
	Changed    []string        `json:"changed"`
	Reason     Reason          `json:"reason"`
	RunID      string          `json:"runId"`
	At         time.Time       `json:"at"`
}

// Secret is one row of im_secrets without its value.
type Secret struct {
	Ref       string    `json:"ref"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}
