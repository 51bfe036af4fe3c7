package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// claimKey is the advisory lock of a main database ("imTD").
	claimKey = applicationID
	// claimWait is how long a start waits for a server that is just ending: PostgreSQL
	// may notice the end of a killed one a moment later.
	claimWait = 5 * time.Second
	// claimAgain is the pause between attempts to have a lost lock again.
	claimAgain = time.Second
)

// errInUse says that another temporal-dev holds the database.
var errInUse = errors.New("is in use by another temporal-dev")

// claim is the right to a main database, held as an advisory lock for as long as the server
// runs. Temporal's own fences keep two servers from spoiling the data, but they would take
// the shards from each other for ever.
type claim struct {
	stop context.CancelFunc
	done chan struct{}
	lost chan error // gets the reason when another server has the database
}

// claim waits for the lock and then keeps it until release.
func (p *postgres) claim(ctx context.Context) (*claim, error) {
	conn, err := p.lock(ctx, claimWait)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &claim{stop: stop, done: make(chan struct{}), lost: make(chan error, 1)}
	go c.keep(ctx, p, conn)
	return c, nil
}

// lock takes the lock on a connection of its own.
func (p *postgres) lock(ctx context.Context, wait time.Duration) (*pgx.Conn, error) {
	c := p.conn.Copy()
	c.RuntimeParams["application_name"] = "temporal-dev"
	// The server must notice when our machine is gone, or nobody gets the lock again.
	c.RuntimeParams["tcp_keepalives_idle"] = "30"
	c.RuntimeParams["tcp_keepalives_interval"] = "10"
	c.RuntimeParams["tcp_keepalives_count"] = "3"
	c.RuntimeParams["lock_timeout"] = strconv.FormatInt(wait.Milliseconds(), 10)
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, p.explain(p.mainDB(), err)
	}
	if _, err = conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(claimKey)); err == nil {
		return conn, nil
	}
	if hasCode(err, codeLockTimeout) {
		err = fmt.Errorf("%s %w: stop that one or name another database", p.named(p.mainDB()), errInUse)
	} else {
		err = p.explain(p.mainDB(), err)
	}
	return nil, errors.Join(err, conn.Close(ctx))
}

// keep waits for the end of the connection, which is the end of the lock, and takes the lock
// again: the server goes on after a restart of PostgreSQL, as Temporal does.
func (c *claim) keep(ctx context.Context, p *postgres, conn *pgx.Conn) {
	defer close(c.done)
	for {
		_, err := conn.WaitForNotification(ctx) // nobody notifies
		if ctx.Err() == nil && err == nil {
			continue
		}
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		_ = conn.Close(closing) // it has ended, or does now
		cancel()
		for conn = nil; conn == nil; {
			if ctx.Err() != nil {
				return
			}
			if conn, err = p.lock(ctx, claimAgain); errors.Is(err, errInUse) {
				c.lost <- err
				return
			}
			if err != nil {
				select {
				case <-ctx.Done():
				case <-time.After(claimAgain):
				}
			}
		}
	}
}

// release gives the database up.
func (c *claim) release() {
	c.stop()
	<-c.done
}
