package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

func newSecretCommand(c *cli) *cobra.Command {
	return c.group(&cobra.Command{
		Use:   "secret",
		Short: "Store, list and delete secrets",
		Long: `Store, list and delete secrets: the values that definitions name by a reference such
as secret://okta/contoso/apitoken. No command prints one.

IDENTITYMESH_SECRETS says where they are kept. In the table, the default, values are
sealed in the mesh database with a key that lies outside it. The other backends (env,
files, vault, azure) are read and not written: set and delete say how that is done there.`,
		Example: `  starter secret set secret://okta/contoso/apitoken
  starter secret list
  starter secret rekey`,
	}, newSecretSet(c), newSecretList(c), newSecretDelete(c), newSecretRekey(c), newSecretKeygen(c))
}

func newSecretSet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "set REF",
		Short: "Store or replace a secret",
		Long: `Store or replace a secret. The value is asked for without echo, or read from standard
input when that is no terminal; one trailing newline is trimmed. It is never an argument.
A key may have lines: a PEM block or a JSON Web Key. A token may not.`,
		Example: `  starter secret set secret://okta/contoso/apitoken
  starter secret set secret://okta/contoso/apitoken < token.txt
  starter secret set secret://okta/contoso/privatekey < key.pem`,
		Args:              oneArg("REF", "the value is asked for, or read from standard input"),
		ValidArgsFunction: c.completeSecret,
		RunE: c.action(func(ctx context.Context, args []string) error {
			ref, err := parseRef(args[0])
			if err != nil {
				return err
			}
			// What cannot be stored is not asked for.
			elsewhere, err := c.secretsAreElsewhere()
			if err != nil {
				return err
			}
			if elsewhere != nil {
				return fmt.Errorf("secret %s: this program does not write there; %s", ref, elsewhere(secrets.Ref(ref)))
			}
			value, err := c.readSecret(ctx, "Value of "+ref)
			if err != nil {
				return err
			}
			defer clear(value)
			if err := c.setSecret(ctx, ref, value); err != nil {
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

// secretsAreElsewhere returns how secrets are stored in a backend that this program does
// not write, nil for one that it does. It opens no database.
func (c *cli) secretsAreElsewhere() (how func(secrets.Ref) string, err error) {
	backend, err := c.openSecrets(nil)
	if err != nil {
		return nil, err
	}
	if _, ok := backend.(secrets.Writer); !ok {
		how = backend.HowToStore
	}
	return how, backend.Close()
}

// setSecret stores a value under ref.
func (c *cli) setSecret(ctx context.Context, ref string, value []byte) error {
	parsed, err := secrets.ParseRef(ref)
	if err != nil {
		return err
	}
	return c.withSecrets(ctx, func(store mesh.Store, backend secrets.Backend) error {
		writer, ok := backend.(secrets.Writer)
		if !ok {
			return fmt.Errorf("secret %s: this program does not write there; %s", ref, backend.HowToStore(parsed))
		}
		if c.checkKey != nil {
			if err := c.checkKey(ctx, store); err != nil {
				return err
			}
		}
		return writer.Set(ctx, parsed, value)
	})
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
			return c.withSecrets(ctx, func(store mesh.Store, backend secrets.Backend) error {
				return c.deleteSecret(ctx, store, backend, secrets.Ref(ref))
			})
		}),
	}
}

func (c *cli) deleteSecret(ctx context.Context, store mesh.Store, backend secrets.Backend, ref secrets.Ref) error {
	writer, ok := backend.(secrets.Writer)
	if !ok {
		place, err := backend.Where(ref)
		if err != nil {
			return err
		}
		return fmt.Errorf("secret %s: this program does not write in %s; delete it there, with the tools of that place", ref, place)
	}
	if err := writer.Delete(ctx, ref); err != nil {
		if secrets.IsMissing(err) {
			return fmt.Errorf("secret %s does not exist; 'starter secret list' shows the stored ones", ref)
		}
		return err
	}
	named, err := namedRefs(ctx, store)
	if err != nil {
		return err
	}
	if users := named[string(ref)]; len(users) > 0 {
		c.notef("note: %s is still named by connector %s, which cannot import without it", ref, strings.Join(users, ", "))
	}
	_, err = fmt.Fprintf(c.stdout, "%s deleted\n", ref)
	return err
}
