package main

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/internal/codec"
)

func newCodecCommand(c *cli) *cobra.Command {
	return c.group(&cobra.Command{
		Use:   "codec",
		Short: "Encrypt what Temporal stores: keys, and a codec server for the Web UI",
		Long: `Encrypt what Temporal stores. No profile data and no secret travels through Temporal
either way; connector names, Okta ids, counts, watermarks and error texts do. With
` + codec.EnvKeyFile + ` set for every worker and starter, they are encrypted
before they leave the process. Without the key nobody reads them, the Web UI's users
included, unless a codec server decrypts for them.`,
		Example: `  starter codec key add --file codec.key
  ` + codec.EnvKeyFile + `=codec.key worker
  ` + codec.EnvKeyFile + `=codec.key starter codec serve`,
	}, newCodecKeyCommand(c), newCodecServe(c))
}

func newCodecKeyCommand(c *cli) *cobra.Command {
	var file string
	cmd := c.group(&cobra.Command{
		Use:   "key",
		Short: "Make, list and change the keys of payloads",
		Long: `Make, list and change the keys of payloads. One key is active and encrypts; all of them
decrypt. To rotate:

  starter codec key add          the new key only decrypts as yet: copy the file to every
                                 worker and operator
  starter codec key use ID       from now on it encrypts: copy the file again, and apply
                                 each schedule once more
  starter codec key remove ID    the old one, once no history needs it: after the
                                 namespace's retention, and when no hold is older

Processes read the file again when it changes; none needs a restart.`,
		Example: `  starter codec key add --file /etc/identitymesh/codec.key
  starter codec key list`,
	}, newCodecKeyAdd(c, &file), newCodecKeyList(c, &file), newCodecKeyUse(c, &file), newCodecKeyRemove(c, &file))
	cmd.PersistentFlags().StringVar(&file, "file", "", "the key `FILE` (default: $"+codec.EnvKeyFile+")")
	return cmd
}

// codecKeyFile is the file of the key commands.
func codecKeyFile(flag string) (*codec.KeyFile, string, error) {
	path := cmp.Or(flag, os.Getenv(codec.EnvKeyFile))
	if path == "" {
		return nil, "", usagef("say which file: --file FILE, or set %s", codec.EnvKeyFile)
	}
	return codec.OpenKeyFile(path), path, nil
}

func newCodecKeyAdd(c *cli, file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "add",
		Short: "Make a key; the first of a new file is active at once",
		Example: `  starter codec key add --file /etc/identitymesh/codec.key
  starter codec key add`,
		Args: noArgs("it makes the key itself"),
		RunE: c.action(func(context.Context, []string) error {
			keys, path, err := codecKeyFile(*file)
			if err != nil {
				return err
			}
			added, err := keys.Add()
			if err != nil {
				return err
			}
			all, err := keys.List()
			if err != nil {
				return err
			}
			if len(all) == 1 {
				c.notef("Set %s=%s for every worker and starter. Who loses the file cannot read what it encrypted.", codec.EnvKeyFile, path)
			} else {
				c.notef("It only decrypts as yet: copy %s to every worker and operator, then 'starter codec key use %s'.", path, added)
			}
			_, err = fmt.Fprintf(c.stdout, "key %s added to %s\n", added, path)
			return err
		}),
	}
}

func newCodecKeyList(c *cli, file *string) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the keys, without the keys themselves",
		Example: `  starter codec key list -o json`,
		Args:    noArgs("it lists every key of the file"),
		RunE: c.action(func(context.Context, []string) error {
			keys, _, err := codecKeyFile(*file)
			if err != nil {
				return err
			}
			all, err := keys.List()
			if err != nil {
				return err
			}
			if out.value == asJSON {
				return printJSON(c.stdout, all)
			}
			rows := make([][]string, len(all))
			for i, k := range all {
				use := "decrypts"
				if k.Active {
					use = "active"
				}
				rows[i] = []string{k.ID, use}
			}
			return printTable(c.stdout, []string{"KEY", "USE"}, rows)
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

func newCodecKeyUse(c *cli, file *string) *cobra.Command {
	return &cobra.Command{
		Use:     "use ID",
		Short:   "Make a key the active one",
		Example: `  starter codec key use 1234567890`,
		Args:    oneArg("ID", "see 'starter codec key list'"),
		RunE:    c.action(changeKey(c, file, "active", (*codec.KeyFile).Use)),
	}
}

func newCodecKeyRemove(c *cli, file *string) *cobra.Command {
	return &cobra.Command{
		Use:     "remove ID",
		Short:   "Remove a key; what it encrypted cannot be read any more",
		Example: `  starter codec key remove 1234567890`,
		Args:    oneArg("ID", "see 'starter codec key list'"),
		RunE:    c.action(changeKey(c, file, "removed", (*codec.KeyFile).Remove)),
	}
}

func changeKey(c *cli, file *string, done string, change func(*codec.KeyFile, string) error) func(context.Context, []string) error {
	return func(_ context.Context, args []string) error {
		keys, _, err := codecKeyFile(*file)
		if err != nil {
			return err
		}
		if err := change(keys, args[0]); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.stdout, "key %s %s\n", args[0], done)
		return err
	}
}
