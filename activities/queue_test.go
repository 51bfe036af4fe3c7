package activities_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

// testQueue is the task queue of the SDK's test environment.
const testQueue = "default-test-taskqueue"

// sharedMesh stands for a mesh that workers on several machines share.
type sharedMesh struct{ mesh.Store }

func (sharedMesh) Shared() bool { return true }

// outside is a worker without the secret and without a way to Okta. Whoever needs them
// fails the test.
type outside struct{ *testing.T }

func (o outside) Resolve(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
	o.Errorf("the secret %s was asked for", ref)
	return secrets.Value{}, &secrets.Error{Ref: ref, Kind: secrets.Missing}
}

func (o outside) RoundTrip(r *http.Request) (*http.Response, error) {
	o.Errorf("%s was called", r.URL.Path)
	return nil, errors.New("no route to host")
}

// central makes the bench a worker outside.
func (b *testBench) central() {
	b.acts = activities.New(activities.Config{Store: sharedMesh{b.store}, Secrets: outside{b.T}, HTTP: &http.Client{Transport: outside{b.T}}})
}

// TestAnImportOnAnotherQueue: nothing is begun but to say where it belongs.
func TestAnImportOnAnotherQueue(t *testing.T) {
	t.Parallel()
	for _, dry := range []bool{false, true} {
		b := newBench(t, 20, 1, map[string]any{"TaskQueue": "relay"})
		b.central()
		r, err := do[activities.BeginResult](b, b.acts.BeginRun, activities.BeginInput{Connector: "contoso", Mode: "Full", RunID: "run-1", DryRun: dry})
		require.NoError(t, err)
		require.Equal(t, activities.BeginResult{TaskQueue: "relay"}, r)
		runs, err := b.store.Runs(t.Context(), "contoso", 0)
		require.NoError(t, err)
		require.Empty(t, runs)
		holder, err := b.store.Holder(t.Context(), "contoso")
		require.NoError(t, err)
		require.Empty(t, holder)
		_, err = b.store.Connector(t.Context(), mesh.ShadowName("contoso", "run-1"))
		require.ErrorAs(t, err, new(*mesh.NotFoundError))
	}
}

// TestAnImportOnItsQueue runs as any other.
func TestAnImportOnItsQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t, 20, 1, map[string]any{"TaskQueue": testQueue})
	b.acts = activities.New(activities.Config{Store: sharedMesh{b.store}, Secrets: fixed("oktasim-token")})
	require.Equal(t, mesh.Completed, b.full().Outcome)
}

// TestAStepOnAnotherQueue: a workflow that was started by hand with the plan of a run is
// refused, whatever it wants to do.
func TestAStepOnAnotherQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t, 20, 1, map[string]any{"TaskQueue": testQueue})
	b.acts = activities.New(activities.Config{Store: sharedMesh{b.store}, Secrets: fixed("oktasim-token")})
	begun := b.begin()
	b.define(map[string]any{"TaskQueue": "relay"})
	row, err := b.store.Connector(t.Context(), "contoso")
	require.NoError(t, err)
	sum := sha256.Sum256(row.ConfigJSON)
	begun.Plan.Revision = hex.EncodeToString(sum[:8]) // as if the run had begun under this definition
	b.central()
	walk := activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 1}
	for name, step := range map[string]func() error{
		"ReadUsers":  func() error { _, err := do[activities.WalkResult](b, b.acts.ReadUsers, walk); return err },
		"ReadGroups": func() error { _, err := do[activities.WalkResult](b, b.acts.ReadGroups, walk); return err },
		"ReadMembers": func() error {
			_, err := do[activities.MembersResult](b, b.acts.ReadMembers, activities.MembersInput{Fence: begun.Fence, Plan: begun.Plan, Lane: 1, MaxPages: 1})
			return err
		},
		"StageSweep": func() error {
			_, err := do[activities.SweepResult](b, b.acts.StageSweep, activities.SweepInput{Fence: begun.Fence, Plan: begun.Plan})
			return err
		},
		"LookUp": func() error {
			_, err := do[activities.LookUpResult](b, b.acts.LookUp, activities.LookUpInput{Fence: begun.Fence, Plan: begun.Plan})
			return err
		},
		"Settle": func() error {
			_, err := do[activities.SettleResult](b, b.acts.Settle, activities.SettleInput{Fence: begun.Fence, Plan: begun.Plan})
			return err
		},
		"CommitRun": func() error {
			_, err := do[activities.RunResult](b, b.acts.CommitRun, activities.CommitInput{Fence: begun.Fence, Plan: begun.Plan})
			return err
		},
	} {
		app := requireType(t, step(), activities.ErrDefinition)
		require.Contains(t, app.Message(), `is imported on task queue "relay" only, and this step of run run-1 is on "`+testQueue+`": Okta was not called`, name)
	}
}

// TestTheDigestOfAnEarlierRelease: a definition without a queue has the digest that it had
// before there were queues, so that an upgrade stops no run.
func TestTheDigestOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 1, map[string]any{"OrgDomain": "127.0.0.1:18080"})
	require.Equal(t, "e63cb6be7091eb25", b.begin().Plan.Revision)
}

// TestARouteNeedsASharedMesh: an SQLite file is refused before the secret is asked for.
func TestARouteNeedsASharedMesh(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"relay", testQueue} {
		b := newBench(t, 1, 1, map[string]any{"TaskQueue": queue})
		b.acts = activities.New(activities.Config{Store: b.store, Secrets: outside{t}, HTTP: &http.Client{Transport: outside{t}}})
		_, err := do[activities.BeginResult](b, b.acts.BeginRun, activities.BeginInput{Connector: "contoso", Mode: "Full", RunID: "run-1"})
		require.Contains(t, requireType(t, err, activities.ErrDefinition).Message(), "cannot open a mesh that is an SQLite file")
	}
}

// TestAHoldTellsWhereItBelongs, so that its workflow follows the connector.
func TestAHoldTellsWhereItBelongs(t *testing.T) {
	t.Parallel()
	for queue, want := range map[string]string{"": "", testQueue: "", "relay": "relay"} {
		b := newBench(t, 1, 1, map[string]any{"TaskQueue": queue})
		b.acts = activities.New(activities.Config{Store: heldMesh{sharedMesh{b.store}}, Secrets: outside{t}})
		h, err := do[activities.HoldInfo](b, b.acts.ReadHold, activities.HoldInput{Connector: "contoso"})
		require.NoError(t, err)
		require.True(t, h.Open)
		require.Equal(t, want, h.TaskQueue)
	}
}

// heldMesh has an open hold.
type heldMesh struct{ sharedMesh }

func (heldMesh) Hold(context.Context, string, int) (*mesh.Hold, error) {
	return &mesh.Hold{Connector: "contoso", RunID: "run-1"}, nil
}
