package activities

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta"
)

// TestWorse: a look-up that times out again and again counts as a failure, however many
// others in its batch wait for the rate limit.
func TestWorse(t *testing.T) {
	t.Parallel()
	limit := func(wait time.Duration) error {
		return &okta.RateLimitError{APIError: okta.Error{Kind: okta.RetryLater, RetryAfter: wait}, Wait: wait}
	}
	fails := func(after time.Duration) error { return &okta.Error{Kind: okta.RetryLater, RetryAfter: after} }
	order := []error{nil, limit(time.Second), limit(5 * time.Minute), fails(0), fails(10 * time.Second), errors.New("the store")}
	for i, worst := range order {
		for j, other := range order[:i+1] {
			t.Run(fmt.Sprint(i, " ", j), func(t *testing.T) {
				t.Parallel()
				require.Equal(t, worst, worse(worst, other))
				require.Equal(t, worst, worse(other, worst))
			})
		}
	}
}
