package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/identitymesh/okta-connector/secrets"
)

// credentialError says that there is nothing to log in with.
type credentialError struct{ err error }

func (e *credentialError) Error() string { return e.err.Error() }
func (e *credentialError) Unwrap() error { return e.err }

func isFile(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok
}

// status is the HTTP status of Vault's answer; 0 when there was none.
func status(err error) int {
	if e, ok := errors.AsType[*api.ResponseError](err); ok {
		return e.StatusCode
	}
	return 0
}

// said is what Vault said, without the address and the path that we name ourselves.
func said(err error) error {
	e, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		return err
	}
	text := "no reason given"
	if len(e.Errors) > 0 && !e.RawError { // raw: the page of some proxy
		text = strings.Join(strings.Fields(strings.Join(e.Errors, ", ")), " ")
	}
	const most = 300
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return fmt.Errorf("HTTP %d, %s", e.StatusCode, text)
}

func (q *question) fail(kind secrets.Kind, cause, remedy string, err error) error {
	return &secrets.Error{Ref: q.ref, Place: q.place, Kind: kind, Cause: cause, Remedy: remedy, Err: err}
}

// common is the error of whatever was asked, nil when it depends on the question.
func (q *question) common(err error) error {
	switch code := status(err); {
	case q.parent.Err() != nil:
		return q.parent.Err() // the caller gave up
	case errors.Is(err, errClosed):
		return q.fail(secrets.Unavailable, "cannot be read", "", err)
	case errors.Is(err, context.DeadlineExceeded):
		return q.fail(secrets.Unavailable, fmt.Sprintf("cannot be read: Vault has not answered for %v", q.v.timeout),
			"check that Vault is up and reachable from here", nil)
	case code == http.StatusServiceUnavailable && strings.Contains(err.Error(), "sealed"):
		return q.fail(secrets.Unavailable, "cannot be read: Vault is sealed", "unseal it (vault operator unseal); the run goes on by itself", nil)
	case code == http.StatusTooManyRequests:
		return q.fail(secrets.Unavailable, "cannot be read: Vault's rate limit quota is used up", "raise the quota, or wait", said(err))
	case code == http.StatusPreconditionFailed: // a standby that does not know our login yet
		return q.fail(secrets.Unavailable, "cannot be read yet", "", said(err))
	case code >= http.StatusInternalServerError:
		return q.fail(secrets.Unavailable, "cannot be read", "check Vault's log", said(err))
	case code != 0:
		return nil
	case secrets.IsTLS(err):
		return q.fail(secrets.Misconfigured, "cannot be read", "check VAULT_ADDR, and name the CA of Vault's certificate in VAULT_CACERT", err)
	case strings.Contains(err.Error(), "request body too large"): // of http.MaxBytesReader
		return q.fail(secrets.Unusable, "cannot be read: Vault's answer is larger than any secret", "check VAULT_ADDR", nil)
	case secrets.IsUnreached(err):
		return q.fail(secrets.Unavailable, "cannot be read: Vault is not reached", "check VAULT_ADDR, and that Vault is up", err)
	}
	return nil
}

// loginError explains a login that failed.
func (q *question) loginError(err error) error {
	if _, ok := errors.AsType[*credentialError](err); ok {
		return q.fail(secrets.Misconfigured, "cannot be read: there is nothing to log in to Vault with", "check the file or variable of IDENTITYMESH_VAULT_…", err)
	}
	if e := q.common(err); e != nil {
		return e
	}
	remedy := "check IDENTITYMESH_VAULT_ROLE_ID and the secret id: it may have expired or be used up"
	if q.v.cfg.Auth == AuthKubernetes {
		remedy = "check IDENTITYMESH_VAULT_ROLE, and that the role is bound to this pod's service account and namespace"
	}
	return q.fail(secrets.Denied, fmt.Sprintf("cannot be read: Vault refuses the login at auth/%s", q.v.cfg.AuthMount),
		remedy+"; check VAULT_NAMESPACE", said(err))
}

// badToken explains a token that Vault does not take.
func (q *question) badToken(err error) error {
	where := "VAULT_TOKEN"
	switch {
	case q.v.cfg.Auth != AuthToken:
		where = "the login at auth/" + q.v.cfg.AuthMount
	case q.v.cfg.TokenFile != "":
		where = q.v.cfg.TokenFile
	}
	return q.fail(secrets.Denied, fmt.Sprintf("cannot be read: Vault does not take the token of %s", where),
		"it expired or was revoked: give a new one; check VAULT_NAMESPACE", said(err))
}

// readError explains a secret that could not be read.
func (q *question) readError(ctx context.Context, s *session, err error) error {
	if e := q.common(err); e != nil {
		return e
	}
	version := q.engine(ctx, s)
	switch {
	case version != "" && version != "2":
		return q.fail(secrets.Unusable, fmt.Sprintf("cannot be read: the mount %s is a KV engine of version %s", q.v.cfg.Mount, version),
			fmt.Sprintf("name one of version 2 in IDENTITYMESH_VAULT_MOUNT, or upgrade it: vault kv enable-versioning %s", q.v.cfg.Mount), nil)
	case errors.Is(err, api.ErrSecretNotFound):
		remedy := q.v.HowToStore(q.ref)
		if version == "" {
			remedy += "; check that IDENTITYMESH_VAULT_MOUNT is a KV engine of version 2, and VAULT_NAMESPACE"
		}
		return q.fail(secrets.Missing, "", remedy, nil)
	case status(err) == http.StatusForbidden:
		return q.fail(secrets.Denied, "cannot be read: the token's policies do not allow it",
			fmt.Sprintf("give them: path %q { capabilities = [\"read\"] }; check VAULT_NAMESPACE", q.place.Path), said(err))
	case status(err) == http.StatusNotFound, status(err) == http.StatusBadRequest:
		return q.fail(secrets.Misconfigured, "cannot be read", "check IDENTITYMESH_VAULT_MOUNT and VAULT_NAMESPACE", said(err))
	}
	// Not wrapped: an answer that cannot be understood may be quoted.
	return q.fail(secrets.Unusable, "cannot be read: Vault's answer is none of a KV engine of version 2", "check IDENTITYMESH_VAULT_MOUNT and VAULT_ADDR", nil)
}

// engine asks which version the mount is, as Vault's own tool does; "" when it is none,
// or the answer is refused.
func (q *question) engine(ctx context.Context, s *session) string {
	mount, err := s.client.Logical().ReadWithContext(ctx, "sys/internal/ui/mounts/"+q.v.cfg.Mount)
	if err != nil || mount == nil {
		return ""
	}
	if kind, _ := mount.Data["type"].(string); kind != "kv" && kind != "generic" {
		return ""
	}
	options, _ := mount.Data["options"].(map[string]any)
	if version, _ := options["version"].(string); version != "" {
		return version
	}
	return "1"
}

// gone explains a secret whose current version has no data.
func (q *question) gone(found *api.KVSecret) error {
	m := found.VersionMetadata
	if m.Destroyed {
		return q.fail(secrets.Unusable, fmt.Sprintf("was destroyed: its version %d is gone for good", m.Version), q.v.HowToStore(q.ref), nil)
	}
	return q.fail(secrets.Unusable, fmt.Sprintf("was deleted: its version %d, on %s", m.Version, m.DeletionTime.UTC().Format(time.RFC3339)),
		fmt.Sprintf("take that back with: vault kv undelete -mount=%s -versions=%d %s; or %s", q.v.cfg.Mount, m.Version, q.v.path(q.ref), q.v.HowToStore(q.ref)), nil)
}
