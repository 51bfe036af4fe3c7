package oktasim_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// observed is what a read of the recording or of the simulator shows, with ids
// left out and times as distances from the start.
type observed struct {
	status             string
	updated, member    time.Duration
	members            int
	everyone           time.Duration   // the stamp of Everyone in a user's groups
	memberships        []time.Duration // the stamps of the other groups there
	membersStampsOfAll []time.Duration // lastUpdated of the listed members
}

// TestScenariosShowWhatWasRecorded reads the org of each scenario at the times at
// which the recording read, and sees the same; and each recorded write is a step
// at its time.
func TestScenariosShowWhatWasRecorded(t *testing.T) {
	t.Parallel()
	scenarios := oktasim.Scenarios()
	require.Len(t, scenarios, 4)
	for _, sc := range scenarios {
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			org, clock := sc.Build()
			s := newSim(t, org, func(c *oktasim.Config) { c.Clock = clock })
			start := clock.Now()
			steps := sc.Steps
			require.True(t, slices.IsSortedFunc(steps, func(a, b oktasim.Step) int { return int(a.At - b.At) }))
			require.NotEmpty(t, sc.Want)

			var recordedStart time.Time
			last, tenths := time.Duration(-1), time.Duration(0)
			writes := 0
			for i, e := range exchanges(t, sc.Name+".http") {
				date, err := http.ParseTime(e.header.Get("Date"))
				require.NoError(t, err)
				if i == 0 {
					recordedStart = date
				}
				at := date.Sub(recordedStart)
				if tenths += 100 * time.Millisecond; at != last {
					last, tenths = at, 0
				}
				at += tenths
				write := e.method != http.MethodGet
				for len(steps) > 0 && steps[0].At <= at {
					clock.Set(start.Add(steps[0].At))
					if steps[0].Do != nil {
						steps[0].Do(org)
					}
					if write && steps[0].At == at {
						require.NotNil(t, steps[0].Do)
						write = false
						writes++
					}
					steps = steps[1:]
				}
				require.False(t, write, "no step for %s %s at %s", e.method, e.path, at)
				if e.method != http.MethodGet {
					continue
				}
				clock.Set(start.Add(at))
				require.Equal(t, observe(t, e.path, e.body, recordedStart), observe(t, e.path, s.get(samePath(org, e.path)).body, start), "%s at %s", e.path, at)
			}
			if !strings.HasPrefix(sc.Name, "everyone") {
				require.Positive(t, writes)
			}
			read := slices.ContainsFunc(sc.Steps, func(step oktasim.Step) bool { return step.Read })
			require.True(t, read, "a moment at which an importer polls")
		})
	}
}

// samePath is the recorded path with the ids of the scenario's objects.
func samePath(org *oktasim.Org, path string) string {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	switch parts[3] {
	case "users":
		parts[4] = org.UserIDByLogin("jones@scenario.example.com")
	case "groups":
		parts[4] = org.GroupIDByName("Scenario")
	}
	return strings.Join(parts, "/")
}

func observe(t *testing.T, path string, body []byte, start time.Time) observed {
	t.Helper()
	since := func(v map[string]any, name string) time.Duration {
		at, err := time.Parse(time.RFC3339, text(v, name))
		require.NoError(t, err)
		return at.Sub(start)
	}
	var o observed
	if body[0] == '{' {
		v := object(t, json.RawMessage(body))
		o.status, o.updated = text(v, "status"), since(v, "lastUpdated")
		if v["lastMembershipUpdated"] != nil {
			o.member = since(v, "lastMembershipUpdated")
		}
		return o
	}
	var list []map[string]any
	require.NoError(t, json.Unmarshal(body, &list))
	o.members = len(list)
	for _, v := range list {
		switch {
		case text(v, "type") == oktasim.BuiltIn:
			o.everyone = since(v, "lastMembershipUpdated")
		case strings.Contains(path, "/groups/"):
			o.membersStampsOfAll = append(o.membersStampsOfAll, since(v, "lastUpdated"))
			o.status += text(v, "status") + " "
		default:
			o.memberships = append(o.memberships, since(v, "lastMembershipUpdated"))
		}
	}
	return o
}

func TestScenariosPlayToTheEndAndTwice(t *testing.T) {
	t.Parallel()
	for _, sc := range oktasim.Scenarios() {
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			play := func() oktasim.Truth {
				org, clock := sc.Build()
				start := clock.Now()
				for _, step := range sc.Steps {
					clock.Set(start.Add(step.At))
					if step.Do != nil {
						step.Do(org)
					}
				}
				return org.Truth()
			}
			require.Equal(t, play(), play(), "a scenario is the same every time")
		})
	}
}
