package oktasim

import "time"

// Scenario is a timeline that was recorded with a real org, as writes and polls
// on a simulated one: the moments at which an importer that trusts one answer
// loses a change. Ids and dates are the simulator's own, the distances in time
// are the recording's. To play one:
//
//	org, clock := scenario.Build()
//	start := clock.Now()
//	for _, step := range scenario.Steps {
//		clock.Set(start.Add(step.At))
//		if step.Do != nil {
//			step.Do(org)
//		}
//		if step.Read {
//			poll(org)
//		}
//	}
type Scenario struct {
	// Name is the name of the recording in facts.md.
	Name string
	// Build makes the org as it is before the first step, and its clock, which
	// stands; a [Server] of the org takes the clock over. Every call makes a new one.
	Build func() (*Org, *Clock)
	// Steps are in order of time. What happened in one second of the recording is
	// a tenth of a second apart.
	Steps []Step
	// Want says what an importer must have in the end, and how it could miss it.
	Want string
}

// Step is one moment of a [Scenario].
type Step struct {
	At   time.Duration // from the clock's time after Build
	Do   func(*Org)    // a write or a change of lag; nil for none
	Read bool          // an importer polls now, after Do
}

// The people and groups of the scenarios.
const (
	scenarioUser  = "jones@scenario.example.com"
	scenarioOther = "entwhistle@scenario.example.com"
	scenarioGroup = "Scenario"
)

// scenarioStart is when the scenarios begin; a whole second.
var scenarioStart = time.Date(2026, 3, 2, 9, 45, 0, 0, time.UTC)

// Scenarios returns the recorded timelines.
func Scenarios() []Scenario {
	return []Scenario{sameSecondHole(), membershipStaleness(), staleMembers(), everyoneGoesBack()}
}

func sameSecondHole() Scenario {
	return Scenario{
		Name: "lastupdated_same_second_hole",
		Build: func() (*Org, *Clock) {
			org, clock := scenarioOrg(-time.Second)
			mustCreate(org, scenarioUser)
			clock.Set(scenarioStart)
			must(org.SetStatus(org.UserIDByLogin(scenarioUser), Provisioned))
			return org, clock
		},
		Steps: []Step{
			{At: 0, Read: true},
			{At: 100 * time.Millisecond, Do: becoming(scenarioUser, Deprovisioned)},
			{At: time.Second, Read: true},
			{At: 2 * time.Second, Read: true},
			{At: 2100 * time.Millisecond, Do: func(o *Org) { must(o.DeleteUser(o.UserIDByLogin(scenarioUser))) }},
		},
		Want: "the user is gone from the mesh after the second poll, although his lastUpdated is still what the first poll saw: gt on it finds nothing",
	}
}

func membershipStaleness() Scenario {
	return Scenario{
		Name: "group_membership_staleness_timeline",
		Build: func() (*Org, *Clock) {
			org, clock := scenarioOrg(0)
			mustCreateGroup(org, scenarioGroup)
			org.SetLag(Lag{MembershipStamp: 3 * time.Second})
			return org, clock
		},
		Steps: []Step{
			{At: 0, Read: true},
			{At: time.Second, Read: true},
			{At: 2 * time.Second, Do: func(o *Org) {
				mustCreate(o, scenarioUser)
				becoming(scenarioUser, Provisioned)(o)
				joining(scenarioGroup, scenarioUser)(o)
			}},
			{At: 4100 * time.Millisecond, Read: true},
			{At: 6 * time.Second, Read: true},
			{At: 6100 * time.Millisecond, Do: leaving(scenarioGroup)},
			{At: 6200 * time.Millisecond, Do: func(o *Org) { must(o.DeleteGroup(o.GroupIDByName(scenarioGroup))) }},
		},
		Want: "the member is in the mesh after the poll at 6 s: the poll at 4.1 s saw the old stamp, and the new one is dated before that poll",
	}
}

func staleMembers() Scenario {
	return Scenario{
		Name: "group_users_stale_after_put",
		Build: func() (*Org, *Clock) {
			org, clock := scenarioOrg(-time.Second)
			mustCreateGroup(org, scenarioGroup)
			mustCreate(org, scenarioOther)
			mustCreate(org, scenarioUser)
			clock.Set(scenarioStart)
			becoming(scenarioOther, Provisioned)(org)
			becoming(scenarioUser, Provisioned)(org)
			org.SetLag(Lag{Members: 2500 * time.Millisecond})
			return org, clock
		},
		Steps: []Step{
			{At: 0, Do: joining(scenarioGroup, scenarioUser)},
			{At: 100 * time.Millisecond, Do: joining(scenarioGroup, scenarioOther)},
			{At: 200 * time.Millisecond, Read: true},
			{At: time.Second, Read: true},
			{At: 2 * time.Second, Read: true},
			{At: 3 * time.Second, Read: true},
			{At: 4 * time.Second, Read: true},
		},
		Want: "both members are in the mesh in the end: the first polls see the group's new stamp and read its old members",
	}
}

func everyoneGoesBack() Scenario {
	// The stamp goes back by what another cache knows: one a quarter of an hour
	// behind, one half an hour. The stamps of the other groups lag for seconds.
	near := Lag{Everyone: 15 * time.Minute, MembershipStamp: 10 * time.Second}
	far := Lag{Everyone: 30 * time.Minute, MembershipStamp: 10 * time.Second}
	names := []string{"Scenario 1", "Scenario 2", "Scenario 3", "Scenario 4"}
	return Scenario{
		Name: "everyone_group_nonmonotonic",
		Build: func() (*Org, *Clock) {
			// Everyone changed 1:42:24 and 21:07 before the first poll; the user who is
			// read, and his groups, are a second old.
			org, clock := scenarioOrg(-2 * time.Hour)
			org.SetLag(far)
			clock.Set(scenarioStart.Add(-(time.Hour + 42*time.Minute + 24*time.Second)))
			mustCreate(org, "first@scenario.example.com")
			clock.Set(scenarioStart.Add(-(21*time.Minute + 7*time.Second)))
			mustCreate(org, "second@scenario.example.com")
			clock.Set(scenarioStart.Add(-time.Second))
			mustCreate(org, scenarioUser)
			for _, name := range names {
				mustCreateGroup(org, name)
			}
			joining(names[0], scenarioUser)(org)
			joining(names[1], scenarioUser)(org)
			clock.Set(scenarioStart)
			return org, clock
		},
		// Of the writes only the effect was recorded: what the next read shows.
		Steps: []Step{
			{At: 0, Read: true},
			{At: time.Second, Do: func(o *Org) { o.SetLag(near) }, Read: true},
			{At: 2 * time.Second, Read: true},
			{At: 3 * time.Second, Do: func(o *Org) {
				leaving(names[0])(o)
				joining(names[2], scenarioUser)(o)
				joining(names[3], scenarioUser)(o)
			}},
			{At: 4 * time.Second, Read: true},
			{At: 4100 * time.Millisecond, Do: func(o *Org) { o.SetLag(far) }, Read: true},
			{At: 5 * time.Second, Do: func(o *Org) {
				leaving(names[2])(o)
				leaving(names[3])(o)
			}},
			{At: 6 * time.Second, Read: true},
			{At: 20 * time.Second, Read: true},
		},
		Want: "the newest user is in Everyone in the mesh, whose stamp never shows him, and in no other group but Scenario 2; no watermark goes back with a stamp",
	}
}

// scenarioOrg is a small org without lag whose clock stands this far from
// scenarioStart.
func scenarioOrg(from time.Duration) (*Org, *Clock) {
	org, err := Generate(Spec{Users: 8, Groups: 1, Seed: 3, Now: scenarioStart})
	must(err)
	clock := StandingClock(scenarioStart.Add(from))
	org.SetClock(clock.Now)
	return org, clock
}

func mustCreate(o *Org, login string) {
	_, err := o.CreateUser(map[string]any{"login": login, "email": login, "firstName": "Test", "lastName": login[:5]}, false)
	must(err)
}

func mustCreateGroup(o *Org, name string) {
	_, err := o.CreateGroup(map[string]any{"name": name, "description": "testing, testing"})
	must(err)
}

func becoming(login, status string) func(*Org) {
	return func(o *Org) { must(o.SetStatus(o.UserIDByLogin(login), status)) }
}

func leaving(group string) func(*Org) {
	return func(o *Org) { must(o.RemoveMember(o.GroupIDByName(group), o.UserIDByLogin(scenarioUser))) }
}

func joining(group, login string) func(*Org) {
	return func(o *Org) { must(o.AddMember(o.GroupIDByName(group), o.UserIDByLogin(login))) }
}

// must is for writes of the scenarios themselves, which cannot fail.
func must(err error) {
	if err != nil {
		panic("oktasim: a scenario's own write failed: " + err.Error())
	}
}
