package mesh

import (
	"context"
	"fmt"
	"time"
)

// MinRunAge is the youngest age at which run rows may be removed: the plan of the weekly
// reconcile and the guards look back at them.
const MinRunAge = 8 * 24 * time.Hour

// FeedReader is a declared consumer of a connector's feed.
type FeedReader struct {
	Name string `json:"name"`
	// Acked is the seq of the last row that it has handled, 0 for none.
	Acked int64 `json:"acked"`
	// Epoch is the one in which Acked has that number. When it is not the feed's, the database
	// was restored since, and the reader has to read the objects anew.
	Epoch     string    `json:"epoch"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Feed says which rows of a connector's feed there are.
type Feed struct {
	Connector string `json:"connector"`
	// Epoch names the feed; numbers of another epoch mean nothing.
	Epoch string `json:"epoch"`
	// First is the seq of the oldest row that is kept, Last that of the newest; of a feed
	// without rows, First is Last+1.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Offset is that of Last, as a consumer keeps it who has just read all objects.
	Offset  string       `json:"offset"`
	Readers []FeedReader `json:"readers"` // by name
}

// Prune says what [Retention.Prune] may remove. A zero age removes nothing of its kind.
type Prune struct {
	Connector string
	// ChangesOlderThan is the age of feed rows. Whatever their age, those stay that a
	// declared reader has not acknowledged.
	ChangesOlderThan time.Duration
	// RunsOlderThan is the age of the ends of runs, at least MinRunAge. Those stay whose
	// changes or held deletes are there, and the last one of each mode and outcome.
	RunsOlderThan time.Duration
	// DryRun only counts.
	DryRun bool
}

// Pruned counts what was removed.
type Pruned struct {
	Changes int64 `json:"changes"`
	Runs    int64 `json:"runs"`
	// WaitsFor is the reader whose offset keeps older rows, "" when none does.
	WaitsFor string `json:"waitsFor,omitempty"`
}

// Retention keeps feed and run rows from growing for ever.
type Retention interface {
	// Acknowledge notes that reader has handled the feed up to an offset, and declares the
	// reader when it is new: from then on no row after it is removed before it has acknowledged
	// it. An offset never moves backwards within an epoch. After a restore, a reader that has
	// read the objects anew names the new epoch; until then, and for any other epoch, it gets an
	// [*EpochError]. A [*PrunedError] when the next rows are gone already, a [*ConflictError]
	// when the feed has not come that far.
	Acknowledge(ctx context.Context, connector, reader string, to Offset) (FeedReader, error)
	// ForgetReader ends the declaration; a [*NotFoundError] when there is none.
	ForgetReader(ctx context.Context, connector, reader string) error
	// Feed says which rows there are and who reads them.
	Feed(ctx context.Context, connector string) (*Feed, error)
	// Prune removes old rows in bounded transactions. Runs of the connector go on meanwhile.
	Prune(ctx context.Context, p Prune) (Pruned, error)
}

// PrunedError says that rows which a consumer asks for were removed: he has missed some.
type PrunedError struct {
	Connector string
	Since     int64
	First     int64 // the oldest row that is kept
}

func (e *PrunedError) Error() string {
	return fmt.Sprintf("rows %d to %d of the feed of connector %q were removed by retention: read the objects anew and go on after the feed's last row, and declare a reader so that nothing is removed before you have read it",
		e.Since+1, e.First-1, e.Connector)
}
