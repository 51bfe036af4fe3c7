package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

var (
	sequences    = flag.Int("sequences", 30, "random sequences of TestRandomSequences")
	sequenceSeed = flag.Uint64("sequences.seed", 0, "seed of the first of them; 0 chooses one")
)

// TestRandomSequences lets small orgs change at random between, before and during
// deltas and reconciles, many connectors side by side on one server, one worker and one
// mesh. It is the sister of TestPipelineProperty in package workflows, which tries
// thousands in one process; here the processes, Temporal and SQLite are real.
func TestRandomSequences(t *testing.T) {
	t.Parallel()
	seed := *sequenceSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	w := newWorld(t, oktasim.Config{Org: generated(t, 5, 2)}, nil)
	w.worker()
	_, _ = w.client(), w.store() // which live as long as all sequences
	t.Run("all", func(t *testing.T) {
		for i := range uint64(*sequences) { //nolint:gosec // never negative
			t.Run(fmt.Sprint("seed ", seed+i), func(t *testing.T) {
				t.Parallel()
				s := newSequence(t, w, seed+i)
				defer func() {
					if t.Failed() {
						t.Logf("%s\nplay it again with: go test ./integration -run TestRandomSequences -sequences 1 -sequences.seed %d",
							strings.Join(s.story, "\n"), seed+i)
					}
				}()
				s.play()
			})
		}
	})
}

// sequence is one connector's life.
type sequence struct {
	*world
	rand  *rand.Rand
	clock *oktasim.Clock
	story []string
	born  int
	n     int // runs
	// unannounced are the ids of what Okta tells no delta, since the last Full.
	unannounced map[string]bool
	mu          sync.Mutex // guards the story and the org's changes of a busy run
}

func newSequence(t *testing.T, w *world, seed uint64) *sequence {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, seed))
	start := time.Date(2026, 4, 22, 8, 15, 30, 0, time.UTC) // always the same, to be played again
	clock := oktasim.StandingClock(start)
	org, err := oktasim.Generate(oktasim.Spec{Users: 4 + r.IntN(8), Groups: 2 + r.IntN(3), Seed: seed, Now: start})
	require.NoError(t, err)
	cfg := map[string]any{"PageSize": []int{2, 3, 200}[r.IntN(3)]}
	if r.IntN(3) == 0 {
		cfg["WatermarkOverlap"] = "0s"
	} else {
		lag := func() time.Duration { return []time.Duration{0, time.Second, 3 * time.Second}[r.IntN(3)] }
		org.SetLag(oktasim.Lag{Search: lag(), Members: lag(), MembershipStamp: lag(), Everyone: lag()})
	}
	mine := *w
	mine.T = t
	s := &sequence{rand: r, clock: clock, unannounced: map[string]bool{}}
	s.world = mine.sibling(oktasim.Config{Org: org, Clock: clock, Now: clock.Now}, cfg)
	return s
}

func (s *sequence) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story = append(s.story, fmt.Sprintf(format, args...))
}

func (s *sequence) play() {
	s.settled(workflows.Full)
	for range 3 + s.rand.IntN(3) {
		for range s.rand.IntN(4) {
			s.change()
			s.clock.Advance([]time.Duration{0, 0, time.Second}[s.rand.IntN(3)])
		}
		switch s.rand.IntN(5) {
		case 0:
			s.settled(workflows.Full)
		case 1:
			s.settled(workflows.Delta)
		case 2:
			s.busy(workflows.Full)
		default:
			s.busy(workflows.Delta)
		}
		s.clock.Advance([]time.Duration{time.Second, time.Minute, 7 * time.Minute}[s.rand.IntN(3)])
	}
	s.settled(workflows.Delta)
	s.settled(workflows.Full)
}

// busy runs an import during which a change may come.
func (s *sequence) busy(mode workflows.Mode) {
	at := 1 + s.rand.IntN(8)
	var mu sync.Mutex
	n := 0
	s.sim.Intercept(func(http.ResponseWriter, *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		s.clock.Advance(150 * time.Millisecond)
		if n++; n == at {
			s.change()
		}
		return false
	})
	s.run(mode)
	s.sim.Intercept(nil)
	s.replayFeed()
}

// settled runs an import once the changes are visible. After a Full the mesh is the
// org; after a delta it differs only in what Okta does not announce.
func (s *sequence) settled(mode workflows.Mode) {
	s.Helper()
	s.clock.Advance(10 * time.Second)
	s.run(mode)
	if mode == workflows.Full {
		clear(s.unannounced)
	}
	for _, d := range s.differences() {
		excused := false
		for id := range s.unannounced {
			excused = excused || strings.Contains(d, id)
		}
		require.True(s, excused, "after a settled %s: %s", mode, d)
	}
}

// run runs an import, and has carried out what it holds.
func (s *sequence) run(mode workflows.Mode) {
	s.Helper()
	s.n++
	id := fmt.Sprintf("import-%s-sequence-%d", s.name, s.n)
	run, err := s.client().ExecuteWorkflow(s.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: s.queue},
		workflows.ImportWorkflow, workflows.ImportInput{Connector: s.name, Mode: mode})
	require.NoError(s, err)
	var r workflows.ImportResult
	if err := run.Get(s.Context(), &r); err != nil {
		s.tell("%s: %v", mode, err)
		require.ErrorContains(s, err, "listed no", "it fails only for an org without anybody")
		return
	}
	s.tell("%s: %s %s %v", r.Mode, r.Outcome, r.Note, r.Counts)
	if r.Outcome != mesh.HeldDeletes {
		require.Equal(s, mesh.Completed, r.Outcome)
	}
	hold, err := s.store().Hold(s.Context(), s.name, 0)
	require.NoError(s, err)
	if hold == nil {
		return
	}
	s.waitFor(waitLimit, "the hold is answered", func() bool { // its workflow may have to read it first
		d, err := update(s.world, workflows.ApproveUpdate, hold.RunID, "the test")
		if err != nil {
			return false
		}
		s.tell("Approval: %s", s.wait(d.RunID).Outcome)
		return true
	})
}

// change makes one change in the org. One that Okta refuses changes nothing.
func (s *sequence) change() {
	pick := func(ids []string) string {
		if len(ids) == 0 {
			return "00unknown"
		}
		return ids[s.rand.IntN(len(ids))]
	}
	user, group := pick(s.org().UserIDs()), pick(s.org().GroupIDsByType("OKTA_GROUP"))
	s.born++
	var err error
	what := []string{
		"hire", "edit", "edit", "deactivate", "reactivate", "suspend", "purge", "login",
		"new group", "rename group", "drop group", "join", "join", "join", "leave", "leave",
	}[s.rand.IntN(16)]
	switch what {
	case "hire":
		login := fmt.Sprintf("new%d@example.com", s.born)
		_, err = s.org().CreateUser(map[string]any{"login": login, "email": login, "firstName": "New", "lastName": "Hire"}, true)
	case "edit":
		err = s.org().UpdateUser(user, map[string]any{"title": fmt.Sprint("title ", s.born)})
	case "deactivate":
		err = s.org().SetStatus(user, "DEPROVISIONED")
	case "reactivate":
		err = s.org().SetStatus(user, "ACTIVE")
	case "suspend":
		err = s.org().SetStatus(user, "SUSPENDED")
	case "purge":
		if len(s.org().UserIDs()) > 3 {
			s.unannounced[user] = true
			err = s.org().DeleteUser(user)
		}
	case "login":
		err = s.org().UpdateUser(user, map[string]any{"login": fmt.Sprintf("renamed%d@example.com", s.born)})
	case "new group":
		_, err = s.org().CreateGroup(map[string]any{"name": fmt.Sprint("group ", s.born)})
	case "rename group":
		err = s.org().ReplaceGroup(group, map[string]any{"name": fmt.Sprint("renamed ", s.born)})
	case "drop group":
		s.unannounced[group] = true
		err = s.org().DeleteGroup(group)
	case "join":
		err = s.org().AddMember(group, user)
	case "leave":
		if slices.Contains(s.org().MemberIDs(group), user) {
			err = s.org().RemoveMember(group, user)
		}
	}
	s.tell("%s: %s user %s group %s %v", s.clock.Now().Format(time.TimeOnly), what, user, group, err)
}
