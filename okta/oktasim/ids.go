package oktasim

import (
	"math/rand/v2"
	"strings"
)

// Prefixes of Okta's ids (facts.md §8).
const (
	prefixUser   = "00u"
	prefixGroup  = "00g"
	prefixApp    = "0oa"
	prefixType   = "oty"
	prefixSchema = "osc"
	prefixRealm  = "guo"
)

const (
	base62    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	idLength  = 20
	idCounter = 9 // characters of the counter part, right after the prefix
	idRandom  = 5
	orgSuffix = "1d7" // every id of an org ends alike
	// firstCount makes the first generated id start with a letter, as Okta's do.
	firstCount = uint64(46) * 62 * 62 * 62 * 62 * 62 * 62 * 62 * 62
)

// minter makes ids of 20 characters that increase per prefix in byte order, as
// Okta's roughly do: a new object sorts after all older ones.
type minter struct {
	last map[string]uint64
	rnd  *rand.Rand
}

func newMinter(seed uint64) *minter {
	return &minter{last: map[string]uint64{}, rnd: rand.New(rand.NewPCG(seed, 0x0147a))} // #nosec G404 -- ids of a simulator
}

// note tells the minter of an id that exists, so that the next one is greater.
func (m *minter) note(id string) {
	if len(id) != idLength {
		return
	}
	var n uint64
	for _, c := range []byte(id[3 : 3+idCounter]) {
		d := strings.IndexByte(base62, c)
		if d < 0 {
			return
		}
		n = n*62 + uint64(d) // #nosec G115 -- d is 0 to 61
	}
	m.last[id[:3]] = max(m.last[id[:3]], n)
}

func (m *minter) mint(prefix string) string {
	n, ok := m.last[prefix]
	if !ok {
		n = firstCount
	}
	n += 1 + m.rnd.Uint64N(62*62*62)
	m.last[prefix] = n

	id := make([]byte, idLength)
	copy(id, prefix)
	for i := 3 + idCounter - 1; i >= 3; i-- {
		id[i] = base62[n%62]
		n /= 62
	}
	for i := 3 + idCounter; i < 3+idCounter+idRandom; i++ {
		id[i] = base62[m.rnd.IntN(62)]
	}
	copy(id[idLength-len(orgSuffix):], orgSuffix)
	return string(id)
}
