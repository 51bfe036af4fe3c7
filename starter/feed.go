package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
)

func newFeedCommand(c *cli) *cobra.Command {
	return c.group(&cobra.Command{
		Use:   "feed",
		Short: "Declare readers of a change feed, and remove old rows",
		Long: `Declare readers of a connector's change feed, and remove rows that are old and that every
reader has read. 'starter changes' prints the feed itself.`,
		Example: `  starter changes contoso --since 1042 -o jsonl
  starter feed ack contoso --reader warehouse 1100
  starter feed prune contoso --changes-older-than 30d --runs-older-than 90d`,
	}, newFeedShow(c), newFeedAck(c), newFeedForget(c), newFeedPrune(c))
}

// feedArgs wants NAME, and what else the command takes.
func feedArgs(more ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1+len(more) && args[0] != "" {
			return nil
		}
		want := append([]string{"NAME"}, more...)
		return wrongArgs(cmd, "exactly "+strings.Join(want, " and "), "", args)
	}
}

func newFeedShow(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show which rows a feed has, and who reads it",
		Long: `Show the seq of the first and last row of a connector's feed, the feed's epoch, and its
declared readers with the last row that each has acknowledged. A new epoch begins when the
database is restored from a backup ('starter restored'). The offset, EPOCH:SEQ, is where a
consumer goes on that reads all objects after this.`,
		Example: `  starter feed show contoso
  offset=$(starter feed show contoso -o json | jq -r .offset)
  starter feed show contoso -o json | jq '.readers[] | select(.acked < 1000)'`,
		Args:              feedArgs(),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withStore(ctx, func(store mesh.Store) error { return c.printFeed(ctx, store, args[0], out.value) })
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

func (c *cli) printFeed(ctx context.Context, store mesh.Store, name string, f format) error {
	feed, err := store.Feed(ctx, name)
	if err != nil {
		return err
	}
	if f == asJSON {
		return printJSON(c.stdout, feed)
	}
	kept := "none"
	if feed.First <= feed.Last {
		kept = fmt.Sprintf("%d to %d", feed.First, feed.Last)
	}
	if err := printFields(c.stdout, []field{{"Connector", name}, {"Rows", kept}, {"Epoch", feed.Epoch}, {"Offset", feed.Offset}}); err != nil || len(feed.Readers) == 0 {
		return err
	}
	printLine(c.stdout, "")
	rows := make([][]string, len(feed.Readers))
	for i, r := range feed.Readers {
		behind := strconv.FormatInt(feed.Last-r.Acked, 10)
		if r.Epoch != feed.Epoch {
			behind = "has to read anew"
		}
		rows[i] = []string{r.Name, strconv.FormatInt(r.Acked, 10), behind, stamp(r.UpdatedAt)}
	}
	return printTable(c.stdout, []string{"READER", "ACKED", "BEHIND", "AT"}, rows)
}

func newFeedAck(c *cli) *cobra.Command {
	var reader string
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "ack NAME OFFSET --reader READER",
		Short: "Note that a reader has handled the feed up to a row",
		Long: `Note that a reader has handled the feed up to a row, and declare the reader when it is
new: from then on no later row is removed before the reader has acknowledged it. An offset
never moves backwards. Declare a reader with 0 before it begins with the first row.

OFFSET is EPOCH:SEQ, or the SEQ of a row alone. After the database was restored from a
backup, a reader reads the objects anew and then names the new epoch; until then this ends
with exit code 5.`,
		Example: `  starter feed ack contoso 0 --reader warehouse
  starter feed ack contoso 1100 --reader warehouse
  starter feed ack contoso "$(starter feed show contoso -o json | jq -r .offset)" --reader warehouse`,
		Args:              feedArgs("OFFSET"),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			to, err := mesh.ParseOffset(args[1])
			if err != nil {
				return noOffset(err)
			}
			if reader == "" {
				return usagef("--reader: say who has read the feed")
			}
			return c.withStore(ctx, func(store mesh.Store) error {
				r, err := store.Acknowledge(ctx, args[0], reader, to)
				if err != nil {
					return err
				}
				if out.value == asJSON {
					return printJSON(c.stdout, r)
				}
				printLine(c.stdout, fmt.Sprintf("Reader %s has acknowledged the feed of %s up to row %d.", r.Name, args[0], r.Acked))
				return nil
			})
		}),
	}
	cmd.Flags().StringVar(&reader, "reader", "", "the reader's name")
	out = addFormat(cmd, table, asJSON)
	belowZero(cmd, func(number string) error {
		_, err := mesh.ParseOffset(number)
		return noOffset(err)
	})
	return cmd
}

func noOffset(err error) error { return usagef("OFFSET: %w", err) }

func newFeedForget(c *cli) *cobra.Command {
	var reader string
	cmd := &cobra.Command{
		Use:   "forget NAME --reader READER",
		Short: "End the declaration of a reader",
		Long: `End the declaration of a reader that reads the feed no more: rows are no longer kept for
it.`,
		Example:           `  starter feed forget contoso --reader warehouse`,
		Args:              feedArgs(),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			if reader == "" {
				return usagef("--reader: say whom to forget")
			}
			return c.withStore(ctx, func(store mesh.Store) error {
				if err := store.ForgetReader(ctx, args[0], reader); err != nil {
					return err
				}
				printLine(c.stdout, fmt.Sprintf("Reader %s of the feed of %s is forgotten.", reader, args[0]))
				return nil
			})
		}),
	}
	cmd.Flags().StringVar(&reader, "reader", "", "the reader's name")
	return cmd
}

func newFeedPrune(c *cli) *cobra.Command {
	var changes, runs string
	var dry bool
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "prune NAME",
		Short: "Remove old rows of the feed and of runs",
		Long: `Remove rows of a connector's feed, and of runs that ended, that are older than the given
ages. Whatever their age, rows of the feed stay that a declared reader has not
acknowledged, runs stay while the feed or a hold names them, and so does the last run of
each mode and outcome. Runs are kept for 8 days at least. Objects stay. Runs of the
connector go on meanwhile.

Ages are like 30d or 12h. Without a declared reader, age alone counts: a consumer that
asks for a row that is gone gets an error and has to read the objects anew.`,
		Example: `  starter feed prune contoso --changes-older-than 30d
  starter feed prune contoso --changes-older-than 30d --runs-older-than 90d --dry-run`,
		Args:              feedArgs(),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			p := mesh.Prune{Connector: args[0], DryRun: dry}
			var err error
			if p.ChangesOlderThan, err = parseAge("--changes-older-than", changes); err != nil {
				return err
			}
			if p.RunsOlderThan, err = parseAge("--runs-older-than", runs); err != nil {
				return err
			}
			if p.ChangesOlderThan == 0 && p.RunsOlderThan == 0 {
				return usagef("say what to remove: --changes-older-than, --runs-older-than or both")
			}
			if p.RunsOlderThan > 0 && p.RunsOlderThan < mesh.MinRunAge {
				return usagef("--runs-older-than %s: runs are kept for %dd at least", runs, int(mesh.MinRunAge.Hours()/24))
			}
			return c.withStore(ctx, func(store mesh.Store) error { return c.prune(ctx, store, p, out.value) })
		}),
	}
	cmd.Flags().StringVar(&changes, "changes-older-than", "", "age of the feed rows to remove")
	cmd.Flags().StringVar(&runs, "runs-older-than", "", "age of the runs to remove, 8d or more")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only count")
	out = addFormat(cmd, table, asJSON)
	return cmd
}

func (c *cli) prune(ctx context.Context, store mesh.Store, p mesh.Prune, f format) error {
	done, err := store.Prune(ctx, p)
	if err != nil {
		return err
	}
	if f == asJSON {
		return printJSON(c.stdout, done)
	}
	verb := "Removed"
	if p.DryRun {
		verb = "Would remove"
	}
	printLine(c.stdout, fmt.Sprintf("%s %d rows of the feed and %d runs of %s.", verb, done.Changes, done.Runs, p.Connector))
	if done.WaitsFor != "" {
		printLine(c.stdout, fmt.Sprintf("Older rows are kept for reader %s.", done.WaitsFor))
	}
	return nil
}

// parseAge reads 30d, or what time.ParseDuration knows; "" is 0.
func parseAge(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if age, err := time.ParseDuration(text); err == nil && age > 0 {
		return age, nil
	}
	return 0, usagef("%s %q: want an age like 30d or 12h", flag, text)
}
