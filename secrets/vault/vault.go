// Package vault reads secrets from HashiCorp Vault: a KV secrets engine, version 2.
//
// The connection is Vault's own configuration: VAULT_ADDR, VAULT_NAMESPACE,
// VAULT_CACERT and the other variables that its library reads. A token that may be
// renewed is renewed for as long as the process lives; a login whose token came to its
// end is made again.
package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/identitymesh/okta-connector/secrets"
)

// Config is where the secrets lie in Vault and how to log in. The zero value reads the
// field "value" of secrets in the mount "secret", with the token of VAULT_TOKEN.
type Config struct {
	Mount  string // of the KV engine; "" means "secret"
	Prefix string // in front of every reference's path, such as "identitymesh"; "" means none
	Field  string // of the secret, which holds the value; "" means "value"

	// Auth is AuthToken, AuthAppRole or AuthKubernetes; "" means AuthToken.
	Auth string
	// AuthMount is where the method is mounted; "" means at its own name.
	AuthMount string
	// TokenFile holds the token, as Vault Agent keeps it; "" means VAULT_TOKEN.
	TokenFile string
	// RoleID and SecretID are an AppRole's; SecretIDFile is read at each login.
	RoleID, SecretID, SecretIDFile string
	// Role and JWTFile are those of Kubernetes; JWTFile "" means the pod's own token.
	Role, JWTFile string
}

// The ways to log in.
const (
	AuthToken      = "token"
	AuthAppRole    = "approle"
	AuthKubernetes = "kubernetes"
)

// maxAnswer bounds an answer of Vault: a value of 64 KiB in JSON, and some.
const maxAnswer = 1 << 20

// Vault is a [secrets.Backend].
type Vault struct {
	cfg    Config
	client *api.Client
	// timeout is [secrets.CallTimeout]; tests shorten it.
	timeout time.Duration

	turn    chan struct{} // holds one element while somebody logs in, and guards the rest
	session *session      // nil: not logged in
	closed  bool
}

var _ secrets.Backend = (*Vault)(nil)

// Open checks the configuration and calls nobody: the first secret logs in.
func Open(cfg Config) (*Vault, error) {
	cfg.Mount = cmp.Or(strings.Trim(cfg.Mount, "/"), "secret")
	cfg.Prefix = strings.Trim(cfg.Prefix, "/")
	cfg.Field = cmp.Or(cfg.Field, "value")
	cfg.Auth = cmp.Or(strings.ToLower(cfg.Auth), AuthToken)
	cfg.AuthMount = cmp.Or(strings.Trim(cfg.AuthMount, "/"), cfg.Auth)
	if err := cfg.check(); err != nil {
		return nil, err
	}
	// Vault's own setting, and one that gives the token to whoever answers.
	if skip, err := strconv.ParseBool(os.Getenv(api.EnvVaultSkipVerify)); err == nil && skip {
		return nil, fmt.Errorf("%s is set: whoever answers in Vault's place would get the token; unset it, and name Vault's CA in %s",
			api.EnvVaultSkipVerify, api.EnvVaultCACert)
	}
	c := api.DefaultConfig()
	if c.Error != nil {
		return nil, fmt.Errorf("read Vault's settings (VAULT_…): %w", c.Error)
	}
	if os.Getenv(api.EnvVaultMaxRetries) == "" {
		c.MaxRetries = 0 // the run waits with more patience
	}
	c.HttpClient.Transport = bounded{c.HttpClient.Transport}
	client, err := api.NewClient(c)
	if err != nil {
		return nil, fmt.Errorf("read Vault's settings (VAULT_…): %w", err)
	}
	if err := checkAddress(client.Address()); err != nil {
		return nil, err
	}
	return &Vault{cfg: cfg, client: client, timeout: secrets.CallTimeout, turn: make(chan struct{}, 1)}, nil
}

func (c *Config) check() error {
	switch c.Auth {
	case AuthToken:
		if c.TokenFile == "" && os.Getenv(api.EnvVaultToken) == "" {
			return errors.New("no Vault token: set VAULT_TOKEN or IDENTITYMESH_VAULT_TOKEN_FILE, or another way to log in with IDENTITYMESH_VAULT_AUTH")
		}
	case AuthAppRole:
		if c.RoleID == "" || (c.SecretID == "") == (c.SecretIDFile == "") {
			return errors.New("log in to Vault with an AppRole: set IDENTITYMESH_VAULT_ROLE_ID, and one of IDENTITYMESH_VAULT_SECRET_ID_FILE and IDENTITYMESH_VAULT_SECRET_ID")
		}
	case AuthKubernetes:
		if c.Role == "" {
			return errors.New("log in to Vault with Kubernetes: set IDENTITYMESH_VAULT_ROLE")
		}
	default:
		return fmt.Errorf("IDENTITYMESH_VAULT_AUTH is %q: want token, approle or kubernetes", c.Auth)
	}
	for name, path := range map[string]string{"IDENTITYMESH_VAULT_MOUNT": c.Mount, "IDENTITYMESH_VAULT_PREFIX": c.Prefix, "IDENTITYMESH_VAULT_AUTH_MOUNT": c.AuthMount} {
		if strings.Contains(path, "..") || strings.Contains(path, "//") || strings.ContainsAny(path, "?#%") {
			return fmt.Errorf("%s is %q: want a path such as team/kv", name, path)
		}
	}
	return nil
}

// checkAddress refuses an address to which tokens and secrets would go in the clear.
// Vault Agent listens on a loopback address.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("VAULT_ADDR %q is no URL", address)
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	if u.Scheme != "http" || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("VAULT_ADDR is %s: the token and the secrets would travel in the clear; use https://", address)
}

// bounded ends an answer that is too long for a secret.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// Where implements [secrets.Backend]. Vault takes no path with two dots in a row.
func (v *Vault) Where(ref secrets.Ref) (secrets.Place, error) {
	ref, err := secrets.ParseRef(string(ref))
	if err != nil {
		return secrets.Place{}, err
	}
	place := secrets.Place{Backend: secrets.BackendVault, Name: "Vault", Server: v.client.Address()}
	if strings.Contains(string(ref), "..") {
		return secrets.Place{}, &secrets.Error{Ref: ref, Place: place, Kind: secrets.Misconfigured,
			Cause: "has no place: Vault takes no path with two dots in a row", Remedy: "use another reference"}
	}
	place.Path = v.cfg.Mount + "/data/" + v.path(ref)
	return place, nil
}

// path is the path of a reference inside the mount.
func (v *Vault) path(ref secrets.Ref) string {
	if v.cfg.Prefix == "" {
		return ref.Path()
	}
	return v.cfg.Prefix + "/" + ref.Path()
}

// HowToStore implements [secrets.Backend]. "=-" makes Vault's tool read standard input.
func (v *Vault) HowToStore(ref secrets.Ref) string {
	return fmt.Sprintf("store it with: vault kv put -mount=%s %s %s=- < FILE", v.cfg.Mount, v.path(ref), v.cfg.Field)
}

// Resolve implements [secrets.Resolver].
func (v *Vault) Resolve(ctx context.Context, ref secrets.Ref) (secrets.Value, error) {
	value, _, err := v.read(ctx, ref)
	return value, err
}

// Stat implements [secrets.Backend]. Updated is when the current version was written.
func (v *Vault) Stat(ctx context.Context, ref secrets.Ref) (secrets.Info, error) {
	value, info, err := v.read(ctx, ref)
	value.Wipe()
	return info, err
}

func (v *Vault) read(ctx context.Context, ref secrets.Ref) (secrets.Value, secrets.Info, error) {
	place, err := v.Where(ref)
	if err != nil {
		return secrets.Value{}, secrets.Info{}, err
	}
	q := &question{v: v, ref: ref, place: place, parent: ctx}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	found, err := q.get(ctx)
	if err != nil {
		return secrets.Value{}, secrets.Info{}, err
	}
	info := secrets.Info{Version: strconv.Itoa(found.VersionMetadata.Version), Updated: found.VersionMetadata.CreatedTime}
	text, ok := found.Data[v.cfg.Field].(string)
	if !ok {
		return secrets.Value{}, secrets.Info{}, q.fail(secrets.Unusable,
			fmt.Sprintf("has no text in its field %q", v.cfg.Field), "name the field in IDENTITYMESH_VAULT_FIELD, or "+v.HowToStore(ref), nil)
	}
	value, err := secrets.Found(ref, place, []byte(text))
	return value, info, err
}

// question is one reading of one secret.
type question struct {
	v      *Vault
	ref    secrets.Ref
	place  secrets.Place
	parent context.Context // tells the caller's end from our time-out
}

// get reads the secret. A token that Vault does not take any more is replaced once, if
// a login can do that.
func (q *question) get(ctx context.Context) (*api.KVSecret, error) {
	for again := true; ; again = false {
		s, err := q.v.login(ctx)
		if err != nil {
			return nil, q.loginError(err)
		}
		found, err := s.client.KVv2(q.v.cfg.Mount).Get(ctx, q.v.path(q.ref))
		if status(err) == http.StatusForbidden {
			// Rights or token? Vault answers both alike, but for one's own token.
			if _, self := s.client.Auth().Token().LookupSelfWithContext(ctx); status(self) == http.StatusForbidden {
				q.v.drop(s)
				if again {
					continue
				}
				return nil, q.badToken(err)
			}
		}
		if err != nil {
			return nil, q.readError(ctx, s, err)
		}
		if found.VersionMetadata == nil { // a warning instead of an answer
			return nil, q.readError(ctx, s, api.ErrSecretNotFound)
		}
		if found.Data == nil {
			return nil, q.gone(found)
		}
		return found, nil
	}
}

// Close implements [secrets.Backend]. It revokes the token of a login, so that it does
// not outlive the process.
func (v *Vault) Close() error {
	v.turn <- struct{}{}
	defer func() { <-v.turn }()
	v.closed = true
	if v.session != nil {
		v.session.end(true)
		v.session = nil
	}
	return nil
}
