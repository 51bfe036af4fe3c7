package okta

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// LookUpBatch is the number of ids to ask for with one [IDs] expression. Encoded, an
// id takes 36 characters of the URL, so 50 take 1.8 kB: with a long filter beside
// them still far from the 8 kB at which servers and proxies refuse a request line.
const LookUpBatch = 50

// stampFormat is how Okta writes its stamps: ISO 8601, UTC, milliseconds.
const stampFormat = "2006-01-02T15:04:05.000Z"

// SearchSince is the search for the users that changed at t or later.
func SearchSince(t time.Time) string { return `lastUpdated ge ` + stampText(t) }

// GroupsSince is the filter for the groups whose profile or members changed at t or
// later. Only "gt" is documented for groups (facts.md §2); as stamps are whole
// seconds, it asks for what is later than the second before t's.
func GroupsSince(t time.Time) string {
	stamp := stampText(t.Truncate(time.Second).Add(-time.Second))
	return `lastUpdated gt ` + stamp + ` or lastMembershipUpdated gt ` + stamp
}

// And is the search for what matches both. filter is an operator's expression,
// passed as written; "" leaves expr alone. Both are put in parentheses, because
// "and" binds closer than an "or" inside them.
func And(filter, expr string) string {
	if filter == "" {
		return expr
	}
	return "(" + filter + ") and (" + expr + ")"
}

// IDs is the search for the objects with these ids, at most [LookUpBatch] of them.
// Without any it matches nothing, where an empty search would list everybody.
func IDs(ids ...string) string {
	if len(ids) == 0 {
		ids = []string{""}
	}
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteString(" or ")
		}
		b.WriteString("id eq " + Quote(id))
	}
	return b.String()
}

// Quote writes a value as a string of Okta's expressions: in quotes, escaped as in
// JSON (RFC 7644 §3.4.2.2).
func Quote(value string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value) // a string always marshals
	return strings.TrimSuffix(b.String(), "\n")
}

func stampText(t time.Time) string { return Quote(t.UTC().Format(stampFormat)) }
