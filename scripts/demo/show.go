package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/rivo/uniseg"

	"github.com/identitymesh/okta-connector/internal/stack"
)

// heldDeletes is the exit code of a command whose run holds deletes back.
const heldDeletes = 3

// show is a demonstration on a stack.
type show struct{ *stack.Demo }

// shown is a starter command that has been run on this terminal.
type shown struct {
	args []string
	code int
	err  error // not its exit code
}

// ok wants exit code 0.
func (r shown) ok() error { return r.anyOf(0) }

// anyOf wants one of these exit codes.
func (r shown) anyOf(codes ...int) error {
	if r.err == nil && !slices.Contains(codes, r.code) {
		return fmt.Errorf("starter %s ended with %d", strings.Join(r.args, " "), r.code)
	}
	return r.err
}

// starter prints a command and runs it on this terminal.
func (s *show) starter(ctx context.Context, args ...string) shown {
	return s.cut(ctx, 0, args...)
}

// cut does the same and prints only so many rows of each table; 0 prints all.
func (s *show) cut(ctx context.Context, rows int, args ...string) shown {
	say("$ starter %s", commandLine(args))
	r := shown{args: args}
	cmd := s.Command(ctx, args...)
	cmd.Stderr = os.Stderr
	if rows == 0 {
		cmd.Stdout = os.Stdout
		r.err = cmd.Run()
	} else {
		var out []byte
		out, r.err = cmd.Output()
		fmt.Fprint(os.Stdout, narrow(cutTables(string(out), rows), columns))
	}
	if exit, ok := errors.AsType[*exec.ExitError](r.err); ok && exit.Exited() {
		r.code, r.err = exit.ExitCode(), nil
	}
	if r.err != nil {
		r.err = fmt.Errorf("starter %s: %w", strings.Join(args, " "), r.err)
	}
	return r
}

// commandLine is how a person types the arguments.
func commandLine(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if words[i] = a; strings.ContainsAny(a, " ()|") {
			words[i] = `"` + a + `"`
		}
	}
	return strings.Join(words, " ")
}

// cutTables leaves the first rows of every table. A table is a line in capitals and
// what follows it up to an empty line.
func cutTables(text string, rows int) string {
	var out strings.Builder
	table, row := false, 0
	for line := range strings.Lines(text) {
		plain := strings.TrimSpace(line)
		switch {
		case plain == "":
			table = false
		case !table && plain == strings.ToUpper(plain):
			table, row = true, 0
		case table:
			row++
		}
		switch {
		case !table || row <= rows:
			out.WriteString(line)
		case row == rows+1:
			out.WriteString("…\n")
		}
	}
	return out.String()
}

// columns is how wide a line may be: the list of runs fits in.
const columns = 140

// narrow cuts the lines of a text that are too wide.
func narrow(text string, columns int) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line, width := strings.TrimRight(line, " \n"), 0
		for g := uniseg.NewGraphemes(line); g.Next(); {
			if width += g.Width(); width >= columns && uniseg.StringWidth(line) > columns {
				out.WriteString("…")
				break
			}
			out.WriteString(g.Str())
		}
		out.WriteString("\n")
	}
	return out.String()
}

// lines counts the lines of a text.
func lines(text string) int { return strings.Count(text, "\n") }
