package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
)

// routeOf is the task queue that a stored definition names, "" when it names none or
// cannot be used.
func routeOf(conn *mesh.Connector) string {
	if conn == nil {
		return ""
	}
	def, err := connector.FromParts(conn.Name, conn.Type, conn.ConfigJSON, conn.AuthJSON)
	if err != nil {
		return "" // the worker says what is wrong
	}
	return def.Config.TaskQueue
}

// queueOf is where a connector is imported: the queue that its definition names, else
// that of the environment.
func (c *cli) queueOf(conn *mesh.Connector) string { return cmp.Or(routeOf(conn), c.taskQueue()) }

// queueFor is queueOf by name; of a connector that is gone it is the environment's.
func (c *cli) queueFor(ctx context.Context, store mesh.Store, name string) (string, error) {
	conn, err := store.Connector(ctx, name)
	if _, unknown := errors.AsType[*mesh.NotFoundError](err); err != nil && !unknown {
		return "", err
	}
	return c.queueOf(conn), nil
}

// startAWorker is the remedy where no worker answers on a queue.
func (c *cli) startAWorker(queue string) string {
	if queue == c.taskQueue() {
		return "Start one with 'worker', with the same environment as here."
	}
	return fmt.Sprintf("Start one with 'IDENTITYMESH_TASK_QUEUE=%s worker', in the network from which it is to call Okta.", queue)
}
