package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// TestRecordedTimelines plays what was recorded with real orgs, polls with a delta
// where the recording reads, and asks for the truth: at once where the recording
// allows it, and in any case at the first tick after the overlap.
func TestRecordedTimelines(t *testing.T) {
	t.Parallel()
	for _, s := range oktasim.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			org, clock := s.Build()
			begin := clock.Now()
			clock.Set(begin.Add(-time.Hour)) // imported long before
			p := newPipeline(t, openStore(t), org, clock, nil)
			p.must(workflows.Full, mesh.Completed)
			truth := org.Truth()
			for _, step := range s.Steps {
				clock.Set(begin.Add(step.At))
				if step.Do != nil {
					step.Do(org)
				}
				if step.Read {
					p.must(workflows.Delta, mesh.Completed)
					truth = org.Truth() // before what no delta can see
				}
			}
			t.Log(s.Want)
			clock.Set(begin.Add(15 * time.Minute))
			p.must(workflows.Delta, mesh.Completed)
			p.checkFeed(true)
			live := p.live()
			for id, u := range truth.Users {
				if _, gone := org.Truth().Users[id]; gone && u.Status != "DEPROVISIONED" {
					require.Equal(t, u.Status, live["User "+id]["status"])
				}
				if u.Status == "DEPROVISIONED" {
					require.NotContains(t, live, "User "+id)
				}
			}
			edges := 0
			for pair := range org.Truth().Pairs {
				if org.Truth().Users[pair.User].Status != "DEPROVISIONED" {
					require.Contains(t, live, "GroupMember "+pair.Group+":"+pair.User)
					edges++
				}
			}
			require.Positive(t, edges+len(truth.Users))
		})
	}
}
