package main

import (
	"context"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
)

func newChangesCommand(c *cli) *cobra.Command {
	var q mesh.ChangeQuery
	var reader, since string
	var follow bool
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "changes NAME",
		Short: "Print the change feed of a connector",
		Long: `Print the change feed of a connector: the rows after the offset --since, in order.
Everything is printed unless --limit says otherwise, and nothing is held in memory.

With -o jsonl each line is {"seq","op","type","externalId","attributes","changed",
"reason","runId","at","epoch"}, op being Add, Update or Delete; -o json is one array of
the same. A consumer keeps the last epoch and seq and passes them as --since EPOCH:SEQ the
next time, or has them kept: --reader goes on after what that reader has acknowledged with
'starter feed ack'. Without either the feed begins with the oldest row that is kept.

Exit code 5 says that a consumer cannot go on there and has to read 'starter objects'
anew: rows after --since were removed, or the database was restored from a backup, which
begins a new epoch. --since SEQ, without an epoch, is taken as of the present one, with a
warning where there was another.

--follow goes on with rows as they are written, until Ctrl-C.`,
		Example: `  starter changes contoso --since 0 -o jsonl
  starter changes contoso --since PVIXCXZJ4TGS25AKVXPW6IBNBZ:1042 -o jsonl --follow
  starter changes contoso --reader warehouse -o jsonl
  starter changes contoso --id 00u1abcdefGHIJKLMN0h8`,
		Args:              oneArg("NAME", ""),
		ValidArgsFunction: c.completeConnector,
	}
	cmd.RunE = c.action(func(ctx context.Context, args []string) error {
		if q.Limit < 0 {
			return usagef("--limit %d: want a number from 0 (no limit)", q.Limit)
		}
		at, err := mesh.ParseOffset(since)
		if err != nil {
			return usagef("--since: %w", err)
		}
		given := cmd.Flags().Changed("since")
		switch {
		case given && reader != "":
			return usagef("--since and --reader: say where to begin in one way")
		case follow && q.Limit > 0:
			return usagef("--follow and --limit: choose one")
		case follow && out.value == asJSON:
			return usagef("--follow has no end, and -o json is one array: use -o jsonl")
		}
		q.Connector, q.Kept = args[0], !given && reader == ""
		return c.withStore(ctx, func(store mesh.Store) error {
			if reader != "" {
				if at, err = acknowledged(ctx, store, q.Connector, reader); err != nil {
					return err
				}
			}
			q.Since, q.Epoch = at.Seq, at.Epoch
			return c.printChanges(ctx, store, q, follow, out.value)
		})
	})
	cmd.Flags().StringVar(&since, "since", "0", "only rows after this `OFFSET`, EPOCH:SEQ or SEQ")
	cmd.Flags().StringVar(&reader, "reader", "", "only rows that this reader has not acknowledged")
	cmd.Flags().StringVar(&q.ID, "id", "", "only the object with this external id")
	cmd.Flags().StringVar(&q.RunID, "run", "", "only what this run wrote")
	cmd.Flags().IntVar(&q.Limit, "limit", 0, "at most this many; 0 for all")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with rows as they are written")
	out = addFormat(cmd, table, jsonl, asJSON)
	return cmd
}

// acknowledged is the offset of a declared reader.
func acknowledged(ctx context.Context, store mesh.Store, connector, reader string) (mesh.Offset, error) {
	feed, err := store.Feed(ctx, connector)
	if err != nil {
		return mesh.Offset{}, err
	}
	for _, r := range feed.Readers {
		if r.Name == reader {
			return mesh.Offset{Epoch: r.Epoch, Seq: r.Acked}, nil
		}
	}
	return mesh.Offset{}, &mesh.NotFoundError{Kind: "reader", Name: reader}
}

func (c *cli) printChanges(ctx context.Context, store mesh.Store, q mesh.ChangeQuery, follow bool, f format) error {
	err := readable(ctx, store, q.Connector, func() (bool, error) {
		for _, err := range store.Changes(ctx, mesh.ChangeQuery{Connector: q.Connector, Limit: 1, Kept: true}) {
			return err == nil, err
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	for _, err := range store.Changes(ctx, mesh.ChangeQuery{Connector: q.Connector, Since: q.Since, Epoch: q.Epoch, Kept: q.Kept, Limit: 1}) {
		if err != nil { // before anything is printed
			return err
		}
	}
	if q.Since > 0 && q.Epoch == "" {
		c.noteBareOffset(ctx, store, q)
	}
	columns := []column{{"SEQ", 8}, {"AT", 20}, {"OP", 6}, {"TYPE", 11}, {"EXTERNAL ID", 41}, {"WHAT", 0}}
	if follow {
		return c.followChanges(ctx, store, q, f, columns)
	}
	return stream(c, f, columns, changeRows(store.Changes(ctx, q)), changeCells)
}

// noteBareOffset warns of a number without an epoch, where there were two in which it has a
// meaning. A database role that was made by an older release may not ask.
func (c *cli) noteBareOffset(ctx context.Context, store mesh.Store, q mesh.ChangeQuery) {
	at, err := store.RestoredAt(ctx, q.Connector)
	if err != nil || at.IsZero() {
		return
	}
	feed, err := store.Feed(ctx, q.Connector)
	if err != nil {
		return
	}
	c.notef("warning: --since %d is taken as a row of the present epoch of the feed of connector %s, which began when the database was restored (%s); "+
		"if you read that row before, read 'starter objects' anew; if since, write --since %s",
		q.Since, q.Connector, stamp(at), mesh.Offset{Epoch: feed.Epoch, Seq: q.Since})
}

// changeRows are changes as they are printed.
func changeRows(changes iter.Seq2[mesh.Change, error]) iter.Seq2[mesh.Change, error] {
	return func(yield func(mesh.Change, error) bool) {
		for ch, err := range changes {
			if ch.Changed == nil {
				ch.Changed = []string{} // an array in JSON, whatever the op
			}
			ch.At = ch.At.UTC()
			if !yield(ch, err) {
				return
			}
		}
	}
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
