package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/secrets"
)

func newSecretKeygen(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key for the secrets of the table, before there is a database",
		Long: `Make a key for the secrets of the table: for machines that get it from somewhere else,
such as a secret of Docker Compose or Kubernetes. On a machine of its own the first
"starter secret set" makes one.

FILE is new and gets mode 0600; an existing one is not overwritten. "-" is standard
output. No database is opened and nothing is sealed with the key. To replace a key that
is in use, see "starter secret rekey".`,
		Example: `  starter secret keygen secrets.key
  starter secret keygen - | kubectl create secret generic identitymesh-key --from-file=secrets.key=/dev/stdin`,
		Args: oneArg("FILE", `"-" is standard output`),
		RunE: c.action(func(_ context.Context, args []string) error {
			keyset, err := secrets.NewKeyset()
			if err != nil {
				return err
			}
			defer clear(keyset)
			if args[0] == "-" {
				_, err = c.stdout.Write(keyset)
				return err
			}
			return writeKeyset(args[0], keyset)
		}),
	}
}
