package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLongWriterIsNextAfterAll has a caller leave who was counted among the company, so
// that the long writer behind him is the next.
func TestLongWriterIsNextAfterAll(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	release := b.hold()
	ctx, leave := context.WithCancel(t.Context())
	b.queue(t.Context(), "c0", false, func(*tx) error {
		leave()
		for b.waiting() > 1 {
			runtime.Gosched()
		}
		return nil
	})
	b.queue(ctx, "c1", false, nothing)
	b.queue(t.Context(), "c2", true, nothing)
	release()
	b.wg.Wait()
	require.ErrorIs(t, b.results["c1"], context.Canceled)
	require.NoError(t, b.results["c2"])
	require.NotSame(t, b.in["c0"], b.in["c2"])
}

// TestAFailedBeginIsEverybodysError spares those who wait to wait for the same failure,
// one after the other.
func TestAFailedBeginIsEverybodysError(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	release := b.hold()
	for _, name := range names(3) {
		b.queue(t.Context(), name, false, nothing)
	}
	require.NoError(t, b.store.Close())
	release()
	b.wg.Wait()
	require.ErrorContains(t, b.results["c0"], "begin a mesh transaction")
	for _, name := range names(3) {
		require.Same(t, b.results["c0"], b.results[name], name)
	}
}

// TestNothingIsKeptOfAFailedPage has a page fail that had noted that the settle has to
// begin anew; the next page of the run has to note it again.
func TestNothingIsKeptOfAFailedPage(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	_, err := b.store.ApplyConnector(t.Context(), Connector{Name: "org", Type: "Okta"})
	require.NoError(t, err)
	fence, err := b.store.Begin(t.Context(), BeginRun{Connector: "org", RunID: "run", LeaseTTL: time.Hour})
	require.NoError(t, err)
	require.NoError(t, b.store.write(t.Context(), func(t *tx) error {
		_, err := t.exec(t.ctx, `UPDATE im_runs SET settling = 1`)
		return err
	}))
	release := b.hold()
	mine := errors.New("mine")
	for _, fails := range []error{mine, nil} {
		b.queue(t.Context(), fmt.Sprint("fails: ", fails), false, func(t *tx) error {
			if err := t.enter(t.ctx, fence); err != nil {
				return err
			}
			return cmp.Or(t.unsettle(t.ctx), fails)
		})
	}
	release()
	b.wg.Wait()
	require.ErrorIs(t, b.results["fails: mine"], mine)
	require.NoError(t, b.results["fails: <nil>"])
	var settling bool
	_, err = first(t.Context(), b.store.reader, []any{&settling}, `SELECT settling FROM im_runs`)
	require.NoError(t, err)
	require.False(t, settling)
}
