package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/approle"
	"github.com/hashicorp/vault/api/auth/kubernetes"
)

// revokeTimeout bounds the good-bye to Vault.
const revokeTimeout = 2 * time.Second

// session is a login: a client with a token, and what keeps that alive.
type session struct {
	client  *api.Client
	watcher *api.LifetimeWatcher // nil: the token does not end, or nobody knows when
	done    chan struct{}        // closed when the token comes to its end
	ours    bool                 // the token was made by our login
}

// errClosed is what a closed [Vault] answers.
var errClosed = errors.New("the connection to Vault was closed")

// login returns the session, and makes one when there is none or its token came to its
// end. Of several callers one logs in.
func (v *Vault) login(ctx context.Context) (*session, error) {
	select {
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if v.closed {
		return nil, errClosed
	}
	if v.session != nil {
		select {
		case <-v.session.done:
			v.session.end(false)
			v.session = nil
		default:
			return v.session, nil
		}
	}
	client, err := v.client.Clone()
	if err != nil {
		return nil, err
	}
	client.SetNamespace(v.client.Namespace()) // Clone drops the headers
	token, err := v.token(ctx, client)
	if err != nil {
		return nil, err
	}
	s := &session{client: client, done: make(chan struct{}), ours: v.cfg.Auth != AuthToken}
	if token != nil && token.Auth != nil && token.Auth.LeaseDuration > 0 {
		if s.watcher, err = client.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: token}); err != nil {
			return nil, err
		}
		go s.watcher.Start()
		go func() {
			// The end of the lease, a renewal that failed until then, or Stop.
			<-s.watcher.DoneCh() //nolint:errcheck // whatever the reason, the token is at its end
			close(s.done)
		}()
	}
	v.session = s
	return s, nil
}

// drop forgets a session whose token Vault refused.
func (v *Vault) drop(s *session) {
	v.turn <- struct{}{}
	defer func() { <-v.turn }()
	if v.session == s {
		s.end(false)
		v.session = nil
	}
}

// end stops the renewal, and with revoke gives the token back. A token that was given
// to us is not ours to revoke.
func (s *session) end(revoke bool) {
	if s.watcher != nil {
		s.watcher.Stop()
	}
	if revoke && s.ours {
		ctx, cancel := context.WithTimeout(context.Background(), revokeTimeout)
		defer cancel()
		_ = s.client.Auth().Token().RevokeSelfWithContext(ctx, "") // it ends by itself, later
	}
}

// token gives client a token, and returns what Vault says of it; nil when it says
// nothing.
func (v *Vault) token(ctx context.Context, client *api.Client) (*api.Secret, error) {
	var method api.AuthMethod
	var err error
	switch v.cfg.Auth {
	case AuthAppRole:
		method, err = approle.NewAppRoleAuth(v.cfg.RoleID,
			&approle.SecretID{FromFile: v.cfg.SecretIDFile, FromString: v.cfg.SecretID}, approle.WithMountPath(v.cfg.AuthMount))
	case AuthKubernetes:
		options := []kubernetes.LoginOption{kubernetes.WithMountPath(v.cfg.AuthMount)}
		if v.cfg.JWTFile != "" {
			options = append(options, kubernetes.WithServiceAccountTokenPath(v.cfg.JWTFile))
		}
		method, err = kubernetes.NewKubernetesAuth(v.cfg.Role, options...) // reads the pod's token anew
	default:
		return v.given(ctx, client)
	}
	if err != nil {
		return nil, &credentialError{err}
	}
	client.ClearToken() // a login needs none, and must not send one that has ended
	secret, err := client.Auth().Login(ctx, method)
	if err == nil && (secret == nil || secret.Auth == nil) {
		err = errors.New("Vault answered a login without a token")
	}
	if err != nil && status(err) == 0 && ctx.Err() == nil && isFile(err) {
		return nil, &credentialError{err}
	}
	return secret, err
}

// given takes the token of the file or of VAULT_TOKEN. What it asks about it decides
// only whether to renew it: a token may be forbidden to look at itself.
func (v *Vault) given(ctx context.Context, client *api.Client) (*api.Secret, error) {
	token := os.Getenv(api.EnvVaultToken)
	if v.cfg.TokenFile != "" {
		text, err := os.ReadFile(v.cfg.TokenFile)
		if err != nil {
			return nil, &credentialError{err}
		}
		token = string(text)
	}
	if token = strings.TrimSpace(token); token == "" {
		return nil, &credentialError{fmt.Errorf("the token file %s is empty", v.cfg.TokenFile)}
	}
	client.SetToken(token)
	self, err := client.Auth().Token().LookupSelfWithContext(ctx)
	if code := status(err); code >= http.StatusBadRequest && code < http.StatusInternalServerError && code != http.StatusTooManyRequests {
		return nil, nil // the read will tell
	}
	if err != nil { // a login without this answer would never be renewed
		return nil, err
	}
	renewable, err := self.TokenIsRenewable()
	if err != nil {
		return nil, nil //nolint:nilerr // as above
	}
	ttl, err := self.TokenTTL()
	if err != nil || ttl <= 0 || v.cfg.TokenFile != "" { // Vault Agent renews its own
		return nil, nil //nolint:nilerr // as above
	}
	return &api.Secret{Auth: &api.SecretAuth{ClientToken: token, Renewable: renewable, LeaseDuration: int(ttl / time.Second)}}, nil
}
