// Package mesh is the IdentityMesh store: the objects an import keeps true to
// its source, the append-only feed of their changes, the watermarks, and the
// rows that make a run idempotent, fenced and resumable.
//
// [Store] is the contract. [OpenSQLite] is the embedded default, [OpenPostgres] is for
// what outgrows one machine; both pass the conformance suite in package meshtest.
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
	"strings"
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
	OutOfScope    Reason = "out-of-scope"   // alive, but no longer matching UserSearchFilter or GroupFilter
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
	// MembersStamp is a group's lastMembershipUpdated, zero without one.
	MembersStamp time.Time
	// Everyone says that this is a BUILT_IN group Everyone.
	Everyone bool
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
	// UsersInGroupsOnly leaves out users who are no members of an imported group.
	UsersInGroupsOnly bool `json:"usersInGroupsOnly,omitempty"`
	// Ignore names the attributes that alone make no Update (IgnoreForChanges).
	Ignore []string `json:"ignore,omitempty"`
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
	Held      int `json:"held"` // deletes held back for an operator
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
	RunID      string  `json:"runId"`
	Connector  string  `json:"connector"`
	Mode       string  `json:"mode"`
	WorkflowID string  `json:"workflowId"`
	Namespace  string  `json:"namespace"`
	Outcome    Outcome `json:"outcome"`
	Error      string  `json:"error"`
	// Note is why the run is what it is: why a Full, whom a Skipped run gave way to.
	Note            string                `json:"note"`
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
	// Epoch is the feed's: a consumer keeps it with Seq.
	Epoch string `json:"epoch"`
}

// StoredWatermark is a row of im_watermarks. The text may be hand-edited and malformed.
type StoredWatermark struct {
	Text      string    `json:"text"`
	UpdatedAt time.Time `json:"updatedAt"`
	UpdatedBy string    `json:"updatedBy"` // a run id, or who set it by hand
}

// HoldState is where a hold stands.
type HoldState string

// The states of a hold.
const (
	HoldOpen     HoldState = "Open"
	HoldApproved HoldState = "Approved" // carried out
	HoldRejected HoldState = "Rejected"
	HoldExpired  HoldState = "Expired"
	HoldReplaced HoldState = "Replaced" // a completed Full found nothing to hold any more
)

// Hold is the deletes of a connector that wait for an operator (design.md §4). There
// is at most one open hold for each connector.
type Hold struct {
	Connector string `json:"connector"`
	// RunID is the run that changed the hold last; an approval names it.
	RunID     string             `json:"runId"`
	State     HoldState          `json:"state"`
	OpenedAt  time.Time          `json:"openedAt"`
	ChangedAt time.Time          `json:"changedAt"`
	ExpiresAt time.Time          `json:"expiresAt"`
	Deletes   map[ObjectType]int `json:"deletes"`
	Live      map[ObjectType]int `json:"live"` // of the types that have Deletes
	Reasons   map[Reason]int     `json:"reasons"`
	Sample    []HeldDelete       `json:"sample"`
	// ApprovedBy and ApprovedAt are set from an approval until it has been carried out.
	ApprovedBy string     `json:"approvedBy,omitempty"`
	ApprovedAt *time.Time `json:"approvedAt,omitempty"`
}

// HeldDelete is one delete that a hold keeps back.
type HeldDelete struct {
	Type       ObjectType `json:"type"`
	ExternalID string     `json:"externalId"`
	// OktaID is Okta's id, <group>:<member> of an edge; unlike an external id it is
	// never personal.
	OktaID string `json:"oktaId"`
	Reason Reason `json:"reason"`
	RunID  string `json:"runId"` // that held it
}

// Secret is one row of im_secrets without its value.
type Secret struct {
	Ref       string    `json:"ref"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// shadowPrefix begins the name of a shadow: no connector's name begins so.
const shadowPrefix = "~dry/"

// ShadowName is the name of the copy of a connector that a dry run writes to.
func ShadowName(connector, runID string) string { return shadowPrefix + connector + "/" + runID }

// RealName returns the connector that the shadow name is a copy of, and any other name
// as it is.
func RealName(name string) string {
	rest, shadow := strings.CutPrefix(name, shadowPrefix)
	if !shadow {
		return name
	}
	connector, _, _ := strings.Cut(rest, "/")
	return connector
}
