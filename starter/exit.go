package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

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
	exitReadAnew    = 5   // a consumer's offset is void: it has to read the objects anew
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
type outcomeError struct {
	run    *mesh.Run
	dryRun bool
}

func (e *outcomeError) Error() string {
	if e.dryRun && e.run.Outcome == mesh.HeldDeletes {
		return fmt.Sprintf("a run of %s like this dry run would hold deletes back for approval", e.run.Connector)
	}
	text := e.text()
	if e.run.Outcome == mesh.HeldDeletes {
		text += fmt.Sprintf("\n  look at them: starter status %s\n  delete them:  starter approve %s\n  keep them:    starter reject %s",
			e.run.Connector, e.run.RunID, e.run.RunID)
	}
	return text
}

// text is the run, how it ended and why.
func (e *outcomeError) text() string {
	verb := map[mesh.Outcome]string{
		mesh.HeldDeletes: "completed, but holds deletes back for approval",
		mesh.Skipped:     "was skipped",
		mesh.Failed:      "failed",
		mesh.Cancelled:   "was cancelled",
	}[e.run.Outcome]
	if verb == "" {
		verb = fmt.Sprintf("ended as %q", e.run.Outcome)
	}
	why := e.run.Error
	if e.run.Outcome == mesh.Skipped {
		why = cmp.Or(why, e.run.Note) // whom it gave way to
	}
	what := "run"
	if e.dryRun {
		what = "dry run"
	}
	text := fmt.Sprintf("%s %s of %s %s", what, e.run.RunID, e.run.Connector, verb)
	if why != "" {
		text += ": " + why
	}
	return text
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

// interruptedError is a Ctrl-C while something goes on without us, which message explains.
type interruptedError struct{ message string }

func (e *interruptedError) Error() string { return e.message }

// finish prints err, unless there is nothing to say, and returns the exit code. An
// error before the command's own code started is cobra's, about the command line.
func (c *cli) finish(ctx context.Context, cmd *cobra.Command, err error) int {
	outcome, ran := errors.AsType[*outcomeError](err)
	switch {
	case ran:
		c.warnf("%s", err)
		return outcomeCode(outcome.run.Outcome)
	case c.stdout.broken: // whoever read our output has had enough
		return exitOK
	case err == nil && c.stdout.err != nil: // output that nobody checked
		c.warnf("write the output: %s", c.stdout.err)
		return exitError
	case err == nil:
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
	if ctx.Err() != nil { // whatever the error says, it is ours
		c.warnf("interrupted")
		return exitInterrupted
	}
	c.warnf("%s", err)
	if readAnew(err) {
		return exitReadAnew
	}
	return exitError
}

// readAnew says that a consumer of the feed cannot go on where it asks to.
func readAnew(err error) bool {
	_, other := errors.AsType[*mesh.EpochError](err)
	_, pruned := errors.AsType[*mesh.PrunedError](err)
	return other || pruned
}

// warnf writes a message of the command to standard error.
func (c *cli) warnf(format string, args ...any) {
	c.notef("starter: "+format, args...)
}

// notef writes a remark to standard error, without the command's name.
func (c *cli) notef(format string, args ...any) {
	printLine(c.stderr, c.hide(fmt.Sprintf(format, args...)))
}

// hide takes out of a text what looks like an API token among the arguments.
func (c *cli) hide(text string) string {
	for _, token := range c.tokens {
		text = strings.ReplaceAll(text, token, "[token]")
	}
	return text
}

// apiToken is the shape of Okta's API tokens.
var apiToken = regexp.MustCompile(`00[A-Za-z0-9_-]{40}`)

// tokensIn returns what looks like an API token in a command line. None belongs there;
// one that was pasted into the wrong place is not repeated, since messages end up in
// logs and tickets.
func tokensIn(args []string) (tokens []string) {
	for _, arg := range args {
		tokens = append(tokens, apiToken.FindAllString(arg, -1)...)
	}
	return tokens
}
