package mesh

import (
	"context"
	"fmt"
	"math/bits"
)

// A list whose next links never repeat and never end cannot be told from a long one by
// its links, but by its rows: Okta shows each once, but for a few that change meanwhile.
// Where the rows are counted makes it cheap: at pages 128, 256, 512 … of a walk.
const (
	minCountedPages = 128
	// More than this many rows for each object that was shown is no listing.
	rowsPerObject = 2
	// An empty page may be: Okta leaves out what a role may not see. Fewer rows than one
	// for so many pages are no listing either, from page 1024 on.
	pagesPerRow   = 4
	minEmptyPages = 1024
	// maxListed is beyond every org: a list that invents new objects for ever.
	maxListed = 100_000_000
)

// EndlessError says that a walk is shown the same again and again, or nothing, under
// ever new next links.
type EndlessError struct {
	Stream string
	Page   int
	Rows   int // so far
	Shown  int // different objects among them; -1: not counted
}

func (e *EndlessError) Error() string {
	what := fmt.Sprintf("%d rows", e.Rows)
	if e.Shown >= 0 {
		what += fmt.Sprintf(" that show only %d different objects", e.Shown)
	}
	return fmt.Sprintf("the listing does not end: %d pages of %s brought %s, and there is still a next page; nothing was deleted. Look for a proxy that rewrites answers, or give Okta's support the time of the run",
		e.Page, e.Stream, what)
}

// checkEnd returns an [*EndlessError] when a walk that has just recorded p will not end.
// shown counts the different objects that it was shown; nil: nobody knows.
func checkEnd(prog *progress, p Page, shown func() (int, error)) error {
	endless := &EndlessError{Stream: p.Stream, Page: prog.Page, Rows: prog.Seen, Shown: -1}
	switch {
	case p.Done:
		return nil
	case prog.Seen > maxListed, prog.Page >= minEmptyPages && prog.Seen < prog.Page/pagesPerRow:
		return endless
	case shown == nil || prog.Page < minCountedPages || bits.OnesCount(uint(prog.Page)) != 1: // #nosec G115 -- pages count from 1
		return nil
	}
	var err error
	if endless.Shown, err = shown(); err != nil || prog.Seen <= rowsPerObject*endless.Shown {
		return err
	}
	return endless
}

// shownObjects counts the objects that the lists of the run showed: of all its walks,
// which is near enough.
func (t *tx) shownObjects(ctx context.Context) func() (int, error) {
	return func() (shown int, err error) {
		_, err = first(ctx, t, []any{&shown}, `SELECT count(*) FROM im_seen WHERE run_key = ?`, t.run)
		return shown, err
	}
}

// shownMembers counts the members that the pages of a member list showed so far.
func (t *tx) shownMembers(ctx context.Context, stream int64) func() (int, error) {
	return func() (int, error) {
		seen, err := t.seen(ctx, stream)
		if err != nil {
			return 0, err
		}
		return seen.size(), nil
	}
}

func (s *keySet) size() (n int) {
	for _, block := range s.blocks {
		for _, word := range block {
			n += bits.OnesCount64(word)
		}
	}
	return n
}
