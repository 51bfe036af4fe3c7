package main

import (
	"bufio"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/identitymesh/okta-connector/mesh"
)

const (
	// followEvery is how long `changes --follow` waits when it has printed everything.
	followEvery = time.Second
	// followPage is how many rows it reads at a time: a reading that lasts keeps the
	// database from tidying up.
	followPage = 10_000
)

// followChanges prints the feed and goes on with rows as they are written, until ctx ends.
// It is of one epoch: a restore ends it.
func (c *cli) followChanges(ctx context.Context, store mesh.Store, q mesh.ChangeQuery, f format, columns []column) error {
	w := bufio.NewWriterSize(c.stdout, 64<<10)
	return streamTo(c, w, f, columns, changeRows(c.followed(ctx, store, q, w.Flush)), changeCells)
}

// followed yields the rows after q.Since, without an end. It calls flush before it waits.
func (c *cli) followed(ctx context.Context, store mesh.Store, q mesh.ChangeQuery, flush func() error) iter.Seq2[mesh.Change, error] {
	return func(yield func(mesh.Change, error) bool) {
		down := false
		for q.Limit = followPage; ; {
			n, err := followOnce(ctx, store, &q, func(ch mesh.Change) bool { return yield(ch, nil) })
			if errors.Is(err, errEnough) {
				return
			}
			if _, away := errors.AsType[*mesh.UnavailableError](err); away && ctx.Err() == nil {
				if !down {
					c.notef("%s; it is asked again", err)
				}
				down, n, err = true, 0, nil
			} else {
				down = false
			}
			if err == nil && n == followPage {
				continue
			}
			if err == nil {
				if err = flush(); err == nil {
					err = pause(ctx, followEvery)
				}
			}
			if err != nil {
				yield(mesh.Change{}, err)
				return
			}
		}
	}
}

// errEnough ends a reading whose rows nobody wants any more.
var errEnough = errors.New("enough")

// followOnce emits up to a page of rows and moves q after them. The epoch is that of the
// first reading from then on.
func followOnce(ctx context.Context, store mesh.Store, q *mesh.ChangeQuery, emit func(mesh.Change) bool) (n int, err error) {
	feed, err := store.Feed(ctx, q.Connector)
	if err != nil {
		return 0, err
	}
	if q.Epoch == "" {
		q.Epoch = feed.Epoch
	}
	for ch, err := range store.Changes(ctx, *q) {
		if err != nil {
			return n, err
		}
		n++
		q.Since, q.Kept = ch.Seq, false
		if !emit(ch) {
			return n, errEnough
		}
	}
	if n < q.Limit { // what came before that and was not chosen need not be looked at again
		q.Since, q.Kept = max(q.Since, feed.Last), false
	}
	return n, nil
}

// pause waits, or returns why it does not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
