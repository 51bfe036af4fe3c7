package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/preflight"
	"github.com/identitymesh/okta-connector/secrets"
)

// checkOptions are the flags of `connector check`.
type checkOptions struct {
	file       string
	noTemporal bool
	strict     bool
}

func newConnectorCheck(c *cli) *cobra.Command {
	var o checkOptions
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "check NAME | -f FILE",
		Short: "Find out what would keep a run from working, and say what to do",
		Long: fmt.Sprintf(`Find out what would keep a run from working, and say what to do: the mesh database, the
definition, the secret and its age, the way to Okta (proxy, name, connection, certificate,
clock), whether Okta accepts the credential, each right that the definition needs, its
filters, Okta's rate limits, and Temporal with its worker.

It takes no lease and writes nothing. It makes at most %d calls to Okta, one at a time,
and leaves RateLimitReserve to others. A step is ok, warning, failed, or skipped since one
before it failed. What it finds is true of this machine and this environment: run it where
the worker runs.

-f checks a definition that is not applied yet. --no-temporal leaves Temporal out.

Exit codes: 0 nothing failed, 1 something failed (with --strict: or is worth a warning),
2 wrong usage.`, preflight.MaxCalls),
		Example: `  starter connector check contoso
  starter connector check -f contoso.json --no-temporal
  starter connector check contoso -o json | jq '.steps[] | select(.result == "failed")'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.file != "" {
				return noArgs("the definition of -f has a name of its own")(cmd, args)
			}
			return oneArg("NAME", "or use -f FILE")(cmd, args)
		},
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			return c.checkConnector(ctx, name, o, out.value)
		}),
	}
	cmd.Flags().StringVarP(&o.file, "file", "f", "", "check this definition file instead; - reads standard input")
	cmd.Flags().BoolVar(&o.noTemporal, "no-temporal", false, "leave Temporal out")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "exit with code 1 for warnings, too")
	out = addFormat(cmd, table, asJSON)
	return cmd
}

func (c *cli) checkConnector(ctx context.Context, name string, o checkOptions, f format) error {
	cfg := preflight.Config{
		Name: name, Now: c.now, Inspect: c.inspectStore, HTTP: app.OktaHTTP,
		Open: func(ctx context.Context) (preflight.Store, error) { return c.openStore(ctx) },
		Secrets: func(store preflight.Store) (secrets.Backend, error) {
			m, ok := store.(mesh.Store)
			if !ok { // no database yet
				return c.openSecrets(noTable{})
			}
			return c.openSecrets(m)
		},
	}
	if o.file != "" {
		text, err := c.readInput(ctx, "definition", o.file)
		if err != nil {
			return err
		}
		if cfg.Definition, err = checkDefinition(text); err != nil {
			return err
		}
		cfg.Name = cfg.Definition.Name
	}
	report := preflight.Run(ctx, cfg)
	if !o.noTemporal && ctx.Err() == nil {
		report.Add(c.checkTemporal(ctx, cfg.Name, cmp.Or(report.TaskQueue, c.taskQueue()))...)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	report.Connector = c.hide(report.Connector)
	for i, s := range report.Steps {
		report.Steps[i].Found, report.Steps[i].Advice = c.hide(s.Found), c.hide(s.Advice)
	}
	if err := c.printReport(report, f); err != nil && !c.stdout.broken {
		return err
	}
	failed, warned := report.Count(preflight.Failed), report.Count(preflight.Warning)
	switch {
	case failed > 0:
		return fmt.Errorf("%s of connector %s failed", plural(failed, "check"), cfg.Name)
	case warned > 0 && o.strict:
		return fmt.Errorf("%s of connector %s", plural(warned, "warning"), cfg.Name)
	}
	return nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (c *cli) printReport(r *preflight.Report, f format) error {
	if f == asJSON {
		return printJSON(c.stdout, r)
	}
	writeReport(c.stdout, r, c.tty.StdoutWidth())
	return c.stdout.err
}

// adviceMark begins a line of advice.
const adviceMark = "→ "

// writeReport writes a report for people, wrapped to the width of the terminal; 0 is none.
// Steps that were skipped for one reason are one row.
func writeReport(w io.Writer, r *preflight.Report, width int) {
	rows := joinSkipped(r.Steps)
	names := 0
	for _, s := range rows {
		names = max(names, uniseg.StringWidth(s.Name))
	}
	results := len(preflight.Warning)
	indent := results + 2 + names + 2
	for _, s := range rows {
		for i, line := range wrap(printable(s.Found), width-indent) {
			head := strings.Repeat(" ", indent)
			if i == 0 {
				head = pad(string(s.Result), results) + "  " + pad(s.Name, names) + "  "
			}
			_, _ = fmt.Fprintln(w, head+line) // the writer remembers its error
		}
		for i, line := range wrap(printable(s.Advice), width-indent-uniseg.StringWidth(adviceMark)) {
			mark := adviceMark
			if i > 0 {
				mark = strings.Repeat(" ", uniseg.StringWidth(adviceMark))
			}
			if line != "" {
				_, _ = fmt.Fprintln(w, strings.Repeat(" ", indent)+mark+line)
			}
		}
	}
	org := r.Org
	if org == "" {
		org = "Okta"
	}
	_, _ = fmt.Fprintf(w, "\n%d ok, %s, %d failed, %d skipped; %s to %s\n", r.Count(preflight.OK),
		plural(r.Count(preflight.Warning), "warning"), r.Count(preflight.Failed), r.Count(preflight.Skipped), plural(r.Calls, "call"), org)
}

// joinSkipped makes one row of neighbours that were skipped because of the same step.
func joinSkipped(steps []preflight.Step) []preflight.Step {
	var rows []preflight.Step
	for i := 0; i < len(steps); {
		first := steps[i]
		names := []string{first.Name}
		for i++; i < len(steps) && first.Result == preflight.Skipped && steps[i].Result == preflight.Skipped && steps[i].Found == first.Found; i++ {
			names = append(names, steps[i].Name)
		}
		if len(names) > 1 {
			first.Name = plural(len(names), "check")
			first.Found = fmt.Sprintf("%s: %s", strings.Replace(first.Found, ":", ",", 1), strings.Join(names, ", "))
		}
		rows = append(rows, first)
	}
	return rows
}

// narrowest is the width below which a text is not wrapped.
const narrowest = 30

// wrap breaks a text between words into lines of a display width; one that is too small
// means no limit.
func wrap(text string, width int) []string {
	if width < narrowest {
		return []string{text}
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case uniseg.StringWidth(line)+1+uniseg.StringWidth(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

// suggestCheck is the command that looks at a connector.
func suggestCheck(name string) string { return "starter connector check " + name }

// noTable is the im_secrets table of a database that does not exist yet.
type noTable struct{ mesh.Store }

func (noTable) GetSecret(_ context.Context, ref string) ([]byte, error) {
	return nil, &mesh.NotFoundError{Kind: "secret", Name: ref}
}

func (noTable) ListSecrets(context.Context) ([]mesh.Secret, error) { return nil, nil }
