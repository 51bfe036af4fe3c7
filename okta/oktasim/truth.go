package oktasim

import (
	"encoding/json"
	"time"
)

// Truth is an org as it is now, whatever lag or fault hides: what a mesh is
// compared with.
type Truth struct {
	Users  map[string]TruthUser  // by id, of every status
	Groups map[string]TruthGroup // by id
	Pairs  map[Pair]struct{}     // every membership, DEPROVISIONED members included
}

// TruthUser is a user of a [Truth].
type TruthUser struct {
	Status      string
	LastUpdated time.Time
	Profile     map[string]any // a copy, numbers as float64; nil when a file had none
}

// TruthGroup is a group of a [Truth].
type TruthGroup struct {
	Type                               string
	LastUpdated, LastMembershipUpdated time.Time
	Profile                            map[string]any
}

// Pair is a membership: a group's id and a user's.
type Pair struct{ Group, User string }

// Truth copies the org as it is now.
func (o *Org) Truth() Truth {
	o.mu.RLock()
	defer o.mu.RUnlock()
	t := Truth{make(map[string]TruthUser, len(o.users)), make(map[string]TruthGroup, len(o.groups)), map[Pair]struct{}{}}
	for _, u := range o.users {
		t.Users[u.id] = TruthUser{u.status, u.lastUpdated.time(), decodeProfile(u.profile)}
	}
	for _, g := range o.groups {
		t.Groups[g.id] = TruthGroup{g.typ, g.lastUpdated.time(), g.membership.time(), decodeProfile(g.profile)}
		for _, u := range g.members {
			t.Pairs[Pair{g.id, u.id}] = struct{}{}
		}
	}
	return t
}

func decodeProfile(raw []byte) map[string]any {
	if isNull(raw) {
		return nil
	}
	var profile map[string]any
	if err := json.Unmarshal(raw, &profile); err != nil {
		panic("oktasim: a profile of its own does not decode: " + err.Error())
	}
	return profile
}
