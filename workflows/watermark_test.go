package workflows_test

import (
	"database/sql"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// stored returns the watermark as it is stored.
func stored(t *testing.T, p *pipeline) mesh.Watermark {
	t.Helper()
	text, err := p.store.RawWatermark(t.Context(), p.name)
	require.NoError(t, err)
	w, err := mesh.ParseWatermark(text)
	require.NoError(t, err)
	return w
}

func set(t *testing.T, p *pipeline, text string) {
	t.Helper()
	require.NoError(t, p.store.SetWatermark(t.Context(), p.name, text, "the test"))
}

// TestTheWatermarkIsTheFirstDateOfItsWalk, not the largest stamp: a quiet org would
// read its last bulk change for ever.
func TestTheWatermarkIsTheFirstDateOfItsWalk(t *testing.T) {
	t.Parallel()
	p := imported(t, 50, 5, map[string]any{"PageSize": 10})
	p.before(func() { p.clock.Advance(time.Second) }) // a walk takes time
	begin := p.clock.Now()
	p.must(workflows.Full, mesh.Completed)
	w := stored(t, p)
	require.WithinRange(t, w.Users.Time, begin, begin.Add(3*time.Second))
	require.WithinRange(t, w.Groups.Time, begin, begin.Add(10*time.Second))
}

func TestAWatermarkWithoutAKeyIsAFullOfThatType(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		mode       string
		note       string
		usersSeen  int
		groupsSeen int
	}{
		{"both", `{"u": "2026-04-22T09:20:00.000Z", "g": "2026-04-22T09:20:00.000Z"}`, "Delta", "", 0, 0},
		{"no users", `{"g": "2026-04-22T09:20:00.000Z"}`, "Delta", `users in full: the watermark has no "u"`, 50, 0},
		{"no groups", `{"u": "2026-04-22T09:20:00.000Z"}`, "Delta", `groups in full: the watermark has no "g"`, 0, 5},
		{"null", `null`, "Full", "in full: there is no watermark", 50, 5},
		{"empty", ``, "Full", "in full: there is no watermark", 50, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 50, 5, nil)
			gone := massDeletion(t, p, 1)[0]
			before := p.live()
			set(t, p, tc.text)
			r, err := p.run(workflows.ImportInput{Mode: workflows.Auto})
			require.NoError(t, err)
			require.Equal(t, tc.mode, r.Mode)
			require.Equal(t, tc.note, r.Note)
			require.Equal(t, tc.usersSeen > 0, r.Counts[mesh.User].Seen > 0)
			require.Equal(t, tc.groupsSeen > 0, r.Counts[mesh.Group].Seen >= tc.groupsSeen && tc.groupsSeen > 0)
			require.Contains(t, before, "User "+gone)
			_, still := p.live()["User "+gone]
			require.Equal(t, tc.usersSeen == 0, still, "a full walk of users sweeps them")
			require.NotNil(t, stored(t, p).Users)
			require.NotNil(t, stored(t, p).Groups)
		})
	}
}

// TestAWatermarkThatCannotBe stops a delta and an auto run and changes nothing; an
// explicit Full replaces it.
func TestAWatermarkThatCannotBe(t *testing.T) {
	t.Parallel()
	p := imported(t, 50, 5, nil)
	future := p.clock.Now().Add(time.Hour)
	set(t, p, mesh.Watermark{Users: mesh.NewMark(future), Groups: mesh.NewMark(future)}.String())
	before := p.live()
	edit(t, p.org)
	for _, mode := range []workflows.Mode{workflows.Delta, workflows.Auto} {
		_, err := p.run(workflows.ImportInput{Mode: mode})
		var app *temporal.ApplicationError
		require.ErrorAs(t, err, &app)
		require.Equal(t, activities.ErrWatermark, app.Type())
		require.ErrorContains(t, err, "is in the future")
		require.Equal(t, before, p.live())
	}
	p.must(workflows.Full, mesh.Completed)
	require.True(t, stored(t, p).Users.Before(future))
	p.clock.Advance(time.Minute)
	p.must(workflows.Delta, mesh.Completed)
}

// TestAMalformedWatermark, written straight in SQL, stops a delta and an auto run with
// a message that quotes it; a Full replaces it.
func TestAMalformedWatermark(t *testing.T) {
	t.Parallel()
	store, file := openStoreFile(t)
	clock := oktasim.StandingClock(start)
	org, err := oktasim.Generate(oktasim.Spec{Users: 20, Groups: 3, Seed: 5, Now: start})
	require.NoError(t, err)
	p := newPipeline(t, store, org, clock, nil)
	p.must(workflows.Full, mesh.Completed)
	db, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	defer db.Close() //nolint:errcheck // the test is over
	write := func(text string) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), `UPDATE im_watermarks SET watermark = ?`, text)
		require.NoError(t, err)
	}
	before := p.live()
	edit(t, org)
	clock.Advance(time.Minute)
	for _, text := range []string{`{"u": "yesterday"}`, `{"u": 5}`, `{"users": null}`, `{"u"`, `[]`, `"2026"`} {
		write(text)
		for _, mode := range []workflows.Mode{workflows.Delta, workflows.Auto} {
			_, err := p.run(workflows.ImportInput{Mode: mode})
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, activities.ErrWatermark, app.Type())
			require.Contains(t, app.Message(), strconv.Quote(text))
			require.Contains(t, app.Message(), "start a Full run")
			require.Equal(t, before, p.live())
			require.Zero(t, p.sim.Stats().Status429)
		}
	}
	p.must(workflows.Full, mesh.Completed)
	require.NotNil(t, stored(t, p).Users)

	// A legal edit counts at the next run, with fractions and another zone, too.
	write(`{"u": "2026-04-22T10:00:00.5+02:00", "g": "2026-04-22T08:00:00Z"}`)
	r, err := p.run(workflows.ImportInput{Mode: workflows.Delta})
	require.NoError(t, err)
	require.Equal(t, "Delta", r.Mode)
	require.Equal(t, 1, r.Counts[mesh.User].Seen)
}

// TestAHandEditForcesACutover: what changed since then is read again, members too.
func TestAHandEditForcesACutover(t *testing.T) {
	t.Parallel()
	p := imported(t, 50, 40, nil)
	groups := p.org.GroupIDsByType("OKTA_GROUP")[:10]
	require.NoError(t, p.org.TouchMembership(groups...))
	cut := p.clock.Now()
	p.clock.Advance(time.Hour)
	p.must(workflows.Delta, mesh.Completed)
	p.clock.Advance(time.Hour)
	require.Equal(t, 3, p.delta())
	set(t, p, mesh.Watermark{Users: mesh.NewMark(cut.Add(-time.Minute)), Groups: mesh.NewMark(cut.Add(-time.Minute))}.String())
	require.Equal(t, 13, p.delta(), "the members of the ten groups are read again")
	require.Equal(t, 3, p.delta(), "and then no more")
}

// TestAChangedDefinitionIsAFull, at once and in both directions.
func TestAChangedDefinitionIsAFull(t *testing.T) {
	t.Parallel()
	p := imported(t, 50, 5, nil)
	all := len(p.live())
	one := p.org.UserIDsByStatus("ACTIVE")[0]
	require.NoError(t, p.org.UpdateUser(one, map[string]any{"title": "odd one out"}))
	p.clock.Advance(time.Minute)
	p.must(workflows.Delta, mesh.Completed)
	p.clock.Advance(time.Minute)

	p.define(map[string]any{"UserSearchFilter": `profile.title lt "odd one out" or profile.title gt "odd one out" or status eq "STAGED"`, "MaxDeletePercent": 100})
	r, err := p.run(workflows.ImportInput{Mode: workflows.Auto})
	require.NoError(t, err)
	require.Equal(t, "Full", r.Mode)
	require.Equal(t, "in full: the definition changed (UserSearchFilter)", r.Note)
	require.NotContains(t, p.live(), "User "+one)
	require.Less(t, len(p.live()), all)

	p.define(nil)
	r, err = p.run(workflows.ImportInput{Mode: workflows.Delta})
	require.NoError(t, err)
	require.Equal(t, "in full: the definition changed (UserSearchFilter)", r.Note)
	require.Contains(t, p.live(), "User "+one)
	require.Len(t, p.live(), all)
	p.checkFeed(true)

	p.define(map[string]any{"ImportMemberships": false}) // a pass turned off voids nothing
	r, err = p.run(workflows.ImportInput{Mode: workflows.Delta})
	require.NoError(t, err)
	require.Equal(t, "Delta", r.Mode)
	p.define(nil)
	r, err = p.run(workflows.ImportInput{Mode: workflows.Delta})
	require.NoError(t, err)
	require.Equal(t, "in full: the definition changed (ImportMemberships)", r.Note)
}

// TestSplitConnectors: users, groups and memberships by three connectors on one org
// (runbook, "Throttling and rate limits").
func TestSplitConnectors(t *testing.T) {
	t.Parallel()
	whole := imported(t, 120, 20, nil)
	only := func(pass string) *pipeline {
		cfg := map[string]any{"ImportUsers": false, "ImportGroups": false, "ImportMemberships": false}
		cfg[pass] = true
		return newPipeline(t, whole.store, whole.org, whole.clock, cfg)
	}
	split := []*pipeline{only("ImportUsers"), only("ImportGroups"), only("ImportMemberships")}
	same := func() {
		t.Helper()
		union := map[string]map[string]any{}
		for _, p := range split {
			for key, o := range p.live() {
				union[key] = o
			}
			p.checkFeed(false)
		}
		require.Equal(t, whole.live(), union)
	}
	for _, p := range split {
		p.must(workflows.Delta, mesh.Completed)
	}
	same()
	hire(t, whole.org)
	edit(t, whole.org)
	require.NoError(t, addOne(whole.org))
	require.NoError(t, whole.org.RemoveMember(addedGroup(t, whole), whole.org.MemberIDs(addedGroup(t, whole))[0]))
	whole.clock.Advance(10 * time.Minute)
	whole.must(workflows.Delta, mesh.Completed)
	for _, p := range split {
		require.LessOrEqual(t, p.delta(), 5)
	}
	same()
	require.Nil(t, stored(t, split[0]).Groups)
	require.Nil(t, stored(t, split[1]).Users)
	require.NotNil(t, stored(t, split[2]).Groups, "the groups' mark is what the member lists are read by")
}

// addedGroup is a group with members that can be changed.
func addedGroup(t *testing.T, p *pipeline) string {
	t.Helper()
	for _, g := range p.org.GroupIDsByType("OKTA_GROUP") {
		if len(p.org.MemberIDs(g)) > 1 {
			return g
		}
	}
	require.Fail(t, "no group has members")
	return ""
}
