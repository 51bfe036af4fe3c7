// Command starter is the operator's command line of the IdentityMesh Okta
// connector: it defines connectors, stores their secrets, starts and follows
// imports, and reads the mesh.
//
// Standard output carries the result of a command and nothing else; questions,
// progress, notes and errors go to standard error. The exit code is that of the
// run's outcome where a command waits for a run (see exit.go), 2 for wrong usage,
// and 1 for every other error.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// With SIGPIPE ignored, a closed pipe (starter objects … | head) becomes a write
	// error, so that the database is closed properly before the command ends quietly.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default comes back: a second Ctrl-C ends at once.
	context.AfterFunc(ctx, stop)
	code := newCLI().run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
