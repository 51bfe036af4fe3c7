package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

func TestProgressParts(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 4, 22, 8, 16, 0, 0, time.UTC)
	tests := map[string]struct {
		p    workflows.Progress
		want []string
	}{
		"beginning": {workflows.Progress{Phase: workflows.Beginning}, []string{"Starting", "calls 0"}},
		"waiting":   {workflows.Progress{Phase: workflows.Waiting, HeldBy: "other"}, []string{"Waiting for run other", "calls 0"}},
		"rate limit": {workflows.Progress{Phase: workflows.Reading, WaitUntil: &until, Waits: 2, APICalls: 600,
			Users: workflows.StreamProgress{Enabled: true, Seen: 10}, Rates: []activities.Rate{
				{Bucket: "/api/v1/groups", Limit: 500, Remaining: 400, Known: true},
				{Bucket: "/api/v1/users", Limit: 600, Remaining: 20, Known: true},
				{Bucket: "/api/v1/odd", Limit: 0, Remaining: 0, Known: true},
				{Bucket: "/api/v1/none"},
			}},
			[]string{"Reading", "waits for the rate limit until 08:16:00Z", "users 10", "budget 20/600", "calls 600", "rate-limit waits 2"}},
		"looking up":      {workflows.Progress{Phase: workflows.LookingUp, Missing: 12, LookedUp: 3}, []string{"Looking up 3/12", "calls 0"}},
		"settling":        {workflows.Progress{Phase: workflows.Settling}, []string{"Settling", "calls 0"}},
		"ended":           {workflows.Progress{Phase: workflows.Ended, Outcome: "Completed"}, []string{"Completed", "calls 0"}},
		"ended early":     {workflows.Progress{Phase: workflows.Ended}, []string{"Ended", "calls 0"}},
		"a later release": {workflows.Progress{Phase: "Dreaming"}, []string{"Dreaming", "calls 0"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, progressParts(tt.p))
		})
	}
}

func TestFraction(t *testing.T) {
	t.Parallel()
	on := func(seen int) workflows.StreamProgress { return workflows.StreamProgress{Enabled: true, Seen: seen} }
	members := func(groups, read, seen int) workflows.MembersProgress {
		return workflows.MembersProgress{Enabled: true, Groups: groups, Read: read, Seen: seen}
	}
	held := map[mesh.ObjectType]int{mesh.User: 1000, mesh.Group: 100, mesh.GroupMember: 900}
	tests := map[string]struct {
		p        workflows.Progress
		expected map[mesh.ObjectType]int
		percent  int
		known    bool
	}{
		"nothing known":         {workflows.Progress{}, nil, 0, false},
		"first, no lists yet":   {workflows.Progress{Users: on(50), Members: members(0, 0, 0)}, nil, 0, false},
		"first, member lists":   {workflows.Progress{Users: on(50), Members: members(60, 15, 0)}, nil, 25, true},
		"first, users alone":    {workflows.Progress{Users: on(50)}, nil, 0, false},
		"never 100 in between":  {workflows.Progress{Users: on(50), Members: members(60, 60, 0)}, nil, 99, true},
		"again":                 {workflows.Progress{Users: on(500), Groups: on(100), Members: members(100, 50, 400)}, held, 50, true},
		"again, the org grew":   {workflows.Progress{Users: on(5000), Groups: on(100), Members: members(100, 50, 900)}, held, 99, true},
		"again, one pass alone": {workflows.Progress{Users: on(500)}, held, 50, true},
		"again, passes unknown": {workflows.Progress{}, held, 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			percent, known := fraction(tt.p, tt.expected)
			require.Equal(t, tt.percent, percent)
			require.Equal(t, tt.known, known)
		})
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	parts := []string{"Reading", "users 400", "groups 60✓"}
	require.Equal(t, "Reading  users 400  groups 60✓", fit(parts, 30))
	require.Equal(t, "Reading  users 400", fit(parts, 29))
	require.Equal(t, "Waiting f…", fit([]string{"Waiting for run x"}, 3), "never less than ten columns")
}
