package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

// rotateAfter is how long a token should be used (runbook, Step 1).
const rotateAfter = 90 * 24 * time.Hour

func newSecretCommand(c *cli) *cobra.Command {
	return c.group(&cobra.Command{
		Use:   "secret",
		Short: "Store, list and delete secrets",
		Long: `Store, list and delete secrets: the values that definitions name by a reference such
as secret://okta/contoso/apitoken. Values are sealed in the mesh database with a key
that lies outside it. No command prints one.`,
		Example: `  starter secret set secret://okta/contoso/apitoken
  starter secret list`,
	}, newSecretSet(c), newSecretList(c), newSecretDelete(c))
}

func newSecretSet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "set REF",
		Short: "Store or replace a secret",
		Long: `Store or replace a secret. The value is asked for without echo, or read from standard
input when that is no terminal; one trailing newline is trimmed. It is never an argument.`,
		Example: `  starter secret set secret://okta/contoso/apitoken
  starter secret set secret://okta/contoso/apitoken < token.txt`,
		Args:              oneArg("REF", "the value is asked for, or read from standard input"),
		ValidArgsFunction: c.completeSecret,
		RunE: c.action(func(ctx context.Context, args []string) error {
			ref, err := parseRef(args[0])
			if err != nil {
				return err
			}
			value, err := c.readSecret(ctx, "Value of "+ref)
			if err != nil {
				return err
			}
			defer clear(value)
			err = c.withStore(ctx, func(store mesh.Store) error { return c.setSecret(ctx, store, ref, value) })
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.stdout, "%s stored\n", ref)
			return err
		}),
	}
}

// parseRef checks a reference given as an argument.
func parseRef(arg string) (string, error) {
	ref, err := secrets.ParseRef(arg)
	if err != nil {
		return "", &usageError{err}
	}
	return ref.String(), nil
}

func newSecretList(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the stored secrets, without their values",
		Long: `List the stored secrets, without their values. A token older than 90 days is due for
rotation (runbook, Step 1).`,
		Example: `  starter secret list
  starter secret list -o json`,
		Args: noArgs("it lists every stored secret"),
		RunE: c.action(func(ctx context.Context, _ []string) error {
			return c.withStore(ctx, func(store mesh.Store) error { return c.listSecrets(ctx, store, out.value) })
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

func (c *cli) listSecrets(ctx context.Context, store mesh.Store, f format) error {
	all, err := store.ListSecrets(ctx)
	if err != nil {
		return err
	}
	if f == asJSON {
		if all == nil {
			all = []mesh.Secret{}
		}
		return printJSON(c.stdout, all)
	}
	if len(all) == 0 {
		c.notef("There is no secret yet: store one with 'starter secret set REF'.")
		return nil
	}
	rows := make([][]string, len(all))
	for i, s := range all {
		age := c.now().Sub(s.UpdatedAt)
		due := ""
		if age > rotateAfter {
			due = "due"
		}
		rows[i] = []string{s.Ref, stamp(s.CreatedAt), stamp(s.UpdatedAt), span(max(age, 0)), due}
	}
	return printTable(c.stdout, []string{"REFERENCE", "CREATED", "UPDATED", "AGE", "ROTATION"}, rows)
}

func newSecretDelete(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "delete REF",
		Short:             "Delete a secret",
		Example:           `  starter secret delete secret://okta/contoso/apitoken`,
		Args:              oneArg("REF", ""),
		ValidArgsFunction: c.completeSecret,
		RunE: c.action(func(ctx context.Context, args []string) error {
			ref, err := parseRef(args[0])
			if err != nil {
				return err
			}
			return c.withStore(ctx, func(store mesh.Store) error { return c.deleteSecret(ctx, store, ref) })
		}),
	}
}

func (c *cli) deleteSecret(ctx context.Context, store mesh.Store, ref string) error {
	parsed, err := secrets.ParseRef(ref)
	if err != nil {
		return err
	}
	sealed, err := c.openSecrets(store)
	if err != nil {
		return err
	}
	if err := sealed.Delete(ctx, parsed); err != nil {
		if _, ok := errors.AsType[*secrets.MissingError](err); ok {
			return fmt.Errorf("secret %s does not exist; 'starter secret list' shows the stored ones", ref)
		}
		return err
	}
	users, err := usersOf(ctx, store, ref)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		c.notef("note: %s is still named by connector %s, which cannot import without it", ref, strings.Join(users, ", "))
	}
	_, err = fmt.Fprintf(c.stdout, "%s deleted\n", ref)
	return err
}

// usersOf names the connectors whose definition holds the reference.
func usersOf(ctx context.Context, store mesh.Store, ref string) ([]string, error) {
	all, err := store.ListConnectors(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, conn := range all {
		def, err := connector.FromParts(conn.Name, conn.Type, conn.ConfigJSON, conn.AuthJSON)
		if err == nil && def.Auth.Secret() == ref {
			names = append(names, conn.Name)
		}
	}
	return names, nil
}
