package mesh

import (
	"context"
	"time"
)

// Restores is what is done after the database was restored from a backup.
type Restores interface {
	// Restored says that the database was put back to an earlier state (docs/adr/0016). The
	// feed of each connector begins a new epoch; whoever held a lease is fenced for good, and
	// runs that were under way are ended; the watermark is dropped, so that the next run is a
	// Full that says why; an approval of held deletes is taken back, and none is accepted until
	// that Full has decided anew; declared readers have to read the objects anew. Objects, feed
	// and holds stay. All of it is one transaction. Doing so again, or for a database that was
	// not restored, costs consumers a reading and nothing else.
	Restored(ctx context.Context, r Restore) ([]Restoration, error)
	// RestoredAt is when that was said last of a connector, deleted ones too: the feed's epoch
	// began then. Zero if nobody did; a [*NotFoundError] when there is no such connector.
	RestoredAt(ctx context.Context, connector string) (time.Time, error)
}

// Restore is what [Restores.Restored] needs.
type Restore struct {
	Connector string // empty: all, deleted ones too, whose feeds are still read
	By        string // who says so
	DryRun    bool   // only look
}

// Restoration is what a restore comes to for one connector.
type Restoration struct {
	Connector string `json:"connector"`
	Deleted   bool   `json:"deleted"`
	// Epoch is the feed's from now on, empty in a dry run; offsets of OldEpoch are refused.
	Epoch    string `json:"epoch,omitempty"`
	OldEpoch string `json:"oldEpoch"`
	Last     int64  `json:"last"` // the last row of the feed
	// NewestRun is when the newest run began that the database knows: the age of the backup.
	NewestRun *time.Time `json:"newestRun"`
	// EndedRuns were under way when the backup was taken.
	EndedRuns []string `json:"endedRuns"`
	// Watermark is the text that was dropped, "" for none.
	Watermark string `json:"watermark"`
	// Hold is the run that changed the open hold last, "" without one.
	Hold    string   `json:"hold"`
	Readers []string `json:"readers"` // have to read anew
}
