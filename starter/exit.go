package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
)

// Exit codes. A command that waits for a run ends with the code of its outcome.
const (
	exitOK          = 0
	exitError       = 1 // Failed, Cancelled, and every error that is not wrong usage
	exitUsage       = 2
	exitHeldDeletes = 3
	exitSkipped     = 4
	exitInterrupted = 130 // Ctrl-C, as shells report it
)

// usageError says that the command line was wrong: exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// outcomeError reports a run that ended in another way than Completed. The run
// itself has been printed already.
type outcomeError struct{ run *mesh.Run }

func (e *outcomeError) Error() string {
	verb := map[mesh.Outcome]string{
		mesh.HeldDeletes: "completed, but holds deletes back for approval",
		mesh.Skipped:     "was skipped",
		mesh.Failed:      "failed",
		mesh.Cancelled:   "was cancelled",
	}[e.run.Outcome]
	if verb == "" {
		verb = fmt.Sprintf("ended as %q", e.run.Outcome)
	}
	if e.run.Error == "" {
		return fmt.Sprintf("run %s of %s %s", e.run.RunID, e.run.Connector, verb)
	}
	return fmt.Sprintf("run %s of %s %s: %s", e.run.RunID, e.run.Connector, verb, e.run.Error)
}

// outcomeCode is the exit code of a run's outcome.
func outcomeCode(o mesh.Outcome) int {
	switch o {
	case mesh.Completed:
		return exitOK
	case mesh.HeldDeletes:
		return exitHeldDeletes
	case mesh.Skipped:
		return exitSkipped
	default:
		return exitError
	}
}

// interruptedError is Ctrl-C. Message says what goes on without us, "" when nothing does.
type interruptedError struct{ message string }

func (e *interruptedError) Error() string {
	if e.message == "" {
		return "interrupted"
	}
	return e.message
}

// finish prints err, unless there is nothing to say, and returns the exit code.
// acting tells whether the command's own code had started: errors before that are
// cobra's, about the command line.
func (c *cli) finish(ctx context.Context, cmd *cobra.Command, err error) int {
	if err == nil {
		if c.stdout.broken || c.stdout.err == nil {
			return exitOK
		}
		err = c.stdout.err
	}
	code := exitError
	if o, ok := errors.AsType[*outcomeError](err); ok {
		code = outcomeCode(o.run.Outcome)
	} else if c.stdout.broken { // whoever read our output has had enough
		return exitOK
	}
	if _, ok := errors.AsType[*usageError](err); ok || !c.acting {
		c.warnf("%s\nRun '%s --help' for usage.", err, cmd.CommandPath())
		return exitUsage
	}
	if _, ok := errors.AsType[*interruptedError](err); ok {
		c.warnf("%s", err)
		return exitInterrupted
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		c.warnf("interrupted")
		return exitInterrupted
	}
	c.warnf("%s", err)
	return code
}

// warnf writes a message of the command to standard error.
func (c *cli) warnf(format string, args ...any) {
	c.notef("starter: "+format, args...)
}

// notef writes a remark to standard error, without the command's name.
func (c *cli) notef(format string, args ...any) {
	printLine(c.stderr, fmt.Sprintf(format, args...))
}
