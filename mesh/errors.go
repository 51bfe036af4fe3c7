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
	return fmt.Sprintf("the mesh has lost pages that run %s had recorded (%s): was the database restored, or did the machine lose power? Nothing was deleted; if it was restored, say so with `starter restored`, then start a new Full run", e.RunID, e.What)
}

// RestoredError says that the database lacks what this caller, or this process, has written
// and seen committed: it was put back to an earlier state, by a restore or by a fail-over that
// lost transactions. Nothing was written.
type RestoredError struct {
	Connector string
	RunID     string // of which nothing is known, or ""
	Row, Last int64  // without a RunID: the row of the feed that was there, and the last one now
}

func (e *RestoredError) Error() string {
	what := fmt.Sprintf("it knows nothing of run %s of connector %q, which has written to it", e.RunID, e.Connector)
	if e.RunID == "" {
		what = fmt.Sprintf("the feed of connector %q, or what belongs to it, has lost rows (row %d was there, the last one is %d)", e.Connector, e.Row, e.Last)
	}
	return fmt.Sprintf("the mesh database was restored from a backup, or lost its last transactions: %s. Nothing was written; "+
		"say so with `starter restored`, then start a new run (docs/restore.md)", what)
}

// EpochError says that a consumer's offset belongs to another epoch of the feed: he has read
// rows that the database does not know any more, and the numbers after them mean others.
type EpochError struct {
	Connector string
	Since     Offset // what he asked for; without an epoch, a row that the feed never had
	Epoch     string // the feed's
	Last      int64  // its last row
}

func (e *EpochError) Error() string {
	what := fmt.Sprintf("offset %s is of another epoch of the feed of connector %q than %s: the database was restored from a backup since",
		e.Since, e.Connector, e.Epoch)
	if e.Since.Epoch == "" || e.Since.Epoch == e.Epoch {
		what = fmt.Sprintf("the feed of connector %q ends with row %d, and nobody can have read row %d of it: the database was restored from a backup since, or this is another connector's offset",
			e.Connector, e.Last, e.Since.Seq)
	}
	return what + fmt.Sprintf(". Read the objects anew (starter objects %s), then go on after %s", e.Connector, Offset{e.Epoch, e.Last})
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
