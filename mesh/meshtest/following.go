package meshtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/mesh"
)

// RunFollowers tests consumers of the feed while several processes write and rows are
// removed.
func RunFollowers(t *testing.T, open func(t *testing.T) Database) {
	t.Helper()
	db := open(t)
	stores := []mesh.Store{db.Open(t), db.Open(t), db.Open(t)}
	var n atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		if n.Add(1) > db.Most && db.Most > 0 {
			return
		}
		(&crowd{ctx: t.Context(), rt: rt, db: db, stores: stores, seed: rapid.Uint64().Draw(rt, "seed")}).run(fmt.Sprint("crowd", n.Load()))
	})
}

// crowd is writers, readers and somebody who tidies up, all at once.
type crowd struct {
	ctx    context.Context
	rt     *rapid.T
	db     Database
	stores []mesh.Store
	seed   uint64
	made   atomic.Uint64 // sources of chance, and stores that were handed out

	mu     sync.Mutex
	failed []error
}

// chance is a source of its own for each goroutine: rapid's are of one only.
func (c *crowd) chance() *rand.Rand {
	return rand.New(rand.NewPCG(c.seed, c.made.Add(1))) // #nosec G404 -- chance for a test
}

func (c *crowd) store() mesh.Store { return c.stores[c.made.Add(1)%uint64(len(c.stores))] }

// try notes what goes wrong in a goroutine.
func (c *crowd) try(err error) {
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failed = append(c.failed, err)
	}
}

func (c *crowd) run(prefix string) {
	connectors := rapid.IntRange(1, 3).Draw(c.rt, "connectors")
	writers := rapid.IntRange(1, 4).Draw(c.rt, "writers of each")
	pages := rapid.IntRange(1, 6).Draw(c.rt, "pages of each")
	followers := rapid.IntRange(1, 3).Draw(c.rt, "followers of each")
	late := rapid.IntRange(0, 2).Draw(c.rt, "transactions that end late")
	var writing, reading sync.WaitGroup
	written := make(chan struct{})
	seen := map[string][]*follower{}
	for i := range connectors {
		b := newBench(c.ctx, c.rt, c.stores[0], fmt.Sprint(prefix, "-", i))
		r := b.begin()
		for w := range writers {
			writing.Go(func() { c.try(c.write(r.fence, c.store(), fmt.Sprint("users", w), pages)) })
		}
		if late > 0 {
			writing.Go(func() { c.lateOnes(b.name, late) })
		}
		for f := range followers {
			follower := &follower{crowd: c, connector: b.name, name: fmt.Sprint("reader", f), store: c.store()}
			seen[b.name] = append(seen[b.name], follower)
			_, err := follower.store.Acknowledge(c.ctx, b.name, follower.name, mesh.Offset{})
			require.NoError(c.rt, err)
			reading.Go(func() { c.try(follower.run(written)) })
		}
		reading.Go(func() { c.try(c.prune(b.name, written)) })
	}
	writing.Wait()
	close(written)
	reading.Wait()
	require.NoError(c.rt, errors.Join(c.failed...))
	for name, all := range seen {
		feed, err := c.stores[0].Feed(c.ctx, name)
		require.NoError(c.rt, err)
		for _, f := range all {
			require.EqualValues(c.rt, feed.Last, len(f.rows), "%s has read all of %s", f.name, name)
			require.Equal(c.rt, all[0].rows, f.rows, "each row is the same to everybody")
		}
	}
}

// write walks a stream. Between its pages it makes mistakes, whose transactions are undone.
func (c *crowd) write(f mesh.Fence, s mesh.Store, stream string, pages int) error {
	chance := c.chance()
	if _, err := s.Claim(c.ctx, f, stream, "me"); err != nil {
		return err
	}
	for p := 1; p <= pages; p++ {
		page := objectPage(stream, p, p == pages)
		for u := range chance.IntN(8) {
			page.Objects = append(page.Objects, user(fmt.Sprint(stream, "-", u), "v", p*chance.IntN(3)))
		}
		page.Rows = len(page.Objects)
		if wrong := page; p > 1 && p < pages && chance.IntN(3) == 0 {
			wrong.Next = objectPage(stream, p-1, false).Next
			wrong.Objects = append(slices.Clone(page.Objects), user(stream+"-undone"))
			var loop *mesh.LoopError
			if _, err := s.WriteObjects(c.ctx, f, wrong); !errors.As(err, &loop) {
				return fmt.Errorf("a page that loops: %w", err)
			}
		}
		if chance.IntN(4) == 0 { // a caller who has left
			gone, cancel := context.WithCancel(c.ctx)
			cancel()
			if _, err := s.WriteObjects(gone, f, page); err == nil {
				return errors.New("somebody who left has written")
			}
		}
		for range 1 + chance.IntN(2) { // an answer was lost
			if _, err := s.WriteObjects(c.ctx, f, page); err != nil {
				return err
			}
		}
	}
	return nil
}

// lateOnes takes numbers of the feed in transactions that end a while later, one way or the
// other.
func (c *crowd) lateOnes(connector string, n int) {
	chance := c.chance()
	for range n {
		end := c.db.Late(c.rt, connector)
		for range 3 + chance.IntN(20) { // others read meanwhile
			if _, err := c.stores[0].Feed(c.ctx, connector); err != nil {
				c.try(err)
			}
		}
		end(chance.IntN(2) == 0)
	}
}

// prune removes whatever the readers let go, again and again.
func (c *crowd) prune(connector string, written <-chan struct{}) error {
	s := c.store()
	for {
		if _, err := s.Prune(c.ctx, mesh.Prune{Connector: connector, ChangesOlderThan: time.Nanosecond}); err != nil {
			return err
		}
		select {
		case <-written:
			return nil
		default:
		}
	}
}

// follower is a consumer that stops and resumes.
type follower struct {
	*crowd

	connector, name string
	store           mesh.Store
	at              mesh.Offset
	rows            []string
}

// run follows until everything that was written has been read.
func (f *follower) run(written <-chan struct{}) error {
	chance := f.chance()
	for {
		over := false
		select {
		case <-written:
			over = true
		default:
		}
		stop := chance.IntN(12) // rows, then it stops in the middle
		if over {
			stop = -1
		}
		if err := f.read(chance.IntN(2)*chance.IntN(6), stop); err != nil {
			return fmt.Errorf("%s of %s at %s: %w", f.name, f.connector, f.at, err)
		}
		// It has stored what it handled; its acknowledgement may come later.
		if chance.IntN(3) == 0 || over {
			if _, err := f.store.Acknowledge(f.ctx, f.connector, f.name, f.at); err != nil {
				return err
			}
		}
		if over {
			return f.read(0, -1)
		}
	}
}

// read reads up to limit rows on from where it is, or stops before.
func (f *follower) read(limit, stop int) error {
	for c, err := range f.store.Changes(f.ctx, mesh.ChangeQuery{Connector: f.connector, Since: f.at.Seq, Epoch: f.at.Epoch, Limit: limit}) {
		if err != nil {
			return err
		}
		if c.Seq != f.at.Seq+1 {
			return fmt.Errorf("row %d came after %d", c.Seq, f.at.Seq)
		}
		f.at = mesh.Offset{Epoch: c.Epoch, Seq: c.Seq}
		f.rows = append(f.rows, line(c)+" "+string(c.Attributes))
		if stop--; stop == 0 {
			return nil
		}
	}
	return nil
}
