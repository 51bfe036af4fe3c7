package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// exitNow is the exit code of a worker that a second signal ended: pages in hand were
// left, and other workers read them again.
const exitNow = 1

// onSignals returns a context that the first SIGINT or SIGTERM ends. The second one ends
// the process at once. It is handled here, and not left to the system, which keeps
// signals from the first process of a container.
func onSignals(ctx context.Context, stderr io.Writer, exit func(int)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			select {
			case s := <-signals:
				if !first {
					fmt.Fprintf(stderr, "worker: %s again: ended at once; another worker reads the pages in hand\n", s)
					exit(exitNow)
					return
				}
				cancel()
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}
