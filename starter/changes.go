package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
)

func newChangesCommand(c *cli) *cobra.Command {
	var q mesh.ChangeQuery
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "changes NAME",
		Short: "Print the change feed of a connector",
		Long: `Print the change feed of a connector: the rows with a seq greater than --since, in
order. Everything is printed unless --limit says otherwise, and nothing is held in memory.

With -o jsonl each line is {"seq","op","type","externalId","attributes","changed",
"reason","runId","at"}, op being Add, Update or Delete; -o json is one array of the same.
A consumer keeps the last seq and passes it as --since the next time.`,
		Example: `  starter changes contoso --since 0 -o jsonl
  starter changes contoso --since 1042
  starter changes contoso --id 00u1abcdefGHIJKLMN0h8`,
		Args:              oneArg("NAME", ""),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			if q.Limit < 0 {
				return usagef("--limit %d: want a number from 0 (no limit)", q.Limit)
			}
			if q.Since < 0 {
				return usagef("--since %d: want a seq from 0 (the start of the feed)", q.Since)
			}
			q.Connector = args[0]
			return c.withStore(ctx, func(store mesh.Store) error { return c.printChanges(ctx, store, q, out.value) })
		}),
	}
	cmd.Flags().Int64Var(&q.Since, "since", 0, "only rows after this seq")
	cmd.Flags().StringVar(&q.ID, "id", "", "only the object with this external id")
	cmd.Flags().StringVar(&q.RunID, "run", "", "only what this run wrote")
	cmd.Flags().IntVar(&q.Limit, "limit", 0, "at most this many; 0 for all")
	out = addFormat(cmd, table, jsonl, asJSON)
	return cmd
}

func (c *cli) printChanges(ctx context.Context, store mesh.Store, q mesh.ChangeQuery, f format) error {
	err := readable(ctx, store, q.Connector, func() (bool, error) {
		for _, err := range store.Changes(ctx, mesh.ChangeQuery{Connector: q.Connector, Limit: 1}) {
			return err == nil, err
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	columns := []column{{"SEQ", 8}, {"AT", 20}, {"OP", 6}, {"TYPE", 11}, {"EXTERNAL ID", 41}, {"WHAT", 0}}
	rows := func(yield func(mesh.Change, error) bool) {
		for ch, err := range store.Changes(ctx, q) {
			if ch.Changed == nil {
				ch.Changed = []string{} // an array in JSON, whatever the op
			}
			ch.At = ch.At.UTC()
			if !yield(ch, err) {
				return
			}
		}
	}
	return stream(c, f, columns, rows, changeCells)
}

func changeCells(ch mesh.Change) []string {
	what := ""
	switch ch.Op {
	case mesh.Update:
		what = strings.Join(ch.Changed, ", ")
	case mesh.Delete:
		what = string(ch.Reason)
	case mesh.Add:
		what = brief(ch.Attributes)
	}
	return []string{strconv.FormatInt(ch.Seq, 10), stamp(ch.At), string(ch.Op), string(ch.Type), ch.ExternalID, what}
}
