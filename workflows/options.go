package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
)

// The sizes of a run's steps. An activity reads many pages, since a Temporal round trip
// costs as much as a page, until its turn ends (activities.Config); each page is
// recorded by itself.
const (
	walkPages   = 500 // pages of users or groups in one activity
	memberPages = 500 // pages of members in one activity
	fewSlots    = 4   // with fewer calls in flight than this, none is kept free
)

// maxRateLimitWait is how long a run waits for Okta's budget without a page before
// it gives up (design.md §4).
const maxRateLimitWait = 30 * time.Minute

// While another run holds the connector, a Full asks again at these intervals.
const (
	firstHeldPoll = 2 * time.Second
	lastHeldPoll  = 30 * time.Second
)

// expireAgain is the pause before a hold that could not be ended is looked at again.
const expireAgain = time.Minute

// class is a kind of activity; its options are written here and nowhere else.
type class int

const (
	reading  class = iota // calls Okta, heartbeats, ends after a bounded number of pages
	settling              // works in the mesh, heartbeats
	step                  // one short transaction, heartbeats
	ending                // the last word of a run that did not complete
)

// options returns the options of a class. Attempts are not limited here: the
// runbook's three retries count failed pages, which only a living activity can
// (activities.MaxRetries); lost workers and a database under repair are waited for.
func options(ctx workflow.Context, c class, summary string) workflow.Context {
	o := workflow.ActivityOptions{
		Summary:             summary,
		WaitForCancellation: true, // the page in hand is finished first
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:        time.Second,
			BackoffCoefficient:     2,
			MaximumInterval:        30 * time.Second,
			NonRetryableErrorTypes: activities.NonRetryable,
		},
	}
	switch c {
	case reading:
		o.StartToCloseTimeout = 30 * time.Minute // pages × the client's time-out, and some
		o.HeartbeatTimeout = 15 * time.Second    // a lost worker is noticed this soon
	case settling:
		o.StartToCloseTimeout = 2 * time.Hour
		o.HeartbeatTimeout = 15 * time.Second
	case step:
		o.StartToCloseTimeout = 5 * time.Minute
		o.HeartbeatTimeout = 15 * time.Second
	case ending:
		o.StartToCloseTimeout = time.Minute
		o.ScheduleToCloseTimeout = 10 * time.Minute // then the lease runs out by itself
	}
	return workflow.WithActivityOptions(ctx, o)
}
