package oktasim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Spec says what [Generate] makes. The same Spec makes the same org, ids and
// stamps included.
type Spec struct {
	Users       int       // of every status; about 5 % are DEPROVISIONED
	Groups      int       // with Everyone; 0 makes none, not even that one
	Memberships int       // (group, member) pairs with those of Everyone, see [Generate]; 0 chooses a natural number
	Seed        uint64    // chooses names, attributes, sizes
	Now         time.Time // no stamp is younger than a day before it; zero is the present
}

const (
	day         = 24 * time.Hour
	orgAge      = 8 * 365 * day // how far back the first user was created
	emptyGroups = 12            // every so many groups has no members
	appGroups   = 5             // every so many groups is an APP_GROUP
)

// sizeClasses are the groups of an org with a given number of memberships, besides
// Everyone: how many percent of all groups are of a class, at least how many, and how
// large one is beside one of another class. The rest of the groups is of the last.
var sizeClasses = []struct{ percent, least, weight int }{
	{4, 1, 100}, // large
	{16, 0, 15}, // middle
	{100, 0, 2}, // small
}

// statusShares are the shares of the users that are not ACTIVE.
var statusShares = []struct {
	status string
	share  float64
}{
	{Deprovisioned, 0.05}, {Provisioned, 0.03}, {Staged, 0.03}, {Suspended, 0.02},
	{PasswordExpired, 0.02}, {LockedOut, 0.01}, {Recovery, 0.01},
}

// customAttributes are the default type's custom attributes: one of each type
// that Okta has.
var customAttributes = []attribute{
	{name: "badgeNumber", title: "Badge number", typ: "string"},
	{name: "shirtSize", title: "Shirt size", typ: "string", enum: []string{"S", "M", "L", "XL"}},
	{name: "isRemote", title: "Works remotely", typ: "boolean"},
	{name: "deskNumber", title: "Desk number", typ: "integer"},
	{name: "fullTimeEquivalent", title: "Full-time equivalent", typ: "number"},
	{name: "skills", title: "Skills", typ: "array", items: "string"},
	{name: "floorAccess", title: "Floor access", typ: "array", items: "integer"},
	{name: "ratings", title: "Ratings", typ: "array", items: "number"},
	{name: "some_snake_case_attr", title: "some_snake_case_attr", typ: "string"},
}

// Generate makes an org: people with names in many scripts and ASCII logins, all
// 31 base attributes and custom ones of every type spread over them, groups of
// skewed sizes with Everyone first. Without a number of memberships the sizes fall
// like 1/rank and some groups are empty; with one, 4 % of the groups are large, 16 %
// have 0.15 of a large one's members and the rest 0.02, as far as there are users
// enough, in sum exactly that number. It is an error to ask for negative numbers or
// for more or fewer memberships than the groups can have.
func Generate(spec Spec) (*Org, error) {
	if spec.Users < 0 || spec.Groups < 0 || spec.Memberships < 0 {
		return nil, errors.New("generate: users, groups and memberships cannot be negative")
	}
	least, most := 0, 0
	if spec.Groups > 0 {
		least, most = spec.Users, spec.Users*spec.Groups
	}
	if m := spec.Memberships; m != 0 && (m < least || m > most) {
		return nil, fmt.Errorf("generate: %d memberships are impossible with %d users and %d groups: Everyone holds every user, so there can be %d to %d", m, spec.Users, spec.Groups, least, most)
	}
	if spec.Now.IsZero() {
		spec.Now = time.Now()
	}

	g := &generator{
		spec:   spec,
		org:    newOrg(spec.Seed),
		rnd:    rand.New(rand.NewPCG(spec.Seed, 0x051)), // #nosec G404 -- data of a simulator
		latest: spec.Now.Add(-day - time.Second),
		logins: map[string]int{},
	}
	g.settings()
	g.users()
	if spec.Groups > 0 {
		g.groups()
	}
	return g.org, nil
}

type generator struct {
	spec   Spec
	org    *Org
	rnd    *rand.Rand
	latest time.Time // no stamp is younger
	logins map[string]int
	buf    []byte
}

func (g *generator) settings() {
	o := g.org
	begin := g.latest.Add(-orgAge)
	o.created, o.realmID = wholeSecond(begin), o.ids.mint(prefixRealm)
	for i, t := range []*userType{
		{name: "user", displayName: "User", description: "Okta user profile template with default permission settings", isDefault: true, custom: customAttributes},
		{name: "contractor", displayName: "Contractor", description: "People who work for another company", custom: []attribute{{name: "agency", title: "Agency", typ: "string"}}},
	} {
		t.id = o.ids.mint(prefixType)
		t.schemaID = prefixSchema + t.id[len(prefixType):]
		t.created = wholeSecond(begin.Add(time.Duration(i) * 90 * day))
		t.lastUpdated = wholeSecond(begin.Add(time.Duration(i+1) * 200 * day))
		o.types = append(o.types, t)
	}
	o.groupAttrs = []attribute{{name: "costCenter", title: "Cost center", typ: "string"}, {name: "reviewed", title: "Reviewed", typ: "boolean"}}
}

// between picks a time from a to b.
func (g *generator) between(a, b stamp) stamp {
	if b <= a {
		return a
	}
	return a + stamp(g.rnd.Int64N(int64(b-a)/1000+1))*1000
}

func (g *generator) chance(p float64) bool { return g.rnd.Float64() < p }

func pick[T any](g *generator, list []T) T { return list[g.rnd.IntN(len(list))] }

// statuses deals out the statuses: exact shares, at least one of each when there
// are users enough.
func (g *generator) statuses() []string {
	out := make([]string, g.spec.Users)
	i := 0
	for _, s := range statusShares {
		n := int(s.share*float64(len(out)) + 0.5)
		if n == 0 && len(out) >= 2*len(Statuses) {
			n = 1
		}
		for ; n > 0 && i < len(out); n-- {
			out[i] = s.status
			i++
		}
	}
	for ; i < len(out); i++ {
		out[i] = Active
	}
	g.rnd.Shuffle(len(out), func(a, b int) { out[a], out[b] = out[b], out[a] })
	return out
}

// groupSizes says how many members each group has, Everyone first.
func (g *generator) groupSizes() []int {
	sizes := make([]int, g.spec.Groups)
	sizes[0] = g.spec.Users
	if g.spec.Memberships == 0 {
		g.naturalSizes(sizes[1:])
	} else {
		g.classSizes(sizes[1:], g.spec.Memberships-g.spec.Users)
	}
	return sizes
}

// naturalSizes has a tenth of the org in the largest group, falling like 1/rank, and
// some groups empty.
func (g *generator) naturalSizes(sizes []int) {
	users := g.spec.Users
	for i := range sizes {
		if rank := i + 1; rank%emptyGroups != 0 {
			sizes[i] = min(users, users/(10*rank)+1+g.rnd.IntN(9))
		}
	}
}

// classSizes shares out exactly total members by the [sizeClasses], the classes mixed.
func (g *generator) classSizes(sizes []int, total int) {
	weights, sum := make([]int, 0, len(sizes)), 0
	for _, class := range sizeClasses {
		n := max(class.least, (class.percent*g.spec.Groups+50)/100)
		for ; n > 0 && len(weights) < len(sizes); n-- {
			weights = append(weights, class.weight)
			sum += class.weight
		}
	}
	// The heaviest come first, so what a full group cannot take always has room in
	// those after it.
	for i, weight := range weights {
		sizes[i] = min(g.spec.Users, total*weight/sum)
		total -= sizes[i]
		sum -= weight
	}
	g.rnd.Shuffle(len(sizes), func(a, b int) { sizes[a], sizes[b] = sizes[b], sizes[a] })
}

// sample picks n of the org's users, in id order.
func (g *generator) sample(n int) []*user {
	users := g.org.users
	if n >= len(users) {
		return slices.Clone(users)
	}
	picked := make([]*user, 0, n)
	if n > len(users)/16 {
		// Selection sampling: one pass, in order.
		for i, need := 0, n; need > 0; i++ {
			if g.rnd.IntN(len(users)-i) < need {
				picked = append(picked, users[i])
				need--
			}
		}
		return picked
	}
	seen := make(map[int]struct{}, n)
	indexes := make([]int, 0, n)
	for len(indexes) < n {
		i := g.rnd.IntN(len(users))
		if _, twice := seen[i]; !twice {
			seen[i] = struct{}{}
			indexes = append(indexes, i)
		}
	}
	slices.Sort(indexes)
	for _, i := range indexes {
		picked = append(picked, users[i])
	}
	return picked
}
