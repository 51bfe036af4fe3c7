package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/internal/notify"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

func newNotifyCommand(c *cli) *cobra.Command {
	return c.group(&cobra.Command{
		Use:   "notify",
		Short: "Try out notifications",
		Long: `Workers tell a command or a webhook of failed runs, held deletes and recoveries, when
they are started with --notify-command or --notify-url.`,
		Example: `  starter notify test --notify-command "/usr/local/bin/page --team identity"`,
	}, newNotifyTest(c))
}

func newNotifyTest(c *cli) *cobra.Command {
	var s notify.Settings
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Send a notice in which nothing has happened",
		Long: `Send a notice in which nothing has happened, as a worker would, from this machine and
under this user, and print it. The flags are the worker's; without them the environment
counts, as for the worker. Exit code 1 when it was not delivered.`,
		Example: `  starter notify test --notify-command "/usr/local/bin/page --team identity"
  starter notify test --notify-url https://hooks.internal/identitymesh
  starter secret set secret://notify/url && starter notify test --notify-url secret://notify/url`,
		Args: noArgs("what to try is given by --notify-command and --notify-url"),
		RunE: c.action(func(ctx context.Context, _ []string) error { return c.notifyTest(ctx, s.FromEnvironment()) }),
	}
	cmd.Flags().StringVar(&s.Command, "notify-command", "", "`PROGRAM` and arguments, separated by spaces ($"+notify.EnvCommand+")")
	cmd.Flags().StringVar(&s.URL, "notify-url", "", "`URL`, or a secret:// reference to it ($"+notify.EnvURL+")")
	return cmd
}

func (c *cli) notifyTest(ctx context.Context, s notify.Settings) error {
	sinks, err := s.Sinks(storedSecrets{c}, "identitymesh-okta-connector/"+app.VersionString())
	switch {
	case err != nil:
		return &usageError{err}
	case len(sinks) == 0:
		return usagef("there is nothing to try: give --notify-command or --notify-url, or set %s or %s", notify.EnvCommand, notify.EnvURL)
	}
	n := notify.Sample(c.now())
	var errs []error
	for _, sink := range sinks {
		if err := sink.Send(ctx, n); err != nil {
			errs = append(errs, fmt.Errorf("the notice was not delivered: %w", err))
			continue
		}
		fmt.Fprintf(c.stderr, "Delivered to the %s.\n", sink.Name())
	}
	enc := json.NewEncoder(c.stdout)
	enc.SetIndent("", "  ")
	return errors.Join(append(errs, enc.Encode(n))...)
}

// storedSecrets resolves references with the secrets' backend opened for the moment.
type storedSecrets struct{ c *cli }

// Resolve implements [secrets.Resolver].
func (s storedSecrets) Resolve(ctx context.Context, ref secrets.Ref) (v secrets.Value, _ error) {
	err := s.c.withSecrets(ctx, func(_ mesh.Store, backend secrets.Backend) (err error) {
		v, err = backend.Resolve(ctx, ref)
		return err
	})
	return v, err
}
