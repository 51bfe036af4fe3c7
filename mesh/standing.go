package mesh

import (
	"context"
	"time"
)

// Observer is what metrics and notifications read of all connectors at once. The numbers
// are the database's: they are the same in every process, and right after a restart.
type Observer interface {
	// Standings returns how every connector stands, by name. Shadows and deleted
	// connectors are left out. It reads a few rows for each connector, however many runs
	// and objects there are.
	Standings(ctx context.Context) ([]Standing, error)

	// ClaimEnded hands the follower the next ended run of any connector that it has not
	// passed, in the order in which a connector's runs began, and keeps it from other
	// owners for f.TTL; nil when there is none.
	ClaimEnded(ctx context.Context, f Follow) (*EndedRun, error)
	// PassEnded says that the run is dealt with: no owner is handed it again. A
	// [*ConflictError] when the claim ran out and another owner has it.
	PassEnded(ctx context.Context, r *EndedRun) error
	// PutBackEnded counts a failed attempt; the run is handed out again after wait. A
	// [*ConflictError] as in PassEnded.
	PutBackEnded(ctx context.Context, r *EndedRun, wait time.Duration) error
}

// Standing is how one connector stands.
type Standing struct {
	Connector string
	CreatedAt time.Time
	Ends      []RunTotal // in the order of mode and outcome
	// Running is when the run in progress started, by mode; nothing between runs.
	Running map[string]time.Time
	// Changes counts the rows that runs wrote to the feed since the connector was made, of
	// the run in progress too.
	Changes map[ObjectType]Counts
	Held    map[ObjectType]int // deletes of the open hold
	// HoldOpened and HoldExpires are zero without an open hold.
	HoldOpened, HoldExpires time.Time
	// Watermark is zero when there is none or its text is malformed.
	Watermark Watermark
}

// RunTotal is what the runs of a mode that ended with an outcome came to.
type RunTotal struct {
	Mode     string
	Outcome  Outcome
	Runs     int           // ever
	EndedAt  time.Time     // the newest
	Duration time.Duration // of the newest; 0 when it ended before this was noted
}

// Follow says who wants to be told of ended runs.
type Follow struct {
	Follower string // whose place is kept
	Owner    string // the process that asks in its name
	// TTL is how long the owner may take before another one is handed the same run.
	TTL time.Duration
	// MaxAge is how old news may be: runs that ended longer ago are passed over.
	MaxAge time.Duration
}

// EndedRun is a run that a follower is told of.
type EndedRun struct {
	Run Run
	// FailedBefore counts the failed runs in a row just before this one; Skipped and
	// Cancelled ones neither count nor end the row.
	FailedBefore int
	Attempts     int // to tell of it, that failed

	follow    Follow
	conn, key int64
}
