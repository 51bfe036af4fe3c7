package mesh_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// TestOldRunsAreRemoved ages runs by hand: those go that ended long ago and that nothing
// refers to.
func TestOldRunsAreRemoved(t *testing.T) {
	t.Parallel()
	onEachURL(t, func(t *testing.T, url string) {
		s, ctx := openURL(t, url), t.Context()
		_, err := s.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
		require.NoError(t, err)
		end := func(id, mode string, outcome mesh.Outcome, users ...string) {
			f, err := s.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: id, Mode: mode, LeaseTTL: time.Hour})
			require.NoError(t, err)
			_, err = s.Claim(ctx, f, "users", "me")
			require.NoError(t, err)
			page := mesh.ObjectPage{Import: true, Page: mesh.Page{Stream: "users", Owner: "me", Number: 1, Done: true}}
			for _, u := range users {
				page.Objects = append(page.Objects, shareUser(u, id))
			}
			_, err = s.WriteObjects(ctx, f, page)
			require.NoError(t, err)
			_, err = s.End(ctx, id, outcome, "")
			require.NoError(t, err)
		}
		end("old1", "Delta", mesh.Completed, "u1")
		end("old2", "Delta", mesh.Completed)
		end("lastDelta", "Delta", mesh.Completed)
		end("lastFull", "Full", mesh.Completed)
		end("failed", "Delta", mesh.Failed)
		raw := rawURL(t, url)
		age := func(where string) {
			const tenDays = 10 * 24 * 3600 * 1000
			_, err := raw.ExecContext(ctx, fmt.Sprintf(`UPDATE im_runs SET started_at = started_at - %d, ended_at = ended_at - %d WHERE %s`, tenDays, tenDays, where))
			require.NoError(t, err)
			_, err = raw.ExecContext(ctx, fmt.Sprintf(`UPDATE im_changes SET at = at - %d WHERE run_key IN (SELECT key FROM im_runs WHERE %s)`, tenDays, where))
			require.NoError(t, err)
		}
		prune := mesh.Prune{Connector: "c", RunsOlderThan: 9 * 24 * time.Hour}
		done, err := s.Prune(ctx, prune)
		require.NoError(t, err)
		require.Zero(t, done, "they are young")
		age(`true`)
		done, err = s.Prune(ctx, prune)
		require.NoError(t, err)
		require.Zero(t, done, "a row of the feed names old1, and the others came after it")
		prune.ChangesOlderThan, prune.DryRun = time.Hour, true
		end("young", "Delta", mesh.Completed, "u2")
		done, err = s.Prune(ctx, prune)
		require.NoError(t, err)
		require.Equal(t, mesh.Pruned{Changes: 1}, done, "the rows are there yet")
		prune.DryRun = false
		done, err = s.Prune(ctx, prune)
		require.NoError(t, err)
		require.Equal(t, mesh.Pruned{Changes: 1, Runs: 3}, done)
		left := []string{}
		runs, err := s.Runs(ctx, "c", 0)
		require.NoError(t, err)
		for _, r := range runs {
			left = append(left, r.RunID)
		}
		require.Equal(t, []string{"young", "failed", "lastFull"}, left, "the last of each mode and outcome")
		rows := []mesh.Change{}
		for c, err := range s.Changes(ctx, mesh.ChangeQuery{Connector: "c", Since: 1}) {
			require.NoError(t, err)
			rows = append(rows, c)
		}
		require.Len(t, rows, 1)
		require.Equal(t, "young", rows[0].RunID)
	})
}

// TestPruneNeverOutrunsAReader has readers follow the feed and acknowledge what they have
// read, while a run writes it and old rows are removed all the time.
func TestPruneNeverOutrunsAReader(t *testing.T) {
	t.Parallel()
	onEachURL(t, func(t *testing.T, url string) {
		s, ctx := openURL(t, url), t.Context()
		_, err := s.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
		require.NoError(t, err)
		f, err := s.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: "r", LeaseTTL: time.Hour})
		require.NoError(t, err)
		const readers, pages = 2, 60
		errs := make(chan error, readers+2)
		finished := make(chan struct{})
		for i := range readers {
			name := fmt.Sprint("reader", i)
			_, err := s.Acknowledge(ctx, "c", name, mesh.Offset{Seq: 0})
			require.NoError(t, err)
			go func() { errs <- readToTheEnd(t, openURL(t, url), name, 2*pages) }()
		}
		go func() {
			_, err := writeThrough(ctx, s, f, "users", pages)
			errs <- err
		}()
		go func() {
			pruner := openURL(t, url)
			for {
				select {
				case <-finished:
					errs <- nil
					return
				default:
				}
				if _, err := pruner.Prune(ctx, mesh.Prune{Connector: "c", ChangesOlderThan: time.Nanosecond}); err != nil {
					errs <- err
					return
				}
			}
		}()
		for range readers + 1 {
			require.NoError(t, <-errs)
		}
		close(finished)
		require.NoError(t, <-errs)
	})
}

// readToTheEnd follows the feed to its row last, some rows at a time.
func readToTheEnd(t *testing.T, s mesh.Store, name string, last int64) error {
	for seq := int64(0); seq < last; {
		for c, err := range s.Changes(t.Context(), mesh.ChangeQuery{Connector: "c", Since: seq, Limit: 7}) {
			if err != nil {
				return err
			}
			if c.Seq != seq+1 {
				return fmt.Errorf("%s: row %d came after %d", name, c.Seq, seq)
			}
			seq = c.Seq
		}
		if _, err := s.Acknowledge(t.Context(), "c", name, mesh.Offset{Seq: seq}); err != nil {
			return err
		}
	}
	return nil
}

// rawURL opens the database beside the store.
func rawURL(t *testing.T, url string) *sql.DB {
	t.Helper()
	if path, ok := strings.CutPrefix(url, "sqlite://"); ok {
		return openRaw(t, path)
	}
	return rawPostgres(t, url)
}

// TestUpgradeFromTheFirstSchema opens a database of the release before retention.
func TestUpgradeFromTheFirstSchema(t *testing.T) {
	t.Parallel()
	onEachURL(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s, err := mesh.Open(ctx, url)
		require.NoError(t, err)
		_, err = s.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
		require.NoError(t, err)
		f, err := s.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: "r", LeaseTTL: time.Hour})
		require.NoError(t, err)
		_, err = writeThrough(ctx, s, f, "users", 2)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		raw := rawURL(t, url)
		for _, q := range []string{
			`ALTER TABLE im_connectors DROP COLUMN unhealed`, `ALTER TABLE im_connectors DROP COLUMN restored_at`, // the other column goes with its table
			`DROP INDEX im_runs_open`, `DROP INDEX im_runs_order`,
			`DROP TABLE im_followers`, `DROP TABLE im_change_totals`, `DROP TABLE im_run_totals`,
			`DROP TABLE im_readers`, `ALTER TABLE im_connectors DROP COLUMN pruned_seq`,
			`DELETE FROM goose_db_version WHERE version_id > 1`,
		} {
			_, err := raw.ExecContext(ctx, q)
			require.NoError(t, err)
		}
		upgraded := openURL(t, url)
		require.Len(t, feed(t, upgraded, "c"), 4)
		_, err = writeThrough(ctx, upgraded, f, "more", 2)
		require.NoError(t, err)
		r, err := upgraded.Acknowledge(ctx, "c", "reader", mesh.Offset{Seq: 8})
		require.NoError(t, err)
		require.EqualValues(t, 8, r.Acked)
	})
}
