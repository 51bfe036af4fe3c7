package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/okta"
	"github.com/identitymesh/okta-connector/secrets"
)

// appOptions say how a new connector signs in: with an API token, or as a service app.
type appOptions struct {
	mode, clientID, keyFile, keyID string

	keyElsewhere bool // the key is stored by other means: none is read
}

func (a *appOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.mode, "mode", "", "ApiKey for an API token or OAuth for a service app (default: OAuth with --client-id)")
	cmd.Flags().StringVar(&a.clientID, "client-id", "", "the service app's client id, such as 0oa1gjh63g214q0Hq0g4")
	cmd.Flags().StringVar(&a.keyFile, "key-file", "", "the file that holds the app's private key, PEM or JWK (default: standard input)")
	cmd.Flags().StringVar(&a.keyID, "key-id", "", "the key's id (kid), where the app has several keys")
}

// given says whether any flag speaks of a service app.
func (a *appOptions) given() bool {
	return a.mode == connector.ModeOAuth || a.clientID != "" || a.keyFile != "" || a.keyID != ""
}

func (a *appOptions) oauth() bool { return a.mode == connector.ModeOAuth }

// ask completes what the flags say; on a terminal it asks for what they do not.
func (a *appOptions) ask(ctx context.Context, q *asker, terminal bool) (err error) {
	switch {
	case a.mode == connector.ModeAPIKey && a.given():
		return usagef("--client-id, --key-file and --key-id are of a service app: leave them out, or say --mode %s", connector.ModeOAuth)
	case a.mode == "" && a.given():
		a.mode = connector.ModeOAuth
	case a.mode == "" && terminal:
		if a.mode, err = q.line(ctx, "Sign in with an API token (ApiKey) or as a service app (OAuth)", connector.ModeAPIKey); err != nil {
			return err
		}
		for _, mode := range []string{connector.ModeAPIKey, connector.ModeOAuth} {
			if strings.EqualFold(a.mode, mode) {
				a.mode = mode
			}
		}
		if a.mode != connector.ModeAPIKey && a.mode != connector.ModeOAuth {
			return fmt.Errorf("answer %s or %s", connector.ModeAPIKey, connector.ModeOAuth)
		}
	case a.mode == "":
		a.mode = connector.ModeAPIKey
	case a.mode != connector.ModeAPIKey && a.mode != connector.ModeOAuth:
		return usagef("--mode must be %s or %s", connector.ModeAPIKey, connector.ModeOAuth)
	}
	if !a.oauth() {
		return nil
	}
	if a.clientID == "" {
		if !terminal {
			return usagef("give the service app's client id with --client-id")
		}
		if a.clientID, err = q.line(ctx, "Client id of the service app", ""); err != nil {
			return err
		}
	}
	if a.keyFile == "" && terminal && !a.keyElsewhere { // a key has many lines: it cannot be typed
		if a.keyFile, err = q.line(ctx, "File of its private key, PEM or JWK", ""); err != nil {
			return err
		}
		if a.keyFile == "" {
			return errors.New("name the file of the private key")
		}
	}
	return nil
}

// auth returns the AuthJson of the service app with its key under ref.
func (a *appOptions) auth(ref string) connector.Auth {
	return connector.Auth{Mode: connector.ModeOAuth, ClientID: a.clientID, PrivateKey: ref, KeyID: a.keyID}
}

// defaultRef is the runbook's stable name for an org's token, or one like it for a key.
func (o initOptions) defaultRef() string {
	if o.app.oauth() {
		return secrets.Scheme + "okta/" + o.name + "/privatekey"
	}
	return defaultRef(o.name)
}

// readCredential reads the token, or the key, which must be one that Okta takes. The
// caller clears it.
func (c *cli) readCredential(ctx context.Context, o initOptions) ([]byte, error) {
	if !o.app.oauth() {
		return c.readSecret(ctx, "Okta API token")
	}
	key, err := c.readKey(ctx, o.app.keyFile)
	if err != nil {
		return nil, err
	}
	def, err := o.definition(o.defaultRef())
	if err == nil {
		_, err = okta.ServiceApp{ClientID: o.app.clientID, PrivateKey: string(key), KeyID: o.app.keyID, Scopes: def.Scopes()}.Credentials()
	}
	if err != nil {
		clear(key)
		return nil, err
	}
	return key, nil
}

// readKey reads a private key from a file, or from standard input without one.
func (c *cli) readKey(ctx context.Context, file string) ([]byte, error) {
	if file == "" {
		return c.readSecret(ctx, "Private key")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	key, err := await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(f, secrets.MaxValueLen+16)) })
	if err != nil {
		return nil, fmt.Errorf("read the private key: %w", err)
	}
	if len(bytes.TrimSpace(key)) == 0 {
		return nil, fmt.Errorf("the file %s of the private key is empty", file)
	}
	return key, nil
}
