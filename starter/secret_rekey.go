package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

func newSecretRekey(c *cli) *cobra.Command {
	var out *formatFlag
	var file string
	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "Rotate the key that seals the secrets of the table",
		Long: `Rotate the key that seals the secrets of the table: make a new key, seal every secret
with it, and drop the old one. Workers go on meanwhile. When it is interrupted, nothing
is lost: run it again, and it finishes.

A key in a variable cannot be changed from here, and of a key file there may be copies on
other machines. For these, --key-out writes the new keyset to a file and leaves the key
itself alone. It takes two calls: put the first file in the key's place everywhere, call
it again, which seals the secrets with the new key, and put the second file there.
Without any key yet it makes the first one.`,
		Example: `  starter secret rekey
  starter secret rekey --key-out new-keyset.json`,
		Args: noArgs("it seals every secret of the table anew"),
		RunE: c.action(func(ctx context.Context, _ []string) error {
			return c.withSecrets(ctx, func(store mesh.Store, backend secrets.Backend) error {
				sealed, ok := backend.(*secrets.TableStore)
				if !ok {
					return errors.New("the secrets are not in the im_secrets table (IDENTITYMESH_SECRETS), and no key of this program seals them")
				}
				if c.checkKey != nil {
					if err := c.checkKey(ctx, store); err != nil {
						return err
					}
				}
				return c.rekey(ctx, sealed, file, out.value)
			})
		}),
	}
	cmd.Flags().StringVar(&file, "key-out", "", "write the new keyset to this new `FILE` instead of replacing the key")
	out = addFormat(cmd, table, asJSON)
	return cmd
}

func (c *cli) rekey(ctx context.Context, sealed *secrets.TableStore, file string, f format) error {
	var done secrets.Rekeyed
	var err error
	if file == "" {
		done, err = sealed.Rekey(ctx)
	} else {
		done, err = sealed.RekeyTo(ctx, func(keyset []byte) error { return writeKeyset(file, keyset) })
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		err = fmt.Errorf("%w; with --key-out FILE the key is left alone", err)
	}
	if err != nil {
		return err
	}
	if f == asJSON {
		return printJSON(c.stdout, struct {
			Secrets  int    `json:"secrets"`
			Resealed int    `json:"resealed"`
			Pending  bool   `json:"pending"`
			KeyOut   string `json:"keyOut,omitempty"`
		}{done.Rows, done.Resealed, done.Pending, file})
	}
	switch {
	case done.Pending:
		c.notef("%s holds the new key and the old ones: put it in the place of the %s everywhere, then run this again", file, sealed.Keys())
		return nil
	case file != "":
		c.notef("%s holds the newest key alone: put it in the place of the %s everywhere, then delete the file", file, sealed.Keys())
	}
	_, err = fmt.Fprintf(c.stdout, "%s sealed with the newest key, %d by this command\n", plural(done.Rows, "secret"), done.Resealed)
	return err
}

// writeKeyset writes a new file that nobody else can read.
func writeKeyset(file string, keyset []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists, and is not overwritten: it may hold a key in use; name another file", file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(keyset)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
