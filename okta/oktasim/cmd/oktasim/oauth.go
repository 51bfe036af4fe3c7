package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// oauthOptions are the flags of a service app.
type oauthOptions struct {
	client, key    string
	scopes         []string
	noDPoP, noRole bool
	life           time.Duration
}

var defaultScopes = []string{"okta.users.read", "okta.groups.read"}

func (o *oauthOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.client, "oauth-client", "", "register an OAuth service app of this client `ID`, such as 0oaoktasim")
	f.StringVar(&o.key, "oauth-key", "", "its public key or keys: PEM, JWK or JWKS in this `FILE`; see 'oktasim keygen'")
	f.StringSliceVar(&o.scopes, "oauth-scopes", defaultScopes, "the `SCOPES` that it is granted, separated by commas")
	f.BoolVar(&o.noDPoP, "oauth-no-dpop", false, "let it have bearer tokens, which new apps do not")
	f.BoolVar(&o.noRole, "oauth-no-role", false, "give it no admin role: its lists are empty then")
	f.DurationVar(&o.life, "token-lifetime", oktasim.DefaultTokenLifetime, "let its access tokens live this `TIME`")
}

// apps returns the app that the flags describe, if they do.
func (o *oauthOptions) apps(changed func(string) bool) ([]oktasim.App, error) {
	if o.client == "" {
		for _, name := range []string{"oauth-key", "oauth-scopes", "oauth-no-dpop", "oauth-no-role", "token-lifetime"} {
			if changed(name) {
				return nil, usageError{fmt.Errorf("--%s describes a service app and needs --oauth-client", name)}
			}
		}
		return nil, nil
	}
	switch {
	case o.key == "":
		return nil, usageError{errors.New("--oauth-client needs the app's public key: --oauth-key FILE; 'oktasim keygen' makes a pair")}
	case o.life < time.Second:
		return nil, usageError{fmt.Errorf("--token-lifetime must be at least 1s, it is %s", o.life)}
	}
	text, err := os.ReadFile(o.key)
	if err != nil {
		return nil, err
	}
	keys, err := oktasim.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.key, err)
	}
	return []oktasim.App{{ClientID: o.client, Keys: keys, Scopes: o.scopes, NoDPoP: o.noDPoP, NoRole: o.noRole}}, nil
}

// keygenOptions are the flags of keygen.
type keygenOptions struct{ kind, kid, out string }

func newKeygen() *cobra.Command {
	var o keygenOptions
	cmd := &cobra.Command{
		Use:   "keygen --out NAME",
		Short: "Make a key pair for a service app",
		Long: `keygen makes the key pair of a service app: NAME.pem holds the private key, for the
connector, readable by you alone; NAME.jwks.json holds the public one, for --oauth-key
here, or to be pasted into the app in Okta's Admin Console. Neither may exist.`,
		Example: `  oktasim keygen --out sim
  oktasim --oauth-client 0oaoktasim --oauth-key sim.jwks.json
  starter connector init --name sim --domain 127.0.0.1:18080 --insecure-loopback --client-id 0oaoktasim --key-file sim.pem`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			private, public, err := o.write()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n", private, public)
			return err
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.out, "out", "", "write NAME.pem and NAME.jwks.json; a `NAME` may hold a folder")
	f.StringVar(&o.kind, "type", "rsa", "the key's `TYPE`: rsa (2048 bits, RS256) or ec (P-256, ES256)")
	f.StringVar(&o.kid, "kid", "", "the key's `ID` (default: its thumbprint)")
	return cmd
}

// write makes the two files and returns their names.
func (o keygenOptions) write() (private, public string, err error) {
	if o.out == "" {
		return "", "", usageError{errors.New("say with --out NAME where the keys go")}
	}
	var key crypto.Signer
	switch o.kind {
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ec":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return "", "", usageError{fmt.Errorf("--type must be rsa or ec, not %q", o.kind)}
	}
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	jwk := jose.JSONWebKey{Key: key.Public(), KeyID: o.kid, Use: "sig"}
	if o.kid == "" {
		sum, err := jwk.Thumbprint(crypto.SHA256)
		if err != nil {
			return "", "", err
		}
		jwk.KeyID = fmt.Sprintf("%x", sum[:8])
	}
	set, err := json.MarshalIndent(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk}}, "", "  ")
	if err != nil {
		return "", "", err
	}
	private, public = o.out+".pem", o.out+".jwks.json"
	if err := create(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return "", "", err
	}
	if err := create(public, append(set, '\n')); err != nil {
		return "", "", errors.Join(err, os.Remove(private))
	}
	return private, public, nil
}

// create writes a new file that only its owner may read.
func create(name string, text []byte) (err error) {
	f, err := os.OpenFile(filepath.Clean(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(text)
	return err
}
