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
	var reader string
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "changes NAME",
		Short: "Print the change feed of a connector",
		Long: `Print the change feed of a connector: the rows with a seq greater than --since, in
order. Everything is printed unless --limit says otherwise, and nothing is held in memory.

With -o jsonl each line is {"seq","op","type","externalId","attributes","changed",
"reason","runId","at"}, op being Add, Update or Delete; -o json is one array of the same.
A consumer keeps the last seq and passes it as --since the next time, or has it kept:
--reader goes on after what that reader has acknowledged with 'starter feed ack'. Without
either the feed begins with the oldest row that is kept; rows after --since that were
removed are an error.`,
		Example: `  starter changes contoso --since 0 -o jsonl
  starter changes contoso --since 1042
  starter changes contoso --reader warehouse -o jsonl
  starter changes contoso --id 00u1abcdefGHIJKLMN0h8`,
		Args:              oneArg("NAME", ""),
		ValidArgsFunction: c.completeConnector,
	}
	cmd.RunE = c.action(func(ctx context.Context, args []string) error {
		if q.Limit < 0 {
			return usagef("--limit %d: want a number from 0 (no limit)", q.Limit)
		}
		if q.Since < 0 {
			return usagef("--since %d: want a seq from 0 (the start of the feed)", q.Since)
		}
		since := cmd.Flags().Changed("since")
		if since && reader != "" {
			return usagef("--since and --reader: say where to begin in one way")
		}
		q.Connector, q.Kept = args[0], !since && reader == ""
		return c.withStore(ctx, func(store mesh.Store) error {
			if reader != "" {
				var err error
				if q.Since, err = acknowledged(ctx, store, q.Connector, reader); err != nil {
					return err
				}
			}
			return c.printChanges(ctx, store, q, out.value)
		})
	})
	cmd.Flags().Int64Var(&q.Since, "since", 0, "only rows after this seq")
	cmd.Flags().StringVar(&reader, "reader", "", "only rows that this reader has not acknowledged")
	cmd.Flags().StringVar(&q.ID, "id", "", "only the object with this external id")
	cmd.Flags().StringVar(&q.RunID, "run", "", "only what this run wrote")
	cmd.Flags().IntVar(&q.Limit, "limit", 0, "at most this many; 0 for all")
	out = addFormat(cmd, table, jsonl, asJSON)
	return cmd
}

// acknowledged is the offset of a declared reader.
func acknowledged(ctx context.Context, store mesh.Store, connector, reader string) (int64, error) {
	feed, err := store.Feed(ctx, connector)
	if err != nil {
		return 0, err
	}
	for _, r := range feed.Readers {
		if r.Name == reader {
			return r.Acked, nil
		}
	}
	return 0, &mesh.NotFoundError{Kind: "reader", Name: reader}
}

func (c *cli) printChanges(ctx context.Context, store mesh.Store, q mesh.ChangeQuery, f format) error {
	err := readable(ctx, store, q.Connector, func() (bool, error) {
		for _, err := range store.Changes(ctx, mesh.ChangeQuery{Connector: q.Connector, Limit: 1, Kept: true}) {
			return err == nil, err
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	for _, err := range store.Changes(ctx, mesh.ChangeQuery{Connector: q.Connector, Since: q.Since, Kept: q.Kept, Limit: 1}) {
		if err != nil { // before anything is printed
			return err
		}
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
