package mesh

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// queueBench is a store whose writers the test lines up.
type queueBench struct {
	t     *testing.T
	store *SQLite
	path  string
	wg    sync.WaitGroup

	mu         sync.Mutex
	order      []string
	in         map[string]*sqlTx // the transaction that each was written in
	results    map[string]error
	panicked   map[string]any
	remembered map[string]bool
}

func newQueueBench(t *testing.T) *queueBench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mesh.db")
	s, err := OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	b := &queueBench{
		t: t, store: s, path: path,
		in: map[string]*sqlTx{}, results: map[string]error{}, panicked: map[string]any{}, remembered: map[string]bool{},
	}
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return b
}

// put writes a row by which the caller is known again.
func put(t *tx, name string) error {
	_, err := t.exec(t.ctx, `INSERT INTO im_secrets (ref, sealed, created_at, updated_at) VALUES (?, x'00', 0, 0)`, name)
	return err
}

// call has a caller write his row and do what else he does.
func (b *queueBench) call(ctx context.Context, name string, alone bool, also func(t *tx) error) error {
	return b.store.submit(&writeCall{ctx: ctx, alone: alone, fn: func(t *tx) error {
		b.mu.Lock()
		b.order, b.in[name] = append(b.order, name), t.sqlTx
		b.mu.Unlock()
		t.afterCommit = append(t.afterCommit, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.remembered[name] = true
		})
		if err := put(t, name); err != nil {
			return err
		}
		return also(t)
	}})
}

// remembers says whether what the caller wanted to be remembered after the commit was.
func (b *queueBench) remembers(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remembered[name]
}

// hold lets a caller write until the returned function is called.
func (b *queueBench) hold() (release func()) {
	b.t.Helper()
	writing, done := make(chan struct{}), make(chan struct{})
	b.start(b.t.Context(), "held", false, func(*tx) error {
		close(writing)
		<-done
		return nil
	})
	<-writing
	return sync.OnceFunc(func() { close(done) })
}

// start starts a caller.
func (b *queueBench) start(ctx context.Context, name string, alone bool, also func(t *tx) error) {
	b.wg.Go(func() {
		returned := false
		defer func() {
			p := recover()
			b.mu.Lock()
			defer b.mu.Unlock()
			if p != nil {
				b.panicked[name] = p
			} else if !returned {
				b.results[name] = errLostTransaction // runtime.Goexit
			}
		}()
		err := b.call(ctx, name, alone, also)
		returned = true
		b.mu.Lock()
		defer b.mu.Unlock()
		b.results[name] = err
	})
}

// queue starts a caller and returns when he waits for his turn.
func (b *queueBench) queue(ctx context.Context, name string, alone bool, also func(t *tx) error) {
	b.t.Helper()
	before := b.waiting()
	b.start(ctx, name, alone, also)
	require.Eventually(b.t, func() bool { return b.waiting() > before }, 10*time.Second, 100*time.Microsecond)
}

func (b *queueBench) waiting() int {
	b.store.queue.mu.Lock()
	defer b.store.queue.mu.Unlock()
	return len(b.store.queue.waiting)
}

// rows are the callers whose rows are there.
func (b *queueBench) rows() map[string]bool {
	b.t.Helper()
	refs, err := b.store.ListSecrets(b.t.Context())
	require.NoError(b.t, err)
	names := map[string]bool{}
	for _, r := range refs {
		names[r.Ref] = true
	}
	return names
}

// works checks that the store still writes.
func (b *queueBench) works() {
	b.t.Helper()
	require.NoError(b.t, b.call(b.t.Context(), "afterwards", false, nothing))
	require.True(b.t, b.rows()["afterwards"])
	require.Zero(b.t, b.waiting())
}

func nothing(*tx) error { return nil }

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("c", i))
	}
	return all
}

func TestCallersShareACommit(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	release := b.hold()
	for i, name := range names(9) {
		b.queue(t.Context(), name, false, func(*tx) error {
			if i == 8 { // the last one: nobody was answered, nobody is seen
				b.mu.Lock()
				require.NotContains(t, b.results, "c0")
				b.mu.Unlock()
				require.Equal(t, map[string]bool{"held": true}, b.rows())
				require.False(t, b.remembers("c0"))
			}
			return nil
		})
	}
	release()
	b.wg.Wait()
	require.Equal(t, append([]string{"held"}, names(9)...), b.order, "in the order of arrival")
	require.NotSame(t, b.in["held"], b.in["c0"])
	for _, name := range names(9) {
		require.NoError(t, b.results[name])
		require.Same(t, b.in["c0"], b.in[name], "one transaction for all")
		require.True(t, b.rows()[name])
		require.True(t, b.remembers(name))
	}
}

func TestCommitServesABoundedNumber(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	release := b.hold()
	const n = 2*maxShared + 1
	for _, name := range names(n) {
		b.queue(t.Context(), name, false, nothing)
	}
	release()
	b.wg.Wait()
	served := map[*sqlTx]int{}
	for _, name := range names(n) {
		require.NoError(t, b.results[name])
		served[b.in[name]]++
	}
	require.GreaterOrEqual(t, len(served), 3)
	for _, k := range served {
		require.LessOrEqual(t, k, maxShared)
	}
}

func TestLongTransactionTakesNobodyElse(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	release := b.hold()
	b.queue(t.Context(), "c0", false, func(*tx) error {
		time.Sleep(maxSharing) // the work of a page that takes long
		return nil
	})
	b.queue(t.Context(), "c1", false, nothing)
	release()
	b.wg.Wait()
	require.NotSame(t, b.in["c0"], b.in["c1"])
}

func TestLongWriterStaysAlone(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	release := b.hold()
	for i, name := range names(5) {
		b.queue(t.Context(), name, i == 2, nothing)
	}
	release()
	b.wg.Wait()
	require.Equal(t, append([]string{"held"}, names(5)...), b.order, "it keeps its place, too")
	require.Same(t, b.in["c0"], b.in["c1"])
	require.Same(t, b.in["c3"], b.in["c4"])
	require.NotSame(t, b.in["c1"], b.in["c2"])
	require.NotSame(t, b.in["c2"], b.in["c3"])
	require.Len(t, b.rows(), 6)
}

func TestFailureIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	for _, failing := range [][]string{{"c0"}, {"c1", "c2"}, {"c4"}, names(5)} {
		b := newQueueBench(t)
		release := b.hold()
		mine := errors.New("mine")
		for _, name := range names(5) {
			b.queue(t.Context(), name, false, func(*tx) error {
				if slices.Contains(failing, name) {
					return mine
				}
				return nil
			})
		}
		release()
		b.wg.Wait()
		for _, name := range names(5) {
			fails := slices.Contains(failing, name)
			require.Equal(t, fails, errors.Is(b.results[name], mine), name)
			require.Equal(t, !fails, b.rows()[name], name)
			require.Equal(t, !fails, b.remembers(name), name)
		}
		b.works()
	}
}

func TestFailedCommitIsEverybodysError(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	release := b.hold()
	mine := errors.New("mine")
	for i, name := range names(4) {
		b.queue(t.Context(), name, false, func(t *tx) error {
			switch i {
			case 1: // a broken reference that is only looked at by COMMIT
				if _, err := t.exec(t.ctx, `PRAGMA defer_foreign_keys = 1`); err != nil {
					return err
				}
				_, err := t.exec(t.ctx, `INSERT INTO im_watermarks (connector_key) VALUES (4711)`)
				return err
			case 2:
				return mine
			}
			return nil
		})
	}
	release()
	b.wg.Wait()
	for _, name := range []string{"c0", "c1", "c3"} {
		require.ErrorContains(t, b.results[name], "commit a mesh transaction", name)
		require.False(t, b.remembers(name))
	}
	require.ErrorIs(t, b.results["c2"], mine)
	require.Equal(t, map[string]bool{"held": true}, b.rows())
	b.works()
}

func TestLostTransactionIsEverybodysError(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *tx) error{
		"and says so": func(t *tx) error {
			_, err := t.exec(t.ctx, `ROLLBACK`)
			return errors.Join(err, errors.New("disk full"))
		},
		"and hides it":         func(t *tx) error { _, err := t.exec(t.ctx, `ROLLBACK`); return err },
		"by the bound":         func(t *tx) error { return t.sql.Rollback() },
		"by a lost connection": func(t *tx) error { return errors.Join(t.sql.Rollback(), errors.New("bad connection")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newQueueBench(t)
			release := b.hold()
			b.queue(t.Context(), "c0", false, nothing)
			b.queue(t.Context(), "c1", false, lose)
			b.queue(t.Context(), "c2", false, nothing)
			release()
			b.wg.Wait()
			require.Error(t, b.results["c0"])
			require.Error(t, b.results["c1"])
			require.NoError(t, b.results["c2"], "whose turn had not come")
			require.Equal(t, map[string]bool{"held": true, "c2": true}, b.rows())
			b.works()
		})
	}
}

func TestCancelledCallerLeavesTheQueue(t *testing.T) {
	t.Parallel()
	for _, alone := range []bool{false, true} {
		b := newQueueBench(t)
		release := b.hold()
		ctx, cancel := context.WithCancel(t.Context())
		b.queue(t.Context(), "c0", false, nothing)
		b.queue(ctx, "c1", alone, nothing)
		b.queue(t.Context(), "c2", false, nothing)
		cancel()
		require.Eventually(t, func() bool { return b.waiting() == 2 }, 10*time.Second, 100*time.Microsecond, "at once")
		release()
		b.wg.Wait()
		require.ErrorIs(t, b.results["c1"], context.Canceled)
		require.NoError(t, b.results["c0"])
		require.NoError(t, b.results["c2"])
		require.Equal(t, map[string]bool{"held": true, "c0": true, "c2": true}, b.rows())
		require.ErrorIs(t, b.call(ctx, "late", alone, nothing), context.Canceled)
		b.works()
	}
}

func TestCancelledCallerDoesNotDisturbTheOthers(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	release := b.hold()
	ctx, cancel := context.WithCancel(t.Context())
	b.queue(ctx, "c0", false, func(*tx) error { cancel(); return nil })
	b.queue(ctx, "c1", false, nothing) // cancelled before its turn
	b.queue(t.Context(), "c2", false, func(t *tx) error { return put(t, "c2 too") })
	release()
	b.wg.Wait()
	require.NoError(t, b.results["c0"], "it was written whole")
	require.ErrorIs(t, b.results["c1"], context.Canceled)
	require.NoError(t, b.results["c2"])
	require.Equal(t, map[string]bool{"held": true, "c0": true, "c2": true, "c2 too": true}, b.rows())
	b.works()
}

// TestCancelledLeader has the leader give up while another process writes.
func TestCancelledLeader(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	other, err := sql.Open("sqlite", dsn(b.path, "_txlock=immediate"))
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	lock, err := other.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	b.start(ctx, "leader", false, nothing)
	require.Eventually(t, func() bool {
		b.store.queue.mu.Lock()
		defer b.store.queue.mu.Unlock()
		return b.store.queue.led
	}, 10*time.Second, 100*time.Microsecond)
	b.queue(t.Context(), "c0", false, nothing)
	cancel()
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.results["leader"] != nil
	}, 10*time.Second, 100*time.Microsecond)
	require.NoError(t, lock.Rollback())
	b.wg.Wait()
	require.ErrorIs(t, b.results["leader"], context.Canceled)
	require.NoError(t, b.results["c0"])
	b.works()
}

func TestPanicReachesItsCallerAlone(t *testing.T) {
	t.Parallel()
	for _, alone := range []bool{false, true} {
		for _, who := range names(3) {
			b := newQueueBench(t)
			release := b.hold()
			for _, name := range names(3) {
				b.queue(t.Context(), name, alone && name == who, func(*tx) error {
					if name == who {
						panic("what a pity")
					}
					return nil
				})
			}
			release()
			b.wg.Wait()
			require.Contains(t, fmt.Sprint(b.panicked[who]), "what a pity")
			require.Len(t, b.panicked, 1)
			for _, name := range names(3) {
				require.NoError(t, b.results[name])
				require.Equal(t, name != who, b.rows()[name])
			}
			b.works()
		}
	}
}

func TestEndedGoroutineHandsOn(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	release := b.hold()
	b.queue(t.Context(), "c0", false, nothing)
	b.queue(t.Context(), "c1", false, func(*tx) error { runtime.Goexit(); return nil })
	b.queue(t.Context(), "c2", false, nothing)
	release()
	b.wg.Wait()
	require.ErrorIs(t, b.results["c0"], errLostTransaction)
	require.ErrorIs(t, b.results["c1"], errLostTransaction)
	require.NoError(t, b.results["c2"])
	b.works()
}

// TestManyWriters has callers of every kind at once; the race detector looks on.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	b := newQueueBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ran atomic.Int64
	for i := range 200 {
		mine := t.Context()
		if i%5 == 0 {
			mine = ctx
		}
		b.start(mine, fmt.Sprint("c", i), i%7 == 0, func(*tx) error {
			if ran.Add(1) == 50 {
				cancel()
			}
			if i%11 == 0 {
				return errLostTransaction
			}
			return nil
		})
	}
	b.wg.Wait()
	rows := b.rows()
	for i := range 200 {
		name := fmt.Sprint("c", i)
		require.Equal(t, b.results[name] == nil, rows[name], name)
		if i%5 > 0 && i%11 > 0 {
			require.NoError(t, b.results[name])
		}
	}
	b.works()
}
