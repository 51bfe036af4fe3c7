package mesh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// TestGuardsForgetAfterADay moves the database's clock by moving the runs.
func TestGuardsForgetAfterADay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ago  time.Duration
		held int
	}{
		"within a day": {23 * time.Hour, 10},
		"a day later":  {25 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, path := openTemp(t)
			_, err := s.ApplyConnector(t.Context(), mesh.Connector{Name: "contoso", Type: "Okta"})
			require.NoError(t, err)
			scope := mesh.Scope{Users: true, Groups: true}
			run := func(id string, from, to int, reason mesh.Reason) mesh.Decision {
				f, err := s.Begin(t.Context(), mesh.BeginRun{Connector: "contoso", RunID: id, Mode: "Delta", LeaseTTL: time.Hour})
				require.NoError(t, err)
				p := mesh.ObjectPage{Page: mesh.Page{Stream: "users", Owner: "me", Number: 1, Done: true}, Import: true}
				for i := from; i < to; i++ {
					u := fmt.Sprint("u", i)
					p.Objects = append(p.Objects, mesh.Object{Type: mesh.User, OktaID: u, ExternalID: u, Attributes: []byte(`{}`), Hash: []byte{1}, Delete: reason})
				}
				_, err = s.Claim(t.Context(), f, "users", "me")
				require.NoError(t, err)
				_, err = s.WriteObjects(t.Context(), f, p)
				require.NoError(t, err)
				d, err := s.Decide(t.Context(), f, scope, &mesh.DeleteLimits{Percent: 10, Most: -1})
				require.NoError(t, err)
				_, err = s.Settle(t.Context(), f, scope, time.Minute)
				require.NoError(t, err)
				_, err = s.Commit(t.Context(), f, mesh.CommitRun{})
				require.NoError(t, err)
				return d
			}
			run("first", 0, 100, "")
			require.Zero(t, run("second", 0, 10, mesh.Deprovisioned).Held[mesh.User])
			_, err = openRaw(t, path).ExecContext(t.Context(), `UPDATE im_runs SET ended_at = ended_at - ?`, c.ago.Milliseconds())
			require.NoError(t, err)
			require.Equal(t, c.held, run("third", 10, 20, mesh.Deprovisioned).Held[mesh.User])
		})
	}
}
