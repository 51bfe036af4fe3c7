package mesh

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// maxShared is how many callers one commit serves at most: well over the calls that a
	// connector has in flight.
	maxShared = 32
	// maxSharing is how long pages are added to a transaction that others wait for.
	maxSharing = 100 * time.Millisecond
	// maxTries is how often a transaction is tried that the database undoes for others' sake.
	maxTries = 5
	// maxTransaction bounds a shared transaction, which no caller's context ends: the wait
	// for another process, and twice that.
	maxTransaction = 3 * busyTimeout
)

// errLostTransaction is the error of those who shared a transaction that broke off.
var errLostTransaction = errors.New("the mesh transaction was lost with the one who led it: call again")

// writeCall is one caller who writes.
type writeCall struct {
	ctx       context.Context
	fn        func(t *tx) error
	connector string // whom it writes for; "" when it is not a run's
	alone     bool
	copies    bool // reads one moment of a connector that others write: see dialect.copying

	err      error
	panicked *writePanic
	turn     chan bool // true: lead; false: the call has its result
}

// writePanic is a panic of a call's function, on its way to the caller's goroutine.
type writePanic struct {
	value any
	stack []byte // of where it happened
}

func (p *writePanic) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

// writeQueue orders the writers of one store. One of them leads: he writes what those who
// wait behind him want, commits once for all, and hands the lead on. Without company he
// finds the lead free and commits his own at once.
type writeQueue struct {
	mu      sync.Mutex
	led     bool
	waiting []*writeCall
}

// join says whether c leads; otherwise it waits for its turn.
func (q *writeQueue) join(c *writeCall) (lead bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.led {
		q.led = true
		return true
	}
	q.waiting = append(q.waiting, c)
	return false
}

// leave says whether c still waited and no longer does.
func (q *writeQueue) leave(c *writeCall) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting {
		if w == c {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// company is how many of those who wait may share the leader's transaction now.
func (q *writeQueue) company() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n < len(q.waiting) && n < maxShared-1 && !q.waiting[n].alone {
		n++
	}
	return n
}

// next takes the next one who shares the transaction, nil when there is none.
func (q *writeQueue) next() *writeCall {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || q.waiting[0].alone {
		return nil
	}
	return q.pop()
}

func (q *writeQueue) pop() *writeCall {
	c := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	return c
}

// queueSet is a queue for each connector that somebody writes.
type queueSet struct {
	mu  sync.Mutex
	all map[string]*usedQueue
}

type usedQueue struct {
	writeQueue
	users int
}

// of returns the connector's queue; done is to be called after its use.
func (s *queueSet) of(connector string) *writeQueue {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.all[connector]
	if q == nil {
		if s.all == nil {
			s.all = map[string]*usedQueue{}
		}
		q = &usedQueue{}
		s.all[connector] = q
	}
	q.users++
	return &q.writeQueue
}

func (s *queueSet) done(connector string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.all[connector]
	if q.users--; q.users == 0 {
		delete(s.all, connector)
	}
}

// handOn makes the first who waits the leader.
func (q *writeQueue) handOn() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.led = len(q.waiting) > 0; q.led {
		q.pop().turn <- true
	}
}

// submit has c written and returns once it is on disk. A caller whose context ends
// before his turn leaves without having written anything.
func (s *engine) submit(c *writeCall) error {
	for tries := 1; ; tries++ {
		c.err = nil
		s.submitOnce(c)
		if c.panicked != nil {
			panic(c.panicked)
		}
		if c.err == nil || tries == maxTries || !s.db.again(c.err) {
			return s.db.explain(c.err)
		}
	}
}

func (s *engine) submitOnce(c *writeCall) {
	queue := &s.queue
	if s.queues != nil {
		if c.connector == "" { // nobody to share with: the connector's row orders them
			c.err = s.writeAlone(c)
			return
		}
		queue = s.queues.of(c.connector)
		defer s.queues.done(c.connector)
	}
	c.turn = make(chan bool, 1)
	lead := queue.join(c)
	if !lead {
		select {
		case lead = <-c.turn:
		case <-c.ctx.Done():
			if queue.leave(c) {
				c.err = fmt.Errorf("wait to write to the mesh: %w", c.ctx.Err())
				return
			}
			lead = <-c.turn
		}
	}
	if lead {
		s.lead(queue, c)
	}
}

func (s *engine) lead(queue *writeQueue, c *writeCall) {
	defer queue.handOn()
	if c.alone {
		c.err = s.writeAlone(c)
		return
	}
	s.writeShared(queue, c)
}

// writeAlone gives c a transaction of its own, under the caller's context.
func (s *engine) writeAlone(c *writeCall) (err error) {
	options := s.db.writing()
	if c.copies {
		options = s.db.copying()
	}
	q, err := s.begin(c.ctx, c.ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = q.rollback(err) }()
	t := &tx{sqlTx: q}
	if err := c.fn(t); err != nil {
		return err
	}
	return q.commit(t)
}

// rollback ends the transaction unless it was committed.
func (q *sqlTx) rollback(err error) error {
	if rerr := q.sql.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) && err == nil {
		return rerr
	}
	return err
}

// writeShared writes what first wants and what those want who wait at the moment, each
// within a savepoint of his own, in one transaction.
//
// Each page takes its numbers of the feed from the connector's row last, and no other
// transaction writes meanwhile: pages that commit together have numbers that follow one
// another, and a follower sees all of them or none.
func (s *engine) writeShared(queue *writeQueue, first *writeCall) {
	b := &batch{store: s, queue: queue, calls: []*writeCall{first}, err: errLostTransaction}
	defer b.answer() // also when a function ends this goroutine
	b.err = b.write()
}

// batch is the callers of one transaction.
type batch struct {
	store *engine
	queue *writeQueue
	calls []*writeCall
	err   error // everybody's
}

// answer tells the callers, but for the leader, that they have their result.
func (b *batch) answer() {
	for i, c := range b.calls {
		if c.err == nil {
			c.err = b.err
		}
		if i > 0 {
			c.turn <- false
		}
	}
}

func (b *batch) write() (err error) {
	q, cancel, err := b.begin()
	defer cancel()
	if err != nil {
		return err
	}
	defer func() { err = q.rollback(err) }()
	company := b.queue.company()
	var done []*tx
	deadline := time.Now().Add(maxSharing)
	for c := b.calls[0]; c != nil; {
		t := &tx{sqlTx: q}
		if company == 0 && len(b.calls) == 1 {
			c.err = c.run(t)
		} else if c.err, err = q.savepoint(c, t); err != nil {
			return err
		}
		if c.err == nil {
			done = append(done, t)
		}
		if c = nil; len(b.calls) <= company && time.Now().Before(deadline) {
			if c = b.queue.next(); c != nil {
				b.calls = append(b.calls, c)
			}
		}
	}
	if len(done) == 0 {
		return nil
	}
	return q.commit(done...)
}

// begin begins the transaction. The leader may give up while it waits for another
// process; what keeps the database from him keeps it from those who wait, too.
func (b *batch) begin() (q *sqlTx, cancel func(), err error) {
	leader := b.calls[0].ctx
	if err := leader.Err(); err != nil {
		return nil, func() {}, err
	}
	free := context.WithoutCancel(leader)
	life, cancel := context.WithTimeout(free, maxTransaction)
	begun := context.AfterFunc(leader, cancel)
	q, err = b.store.begin(free, life, b.store.db.writing())
	switch {
	case !begun() && leader.Err() != nil:
		gone := fmt.Errorf("begin a mesh transaction: %w", leader.Err())
		if err == nil {
			gone = q.rollback(gone)
		}
		return nil, cancel, gone
	case err != nil:
		for range b.queue.company() {
			if c := b.queue.next(); c != nil {
				b.calls = append(b.calls, c)
			}
		}
	}
	return q, cancel, err
}

// savepoint runs c so that its failure undoes nobody else's work. The second error is
// everybody's: the transaction is gone.
func (q *sqlTx) savepoint(c *writeCall, t *tx) (failed, lost error) {
	if err := q.later(q.ctx, `SAVEPOINT page`); err != nil {
		return nil, err
	}
	if failed = c.run(t); failed == nil {
		_, failed = q.exec(q.ctx, `RELEASE page`) // with what was kept: the page's own
	}
	if failed != nil {
		return failed, q.undo(failed)
	}
	if t.fence != (Fence{}) {
		q.entered[t.fence] = t.entry
	}
	return nil, nil
}

// undo undoes what was done since the savepoint.
func (q *sqlTx) undo(failed error) error {
	unsent := q.kept
	q.kept = nil
	if len(unsent) > 0 && unsent[0].query == `SAVEPOINT page` {
		return nil // nothing of the page was sent
	}
	for _, query := range []string{`ROLLBACK TO page`, `RELEASE page`} {
		if _, err := q.exec(q.ctx, query); err != nil {
			return fmt.Errorf("a mesh transaction broke off: %w", errors.Join(failed, err))
		}
	}
	return nil
}

// run calls the caller's function unless he has left.
func (c *writeCall) run(t *tx) (err error) {
	if err := c.ctx.Err(); err != nil {
		return fmt.Errorf("wait to write to the mesh: %w", err)
	}
	defer func() {
		if value := recover(); value != nil {
			c.panicked = &writePanic{value, debug.Stack()}
			err = c.panicked
		}
	}()
	return c.fn(t)
}
