package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestFollowerIsKilled kills -9 a `changes --follow` again and again, while two connectors
// are imported and old rows are removed: with the offset that it stored, it misses no row and
// sees none twice.
func TestFollowerIsKilled(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, testFollowerIsKilled)
}

func testFollowerIsKilled(t *testing.T, newDB func() string) {
	w := newWorldOn(t, newDB(), oktasim.Config{Org: generated(t, 400, 10)}, map[string]any{"PageSize": 20})
	other := w.sibling(oktasim.Config{Org: generated(t, 400, 10)}, map[string]any{"PageSize": 20})
	w.ok(w.starter("", "feed", "ack", w.name, "0", "--reader", "me"))
	w.worker()
	f := &killed{world: w, offset: "0"}
	f.begin()

	var importing sync.WaitGroup
	over := make(chan struct{})
	for _, each := range []*world{w, other} {
		importing.Go(func() { // no test helpers: they end the goroutine
			for _, mode := range []string{"full", "delta", "delta"} {
				r, err := each.stack.Starter(t.Context(), each.env(), "", "run", each.name, "--mode", mode, "--wait", "-q")
				if err != nil || r.Code != 0 {
					t.Errorf("%s of %s: %v\n%s", mode, each.name, err, r.Stderr)
				}
				for _, id := range each.data.UserIDsByStatus("ACTIVE")[:30] {
					if err := each.data.UpdateUser(id, map[string]any{"title": mode + " " + each.name}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	go func() { importing.Wait(); close(over) }()
	kills := 0
	for done := false; !done; {
		select {
		case <-over:
			done = true
		default:
		}
		for range 1 + rand.IntN(150) { // #nosec G404 -- chance for a test
			if done || !f.row(over) {
				break
			}
		}
		f.kill()
		kills++
		w.ok(w.starter("", "feed", "ack", w.name, f.offset, "--reader", "me"))
		w.ok(w.starter("", "feed", "prune", w.name, "--changes-older-than", "1ns"))
		f.begin()
	}
	feed, err := w.store().Feed(t.Context(), w.name)
	require.NoError(t, err)
	for len(f.rows) < int(feed.Last) {
		require.True(t, f.row(nil))
	}
	f.kill()
	t.Logf("%d rows, killed %d times, rows from %d are kept", len(f.rows), kills, feed.First)
	require.Greater(t, feed.First, int64(1), "something was removed")
	for i, row := range f.rows {
		require.Equal(t, i+1, row.Seq)
	}
	for _, kept := range w.changes(int(feed.First) - 1) {
		require.Equal(t, kept, f.rows[kept.Seq-1].change)
	}
}

// killed is a `changes --follow` that is killed, and begins again at the offset that was
// stored with the last row.
type killed struct {
	*world

	offset string
	rows   []dated
	lines  chan []byte
	stop   context.CancelFunc
	ended  chan error
}

func (f *killed) begin() {
	ctx, stop := context.WithCancel(f.Context())
	cmd := f.stack.Command(ctx, "changes", f.name, "--since", f.offset, "-o", "jsonl", "--follow") // killed -9 by stop
	cmd.Env = append(cmd.Env, f.env()...)
	out, err := cmd.StdoutPipe()
	require.NoError(f, err)
	require.NoError(f, cmd.Start())
	lines, ended := make(chan []byte), make(chan error, 1)
	go func() {
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadBytes('\n')
			if err != nil { // half a line is none
				_, _ = io.Copy(io.Discard, out)
				ended <- cmd.Wait()
				return
			}
			select {
			case lines <- line:
			case <-ctx.Done():
			}
		}
	}()
	f.lines, f.stop, f.ended = lines, stop, ended
}

func (f *killed) kill() {
	f.stop()
	require.Error(f, <-f.ended, "it has no end of its own")
}

// row takes the next row; false: over came first.
func (f *killed) row(over <-chan struct{}) bool {
	select {
	case line := <-f.lines:
		var row dated
		require.NoError(f, json.Unmarshal(line, &row), "%s", line)
		f.rows, f.offset = append(f.rows, row), fmt.Sprintf("%s:%d", row.Epoch, row.Seq)
		return true
	case err := <-f.ended:
		require.NoError(f, err)
		require.Fail(f, "it ended by itself")
	case <-over:
	}
	return false
}
