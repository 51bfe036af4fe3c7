package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
)

func newBackupCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the mesh database, an SQLite file, to a new file",
		Long: `Copy the mesh database to a new file, as it is at one moment, while runs go on. For an
SQLite file this is the backup: a copy by other means lacks what is in the log beside it.
'starter restore FILE' puts it back. PostgreSQL has pg_dump.

What else to keep: the key of the secrets, apart from this; and the schedules, which are
in Temporal ('starter schedule export').`,
		Example: `  starter backup /var/backups/mesh-$(date +%F).db`,
		Args:    oneArg("FILE", "the new file"),
		RunE: c.action(func(ctx context.Context, args []string) error {
			url, err := c.database()
			if err != nil {
				return err
			}
			if err := mesh.Backup(ctx, url, args[0]); err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return fmt.Errorf("look at the backup: %w", err)
			}
			printLine(c.stdout, fmt.Sprintf("%s: %d bytes", args[0], info.Size()))
			return nil
		}),
	}
	return cmd
}

func newRestoreCommand(c *cli) *cobra.Command {
	var yes, dry bool
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put the mesh database, an SQLite file, back to a backup",
		Long: `Put the mesh database back to a backup that 'starter backup' made, and say so to it, as
'starter restored --all' does: see there for what that means. Both happen in one step, so
that workers need not be stopped: what they have under way fails, and the next run is a
Full. Everything that the database got since the backup is lost. The backup is checked
first and is not changed.

PostgreSQL is restored with pg_restore; then run 'starter restored --all'. On a terminal a
question is asked; elsewhere --yes is needed. --dry-run only shows what the backup holds.`,
		Example: `  starter restore /var/backups/mesh-2026-04-22.db
  starter restore /var/backups/mesh-2026-04-22.db --yes -o json
  starter restore /var/backups/mesh-2026-04-22.db --dry-run`,
		Args: oneArg("FILE", "the backup"),
		RunE: c.action(func(ctx context.Context, args []string) error {
			url, err := c.database()
			if err != nil {
				return err
			}
			if _, err := mesh.SQLiteFile(url); err != nil {
				return err
			}
			do := func(dry bool) ([]mesh.Restoration, error) {
				return mesh.RestoreBackup(ctx, url, args[0], mesh.Restore{By: c.operator(), DryRun: dry})
			}
			return c.restored(ctx, do, restoreOptions{yes: yes, dry: dry, format: out.value,
				question: "Put the database back to this backup, and lose what it got since?"})
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only show what the backup holds")
	out = addFormat(cmd, table, asJSON)
	return cmd
}
