package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

const rootLong = `starter drives the IdentityMesh Okta connector: it defines connectors, keeps their
secrets, starts, schedules and follows imports, answers held deletes, and reads the mesh.

Standard output carries the result only; everything else goes to standard error.

Exit codes: 0 success, or a run that ended as Completed; 1 an error, or a run that
ended as Failed or Cancelled; 2 wrong usage; 3 HeldDeletes; 4 Skipped; 5 a consumer of a
feed has to read the objects anew; 130 interrupted.

Environment:
  IDENTITYMESH_DB          the mesh database, sqlite:///path/to/file or postgres://…
                           (default: mesh.db in the state folder)
  IDENTITYMESH_SECRETS     where secrets are kept: table (in the database, the default),
                           env, files, vault or azure; see docs/secrets.md for the
                           variables of each
  IDENTITYMESH_KEY_FILE    the key that seals the secrets of the table
                           (default: secrets.key in the state folder)
  IDENTITYMESH_KEY, IDENTITYMESH_KEY_STORE
                           that key itself, or where else it is kept: os, the operating
                           system's credential store
  IDENTITYMESH_TASK_QUEUE  the Temporal task queue of the worker
                           (default: ` + app.DefaultTaskQueue + `)
  XDG_STATE_HOME           the state folder is $XDG_STATE_HOME/identitymesh
                           (default: ~/.local/state/identitymesh)
  TEMPORAL_ADDRESS         Temporal's frontend (default: 127.0.0.1:7233)
  TEMPORAL_NAMESPACE       Temporal's namespace (default: default)
  TEMPORAL_API_KEY, TEMPORAL_TLS, TEMPORAL_TLS_SERVER_CA_CERT_PATH,
  TEMPORAL_TLS_CLIENT_CERT_PATH, TEMPORAL_TLS_CLIENT_KEY_PATH,
  TEMPORAL_TLS_SERVER_NAME, TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE
                           as for Temporal's own tools
  ` + app.EnvAPIKeyFile + `
                           a file with Temporal's API key, read anew for each call
  ` + codec.EnvKeyFile + `
                           keys that encrypt what Temporal stores ('starter codec');
                           ` + codec.EnvKeys + ` is the file's text instead`

// newRoot returns the command tree.
func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "starter",
		Short: "Drive the IdentityMesh Okta connector",
		Long:  rootLong,
		Example: `  starter connector init > contoso.json    # asks, stores the token, prints the definition
  starter connector apply -f contoso.json
  starter connector check contoso           # what would go wrong, and what to do
  starter run contoso --mode full --wait
  starter schedule apply contoso --every 15m --reconcile "Sun 02:00"
  starter objects contoso --type user
  starter changes contoso --since 0 -o jsonl`,
		Version:       app.VersionString(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("starter {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(
		newConnectorCommand(c),
		newSecretCommand(c),
		newNotifyCommand(c),
		newRunCommand(c),
		newScheduleCommand(c),
		newApproveCommand(c),
		newRejectCommand(c),
		newCancelCommand(c),
		newWatchCommand(c),
		newStatusCommand(c),
		newWatermarkCommand(c),
		newRunsCommand(c),
		newObjectsCommand(c),
		newChangesCommand(c),
		newFeedCommand(c),
		newBackupCommand(c),
		newRestoreCommand(c),
		newRestoredCommand(c),
		newExportCommand(c),
		newCodecCommand(c),
		newDeploymentCommand(c),
	)
	return root
}

// group is a command that only holds others. Alone it prints its help, as the root does.
func (c *cli) group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(subs...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		names := make([]string, len(subs))
		for i, s := range subs {
			names[i] = s.Name()
		}
		return usagef("unknown command %q for %s: the commands are %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))
	}
	return cmd
}

// action makes f the code of a command.
func (c *cli) action(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c.acting = true
		return f(cmd.Context(), args)
	}
}

// oneArg wants exactly one argument. It does not repeat what was given: it may be
// a secret in the wrong place.
func oneArg(name, hint string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && args[0] != "" {
			return nil
		}
		return wrongArgs(cmd, "exactly one argument, "+name, hint, args)
	}
}

// wrongArgs says that a command got other arguments than it needs, and how it is written. It
// does not repeat them. The hint may be empty.
func wrongArgs(cmd *cobra.Command, needs, hint string, args []string) error {
	given := fmt.Sprintf("%d arguments given", len(args))
	switch {
	case slices.Contains(args, ""): // a variable of the shell that is not set
		given = "an empty one given"
	case len(args) == 1:
		given = "1 argument given"
	}
	if hint != "" {
		given += "; " + hint
	}
	usage := cmd.Use
	if cmd.HasParent() {
		usage = cmd.Parent().CommandPath() + " " + usage
	}
	return fmt.Errorf("%s needs %s; %s; write: %s", cmd.CommandPath(), needs, given, usage)
}

// belowZero has a command say what is wrong with a negative number among its arguments, which
// would be called an unknown flag.
func belowZero(cmd *cobra.Command, explain func(number string) error) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		flag, ok := errors.AsType[*pflag.NotExistError](err)
		if !ok {
			return err
		}
		number := "-" + flag.GetSpecifiedShortnames()
		if _, nan := strconv.ParseFloat(strings.TrimSuffix(number, "%"), 64); nan != nil {
			return err
		}
		return explain(number)
	})
}

// noArgs wants no argument and does not repeat what was given.
func noArgs(hint string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return fmt.Errorf("%s takes no argument; %s", cmd.CommandPath(), hint)
	}
}

// completeConnector completes the first argument with the connectors' names.
func (c *cli) completeConnector(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	var names []cobra.Completion
	err := c.withStore(ctx, func(store mesh.Store) error {
		all, err := store.ListConnectors(ctx)
		for _, conn := range all {
			if strings.HasPrefix(conn.Name, prefix) {
				names = append(names, conn.Name)
			}
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeSecret completes the first argument with the references that there are, and
// for delete with the stored ones.
func (c *cli) completeSecret(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	var refs []cobra.Completion
	err := c.withSecrets(ctx, func(store mesh.Store, backend secrets.Backend) error {
		all, err := knownRefs(ctx, store, backend)
		if stored, ok := backend.(*secrets.TableStore); ok && err == nil && cmd.Name() == "delete" {
			var rows []secrets.Row
			rows, err = stored.List(ctx)
			clear(all)
			for _, row := range rows {
				all[row.Ref] = nil
			}
		}
		for ref := range all {
			if strings.HasPrefix(ref, prefix) {
				refs = append(refs, ref)
			}
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	slices.Sort(refs)
	return refs, cobra.ShellCompDirectiveNoFileComp
}

// knownConnector returns the definition, or an error that lists the known names.
func knownConnector(ctx context.Context, store mesh.Store, name string) (*mesh.Connector, error) {
	conn, err := store.Connector(ctx, name)
	if err == nil {
		return conn, nil
	}
	if _, ok := errors.AsType[*mesh.NotFoundError](err); !ok {
		return nil, err
	}
	all, lerr := store.ListConnectors(ctx)
	if lerr != nil {
		return nil, lerr
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w; there is none yet: make one with 'starter connector init' and 'starter connector apply'", err)
	}
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Name
	}
	slices.Sort(names)
	return nil, fmt.Errorf("%w; known connectors: %s", err, strings.Join(names, ", "))
}

// readable is knownConnector for commands that read what a deleted connector left
// behind; left tells whether there is anything. It can do without the definition, which
// the database role of a consumer may not see.
func readable(ctx context.Context, store mesh.Store, name string, left func() (bool, error)) error {
	_, err := store.Feed(ctx, name) // deleted connectors have one, too
	if _, unknown := errors.AsType[*mesh.NotFoundError](err); err != nil && !unknown {
		return err
	}
	found, lerr := left()
	if _, unknown := errors.AsType[*mesh.NotFoundError](lerr); lerr != nil && !unknown {
		return lerr
	}
	if found {
		return nil
	}
	_, known := knownConnector(ctx, store, name)
	if _, missing := errors.AsType[*mesh.NotFoundError](known); known == nil || missing {
		return known
	}
	return err
}
