// Package secrets resolves references such as secret://okta/contoso/apitoken to
// the secrets they name (runbook, Step 2).
//
// A connector's definition holds references only. An activity resolves one when it
// needs the token, and drops the [Value] afterwards. Where the secret lies is the
// choice of the configuration and not of the reference, so that a move from one
// backend to another changes no connector: [TableStore], the im_secrets table, is
// the default; [Env] and [Files] read what Docker and Kubernetes hand to a process;
// the packages vault and azure below this one read HashiCorp Vault and Azure Key
// Vault. Each maps a reference to one place of its own, and no two references to
// the same.
package secrets

import (
	"context"
	"time"
)

// MaxValueLen is the largest secret, in bytes.
const MaxValueLen = 64 << 10

// RotateAfter is how long a token should be used (runbook, Step 1).
const RotateAfter = 90 * 24 * time.Hour

// Resolver finds the secret behind a reference. An unknown reference is an [*Error]
// of kind [Missing]; [RetryLater] tells which errors may pass. Every call reads the
// secret anew: one that was replaced is seen by the next call.
type Resolver interface {
	Resolve(ctx context.Context, ref Ref) (Value, error)
}

// Backend is one place where secrets are kept. All methods are safe for concurrent
// use. A call that reaches over a network ends within [CallTimeout].
type Backend interface {
	Resolver
	// Where says where the secret of ref lies, or would lie. It asks nobody. A
	// reference that the backend cannot name is an [*Error] of kind [Misconfigured].
	Where(ref Ref) (Place, error)
	// Stat says what the backend knows of a secret, and fails as Resolve does when it
	// cannot be used.
	Stat(ctx context.Context, ref Ref) (Info, error)
	// HowToStore is advice: how to put the secret of ref there, without the value
	// appearing on a command line.
	HowToStore(ref Ref) string
	// Close gives back what the backend holds, such as a login. It is not used afterwards.
	Close() error
}

// Writer is a [Backend] in which this program may store secrets.
type Writer interface {
	Backend
	// Set stores value under ref and replaces what was there.
	Set(ctx context.Context, ref Ref, value []byte) error
	// Delete removes the secret under ref; an [*Error] of kind [Missing] when there is none.
	Delete(ctx context.Context, ref Ref) error
}

// CallTimeout bounds a call to a backend over the network, logins included. It is
// shorter than the heartbeat time-out of the activity that waits for it.
const CallTimeout = 10 * time.Second

// The names of the backends, as the configuration spells them.
const (
	BackendTable = "table"
	BackendEnv   = "env"
	BackendFiles = "files"
	BackendVault = "vault"
	BackendAzure = "azure"
)

// Place is where a secret lies. It holds nothing secret. The zero value is no place.
type Place struct {
	Backend string `json:"backend"`          // one of BackendTable, BackendEnv, …
	Name    string `json:"-"`                // of the backend, in messages
	Server  string `json:"server,omitempty"` // its address; "" for one on this machine
	Path    string `json:"path,omitempty"`   // inside the backend; "" when it is the reference itself
}

// String is the place in words, such as
// "Vault at https://vault.contoso.com:8200, secret/data/okta/contoso/apitoken".
func (p Place) String() string {
	s := p.Name
	if p.Server != "" {
		s += " at " + p.Server
	}
	if p.Path != "" {
		s += ", " + p.Path
	}
	return s
}

// Info is what a backend knows of a secret without its value. A field that the
// backend does not know is zero.
type Info struct {
	Version string    // of the value, as the backend counts
	Created time.Time // the secret
	Updated time.Time // its current value
}

// Age is how long the current value has been there; ok is false when the backend does
// not know.
func (i Info) Age(now time.Time) (age time.Duration, ok bool) {
	if i.Updated.IsZero() {
		return 0, false
	}
	return max(now.Sub(i.Updated), 0), true
}
