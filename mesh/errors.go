package mesh

import (
	"fmt"
	"io/fs"
	"time"
)

// NotFoundError says that the store holds no such thing.
type NotFoundError struct {
	Kind string // "connector", "run", "secret"
	Name string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("%s %q does not exist", e.Kind, e.Name) }

// Is makes errors.Is(err, fs.ErrNotExist) hold, for packages that do not import mesh.
func (e *NotFoundError) Is(target error) bool { return target == fs.ErrNotExist }

// ConflictError says that the request contradicts the state of the store.
type ConflictError struct{ Message string }

func (e *ConflictError) Error() string { return e.Message }

// FencedError says that the caller may no longer write: another run took the lease
// over, or another attempt claimed the stream. The caller stops; nothing was written.
type FencedError struct {
	Connector string
	RunID     string
	Holder    string // what holds it now, "" when nothing does
	Stream    string // set when another attempt claimed the stream
}

func (e *FencedError) Error() string {
	if e.Stream != "" {
		return fmt.Sprintf("another attempt of run %s has taken over %s: this one may not write", e.RunID, e.Stream)
	}
	return fmt.Sprintf("run %s no longer holds the lease of connector %q (holder: %q): it may not write", e.RunID, e.Connector, e.Holder)
}

// LeaseHeldError says that another run is importing this connector.
type LeaseHeldError struct {
	Connector  string
	RunID      string // the holder
	WorkflowID string
	Namespace  string
	// Waiting says that RunID does not hold the lease but waits for it, and goes first.
	Waiting bool
	Until   time.Time // when the lease runs out unless it is renewed
}

func (e *LeaseHeldError) Error() string {
	if e.Waiting {
		return fmt.Sprintf("run %s waits for connector %q and goes first", e.RunID, e.Connector)
	}
	return fmt.Sprintf("connector %q is being imported by run %s until at least %s",
		e.Connector, e.RunID, e.Until.UTC().Format(time.RFC3339))
}

// LoopError says that a walk met a next link that it had already followed.
type LoopError struct {
	Stream string
	Page   int
}

func (e *LoopError) Error() string {
	return fmt.Sprintf("the next link of page %d of %s repeats an earlier one: the listing would never end", e.Page, e.Stream)
}

// IncompleteError says that a walk which its run believes done is not done in the
// store: the database was restored from a backup, or lost its last transactions.
type IncompleteError struct {
	RunID string
	What  string
}

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("the mesh has lost pages that run %s had recorded (%s): was the database restored, or did the machine lose power? Nothing was deleted; start a new Full run", e.RunID, e.What)
}

// CollisionError says that two live objects of one type claim one external id.
type CollisionError struct {
	Type       ObjectType
	ExternalID string
	OktaIDs    [2]string
}

func (e *CollisionError) Error() string {
	return fmt.Sprintf("two live %ss share one external id: Okta has both %s and %s; change the login of one of them in Okta, or set ExternalIdAttribute to \"id\"",
		e.Type, e.OktaIDs[0], e.OktaIDs[1])
}

// UnavailableError says that the database did not answer, or had to undo a transaction.
// Nothing was written unless the answer to a COMMIT was lost; the call may be repeated,
// and should be later.
type UnavailableError struct {
	Why string
	Err error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("the mesh database is not available (%s); try again later: %v", e.Why, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }
