package oktasim

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// The names of the faults that [Server.SetFault] knows: what an org has been seen
// or is feared to answer with status 200 although it is not so. They come after
// the counting, the token, the rate limit and [Server.Intercept].
const (
	// FaultRoleLost makes every list answer 200 [], as for a service app that has
	// scopes and no admin role (facts.md §10). Reads by id go on.
	FaultRoleLost = "role-lost"
	// FaultDropRows leaves rows out of a listing's pages: the given IDs, or else a
	// Share of each page. Look-ups still find them.
	FaultDropRows = "drop-rows"
	// FaultPageLies ends a listing early: a page that has a next link loses it.
	FaultPageLies = "page-lies"
	// FaultLookupEmpty makes a look-up, a search or filter with "id eq", answer [].
	FaultLookupEmpty = "lookup-empty"
	// FaultControlMissing leaves the given IDs, or else the first row, out of a look-up.
	FaultControlMissing = "control-missing"
	// FaultForbiddenLookup makes GET of a user or group by id answer 403; IDs limit
	// it to these.
	FaultForbiddenLookup = "forbidden-lookup"
	// FaultStaleSearch makes the index behind search and filter stand still from
	// the moment it is set. Count counts the answers of search and filter.
	FaultStaleSearch = "stale-search"
)

// FaultNames lists every fault.
var FaultNames = []string{FaultRoleLost, FaultDropRows, FaultPageLies, FaultLookupEmpty, FaultControlMissing, FaultForbiddenLookup, FaultStaleSearch}

// defaultShare is the share of rows that drop-rows leaves out unless told.
const defaultShare = 0.5

// Fault is one wrong answer that a [Server] gives. Only Name is needed.
type Fault struct {
	Name  string   `json:"name"`            // one of FaultNames
	Count int      `json:"count,omitempty"` // answers that it spoils; 0: until it is cleared
	Share float64  `json:"share,omitempty"` // of drop-rows: above 0 up to 1, rounded up to whole rows; 0 is a half
	IDs   []string `json:"ids,omitempty"`   // of drop-rows, control-missing and forbidden-lookup
	Path  string   `json:"path,omitempty"`  // only requests to this path, such as /api/v1/users; "" is every one
}

func (f Fault) check() error {
	switch {
	case !slices.Contains(FaultNames, f.Name):
		return fmt.Errorf("oktasim: fault %q is none of %s", f.Name, strings.Join(FaultNames, ", "))
	case f.Count < 0:
		return fmt.Errorf("oktasim: fault %s: the count cannot be negative, it is %d", f.Name, f.Count)
	case f.Share < 0 || f.Share > 1:
		return fmt.Errorf("oktasim: fault %s: the share must be between 0 and 1, it is %g", f.Name, f.Share)
	}
	return nil
}

// faults are the faults that are set, at most one of a name.
type faults struct {
	any atomic.Bool // false spares the lock
	mu  sync.Mutex
	set map[string]Fault
}

// SetFault sets a fault, in place of one of the same name.
func (s *Server) SetFault(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	f.IDs = slices.Clone(f.IDs)
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if s.faults.set == nil {
		s.faults.set = map[string]Fault{}
	}
	s.faults.set[f.Name] = f
	s.faults.any.Store(true)
	if f.Name == FaultStaleSearch {
		s.cfg.Org.freezeIndex(true)
	}
	return nil
}

// ClearFaults clears the named faults, all of them without a name.
func (s *Server) ClearFaults(names ...string) {
	if len(names) == 0 {
		names = FaultNames
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	for _, name := range names {
		s.clear(name)
	}
}

// clear needs s.faults.mu.
func (s *Server) clear(name string) {
	if _, ok := s.faults.set[name]; !ok {
		return
	}
	delete(s.faults.set, name)
	s.faults.any.Store(len(s.faults.set) > 0)
	if name == FaultStaleSearch {
		s.cfg.Org.freezeIndex(false)
	}
}

// Faults returns the faults that are set, by name; Count is what is left of it.
func (s *Server) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	list := make([]Fault, 0, len(s.faults.set))
	for _, f := range s.faults.set {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Fault) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// fault says whether a fault applies to this request and, if spoils wants it,
// spends one of its answers.
func (c *call) fault(name string, spoils func(Fault) bool) {
	s := c.s
	if !s.faults.any.Load() {
		return
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	f, ok := s.faults.set[name]
	if !ok || (f.Path != "" && f.Path != c.r.URL.Path) || !spoils(f) || f.Count == 0 {
		return
	}
	if f.Count--; f.Count == 0 {
		s.clear(name)
		return
	}
	s.faults.set[name] = f
}

// lookupForm finds the property id in an expression, not type.id.
var lookupForm = regexp.MustCompile(`(?i:(?:^|[^\w.])id\s+eq\s)`)

func (c *call) isLookup() bool {
	return lookupForm.MatchString(c.query.Get("search")) || lookupForm.MatchString(c.query.Get("filter"))
}

// spoil applies the faults to a page of a list.
func (c *call) spoil(rows []listRow, next string) ([]listRow, string) {
	if c.blind() {
		return nil, ""
	}
	if !c.s.faults.any.Load() {
		return rows, next
	}
	c.fault(FaultRoleLost, func(Fault) bool {
		rows, next = nil, ""
		return true
	})
	if c.query.Get("search") != "" || c.query.Get("filter") != "" {
		c.fault(FaultStaleSearch, func(Fault) bool { return true })
	}
	if c.isLookup() {
		c.fault(FaultLookupEmpty, func(Fault) bool {
			rows, next = nil, ""
			return true
		})
		c.fault(FaultControlMissing, func(f Fault) bool {
			ids := f.IDs
			if len(ids) == 0 && len(rows) > 0 {
				ids = []string{rows[0].id}
			}
			left := withoutIDs(rows, ids)
			spoilt := len(left) < len(rows)
			rows = left
			return spoilt
		})
		return rows, next
	}
	c.fault(FaultDropRows, func(f Fault) bool {
		ids := f.IDs
		if len(ids) == 0 {
			ids = someIDs(rows, cmp.Or(f.Share, defaultShare))
		}
		left := withoutIDs(rows, ids)
		spoilt := len(left) < len(rows)
		rows = left
		return spoilt
	})
	c.fault(FaultPageLies, func(Fault) bool {
		spoilt := next != ""
		next = ""
		return spoilt
	})
	return rows, next
}

// forbidden is the answer of a read by id that a fault refuses, nil for none.
func (c *call) forbidden() (err error) {
	c.fault(FaultForbiddenLookup, func(f Fault) bool {
		if len(f.IDs) > 0 && !slices.Contains(f.IDs, c.ids[0]) {
			return false
		}
		err = &Error{http.StatusForbidden, "E0000006", "You do not have permission to perform the requested action", nil}
		return true
	})
	return err
}

func withoutIDs(rows []listRow, ids []string) []listRow {
	return slices.DeleteFunc(slices.Clone(rows), func(r listRow) bool { return slices.Contains(ids, r.id) })
}

// someIDs picks a share of the rows, by their ids alone: the same rows are
// missing when a page is read again.
func someIDs(rows []listRow, share float64) []string {
	hash := func(id string) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(id))
		return h.Sum64()
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.id
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(hash(a), hash(b)) })
	return ids[:int(math.Ceil(share*float64(len(ids))))]
}
