package activities_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

// failing resolves nothing.
type failing struct{ err error }

func (f failing) Resolve(context.Context, secrets.Ref) (secrets.Value, error) {
	return secrets.Value{}, f.err
}

// TestASecretThatIsNotToBeHad: what passes by itself is waited for, the rest ends the run.
func TestASecretThatIsNotToBeHad(t *testing.T) {
	t.Parallel()
	b := newBench(t, 20, 1, nil)
	begun := b.begin()
	read := func(err error) error {
		b.acts = activities.New(activities.Config{Store: b.store, Secrets: failing{err}})
		_, err = do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 5})
		return err
	}
	const ref = secrets.Ref("secret://okta/contoso/apitoken")
	for asked, want := range map[time.Duration]time.Duration{0: time.Second, 7 * time.Second: 7 * time.Second} {
		err := read(&secrets.Error{Ref: ref, Kind: secrets.Unavailable, Cause: "cannot be read: Vault is sealed", RetryAfter: asked})
		var app *temporal.ApplicationError
		require.ErrorAs(t, err, &app)
		require.False(t, app.NonRetryable())
		require.Equal(t, want, app.NextRetryDelay())
		require.Contains(t, app.Message(), `connector "contoso"`)
		require.Contains(t, app.Message(), "Vault is sealed")
	}
	for _, err := range []error{
		&secrets.Error{Ref: ref, Kind: secrets.Missing}, &secrets.Error{Ref: ref, Kind: secrets.Denied}, &secrets.Error{Ref: ref, Kind: secrets.Unusable},
		&secrets.Error{Ref: ref, Kind: secrets.Misconfigured}, &secrets.SealError{Ref: ref}, &secrets.KeyError{Key: "key file x"},
	} {
		require.Contains(t, requireType(t, read(err), activities.ErrSecret).Message(), err.Error())
	}
	require.Empty(t, b.live(mesh.User))
}

// once resolves to an outdated token, and to nothing the next time.
type once struct {
	asked *atomic.Int32
	then  error
}

func (o once) Resolve(context.Context, secrets.Ref) (secrets.Value, error) {
	if o.asked.Add(1) > 1 {
		return secrets.Value{}, o.then
	}
	return secrets.NewValue([]byte("outdated-token")), nil
}

// TestARefusalDuringAnOutage: while it cannot be told whether a refused token was replaced,
// the run waits; a secret that is not there any more ends it with what Okta said.
func TestARefusalDuringAnOutage(t *testing.T) {
	t.Parallel()
	b := newBench(t, 20, 1, nil)
	begun := b.begin()
	read := func(then error) error {
		b.acts = activities.New(activities.Config{Store: b.store, Secrets: once{new(atomic.Int32), then}})
		_, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 5})
		return err
	}
	const ref = secrets.Ref("secret://okta/contoso/apitoken")
	err := read(&secrets.Error{Ref: ref, Kind: secrets.Unavailable, Cause: "cannot be read: Vault is sealed", RetryAfter: 7 * time.Second})
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.False(t, app.NonRetryable())
	require.Equal(t, 7*time.Second, app.NextRetryDelay())
	require.Contains(t, app.Message(), "Vault is sealed")
	require.Contains(t, requireType(t, read(&secrets.Error{Ref: ref, Kind: secrets.Missing}), activities.ErrUnauthorized).Message(), "E0000011")
}
