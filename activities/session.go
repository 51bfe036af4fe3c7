package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
	"github.com/identitymesh/okta-connector/secrets"
)

// session is one attempt of one activity: the definition it works under, a client
// with the secret, and what it has cost so far. An API token or a private key lives as
// long as it does; a service app's access token is the worker's ([okta.Tokens]).
type session struct {
	a     *Activities
	fence mesh.Fence
	def   *connector.Definition
	okta  *okta.Client
	mark  secretMark // of the secret that the client has
	owner string
	log   log.Logger
	began time.Time
	turn  time.Duration // how long it reads
	pages int           // recorded by this attempt
	rows  int           // of those pages
	sat   time.Duration // short waits since the last page
	cost  Cost          // but for its APICalls
	beat  *heart

	metrics  client.MetricsHandler // of the connector
	calls    atomic.Int64          // not yet recorded in the mesh
	allCalls atomic.Int64
	// searchable are users whom search showed without the filter, of the batch in hand.
	searchable map[string]bool
}

// open loads the definition, resolves the secret and builds the client. The caller
// closes the session.
func (a *Activities) open(ctx context.Context, f mesh.Fence, revision string) (*session, error) {
	def, err := a.planned(ctx, f, revision)
	if err != nil {
		return nil, err
	}
	credentials, mark, err := a.credentials(ctx, def)
	if err != nil {
		return nil, err
	}
	s := &session{
		a: a, fence: f, def: def, mark: mark,
		owner: uuid.NewString(),
		began: time.Now(), turn: a.turn,
		log: log.With(activity.GetLogger(ctx), "connector", f.Connector, "run", f.RunID),
	}
	s.metrics = a.metrics.WithTags(map[string]string{"connector": mesh.RealName(f.Connector)})
	s.okta, err = okta.New(okta.Options{
		BaseURL:     def.Config.BaseURL(),
		Credentials: credentials,
		HTTPClient:  a.http,
		UserAgent:   a.agent,
		Limits:      a.limits.of(def.Config.BaseURL()),
		OnCall:      s.onCall(),

		RateLimitReserve: def.Config.RateLimitReserve,
	})
	if err != nil {
		return nil, badSecret(def, err)
	}
	s.beat = startHeart(ctx)
	return s, nil
}

// close stops the heartbeat and says what was done.
func (s *session) close() {
	s.beat.stop()
	s.summary()
}

// definition loads and validates a stored definition.
func (a *Activities) definition(ctx context.Context, name string) (*connector.Definition, error) {
	row, err := a.store.Connector(ctx, name)
	if err != nil {
		return nil, storeError(err)
	}
	def, err := a.usable(row)
	if err != nil {
		return nil, permanentf(ErrDefinition, "connector %q has an invalid definition: %v; correct the file and run `starter connector apply`", name, err)
	}
	return def, nil
}

// usable validates a stored definition.
func (a *Activities) usable(row *mesh.Connector) (*connector.Definition, error) {
	def, err := connector.FromParts(mesh.RealName(row.Name), row.Type, row.ConfigJSON, row.AuthJSON)
	if err != nil {
		return nil, err
	}
	if err := def.CheckMesh(a.store.Shared()); err != nil {
		return nil, err
	}
	return def, nil
}

// credentials resolves the definition's secret reference, anew for each activity: a
// secret that was replaced during a run counts from the next one on.
func (a *Activities) credentials(ctx context.Context, def *connector.Definition) (okta.Credentials, secretMark, error) {
	secret, err := a.secret(ctx, def)
	if err != nil {
		return nil, 0, err
	}
	defer secret.Wipe()
	if def.Auth.Mode != connector.ModeOAuth {
		return okta.APIToken(secret.Reveal()), markOf(secret), nil
	}
	credentials, err := okta.ServiceApp{
		ClientID: def.Auth.ClientID, PrivateKey: secret.Reveal(), KeyID: def.Auth.KeyID,
		Scopes: def.Scopes(), Tokens: &a.tokens,
	}.Credentials()
	if err != nil {
		return nil, 0, badSecret(def, err)
	}
	return credentials, markOf(secret), nil
}

// secret resolves the definition's secret reference; the caller wipes it.
func (a *Activities) secret(ctx context.Context, def *connector.Definition) (secrets.Value, error) {
	var none secrets.Value
	ref, err := secrets.ParseRef(def.Auth.Secret())
	if err != nil {
		return none, permanentf(ErrDefinition, "connector %q: %s: %v", def.Name, def.Auth.SecretField(), err)
	}
	v, err := a.secrets.Resolve(ctx, ref)
	if err != nil {
		return none, secretError(ctx, def.Name, err)
	}
	return v, nil
}

// secretMark tells a secret from another one in this process, and nothing else of it.
type secretMark uint64

var markSeed = maphash.MakeSeed()

func markOf(v secrets.Value) secretMark { return secretMark(maphash.String(markSeed, v.Reveal())) }

// secretReplaced says whether there is another secret by now than the one that the client
// has: a refusal is then no reason to end the run (issue: rotation is safe in flight). An
// error says that it cannot be told as yet, such as while a vault is sealed: then nothing
// is settled. A secret that is gone for good is no other one.
func (s *session) secretReplaced(ctx context.Context) (bool, error) {
	v, err := s.a.secret(ctx, s.def)
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok && app.NonRetryable() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer v.Wipe()
	return markOf(v) != s.mark, nil
}

func badSecret(def *connector.Definition, err error) error {
	return permanentf(ErrDefinition, "connector %q, with the secret %s: %v; store it again with `starter secret set %s`",
		def.Name, def.Auth.Secret(), err, def.Auth.Secret())
}

// secretError types the error of a secret that could not be had. One that may pass, such
// as a sealed vault or a database under repair, is waited for: the run goes on by itself.
func secretError(ctx context.Context, connector string, err error) error {
	if ctx.Err() != nil {
		return err
	}
	err = fmt.Errorf("connector %q: %w", connector, err)
	if asked, later := secrets.RetryLater(err); later {
		return retry(err, int(activity.GetInfo(ctx).Attempt), asked)
	}
	return permanent(ErrSecret, err.Error())
}

// revisionOf is a digest of what a run reads by. A rotated secret reference does not
// change it.
func revisionOf(def *connector.Definition) string {
	sum := sha256.Sum256(def.ConfigJSON())
	return hex.EncodeToString(sum[:8])
}

// scope says which ends of an edge this definition imports.
func (s *session) scope() mesh.Scope { return scopeOf(s.def) }

func scopeOf(def *connector.Definition) mesh.Scope {
	cfg := def.Config
	return mesh.Scope{
		Users: cfg.ImportUsers, Groups: cfg.ImportGroups,
		Ignore:            cfg.IgnoreForChanges,
		UsersInGroupsOnly: cfg.GroupFilter != nil && cfg.GroupFilter.UsersInGroupsOnly,
	}
}

func definitionChanged(f mesh.Fence) error {
	return permanentf(ErrDefinition, "connector %q was changed while run %s was reading: start a new run, which works under the new definition", f.Connector, f.RunID)
}

// mapping returns the options of the mapping under this definition.
func (s *session) mapping() mapping.Options {
	return mapping.Options{
		ExternalID: mapping.ExternalID(s.def.Config.ExternalIDAttribute),
		Ignore:     s.def.Config.IgnoreForChanges,

		IncludeGroup: s.def.Config.GroupFilter.Includes,
	}
}

// writeObjects is the store's, timed.
func (s *session) writeObjects(ctx context.Context, p mesh.ObjectPage) (mesh.Progress, error) {
	defer s.took("store", time.Now())
	return s.a.store.WriteObjects(ctx, s.fence, p)
}

// takeCalls returns the calls that no row of the mesh accounts for yet.
func (s *session) takeCalls() mesh.Calls { return mesh.Calls{API: int(s.calls.Swap(0))} }

// spent is the session's cost with the newest rate-limit state.
func (s *session) spent() Cost {
	c := s.cost
	c.APICalls = int(s.allCalls.Load())
	c.Rates = s.a.limits.of(s.def.Config.BaseURL()).Snapshot()
	return c
}
