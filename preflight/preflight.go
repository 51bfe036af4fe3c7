// Package preflight looks, before an import does, at all that an import needs: the mesh
// database, the definition, the secret, the way to Okta, what Okta lets the credential
// read, the filters and the rate limits. Each [Step] says what was found and what to do.
//
// It meets Okta, the mesh and the secrets as package activities does, but outside of
// Temporal: it takes no lease, writes nothing, and makes at most [MaxCalls] calls to Okta,
// with the client of an import and under the same RateLimitReserve (docs/adr/0012).
//
// What it finds is true of the process that runs it. A worker on another machine has
// another network, another environment and perhaps another key file.
package preflight

import (
	"fmt"
	"slices"
	"strings"
)

// Result is how a step ended.
type Result string

// The results, the better first.
const (
	OK      Result = "ok"
	Skipped Result = "skipped" // a step before it failed, or nobody asked for it
	Warning Result = "warning" // a run works, but somebody should look
	Failed  Result = "failed"  // a run does not work
)

// ID names a step for scripts. It does not change between releases.
type ID string

// The steps of this package. Others may be added to a [Report].
const (
	Database   ID = "database"
	Connector  ID = "connector"
	Watermark  ID = "watermark"
	Lease      ID = "lease"
	Secret     ID = "secret"
	SecretAge  ID = "secret-age"
	SecretUse  ID = "secret-use"
	Proxy      ID = "proxy"
	DNS        ID = "dns"
	TCP        ID = "tcp"
	TLS        ID = "tls"
	IsOkta     ID = "okta"
	Clock      ID = "clock"
	Credential ID = "credential"
	Scopes     ID = "scopes" // of a service app
	ListUsers  ID = "list-users"
	SearchIDs  ID = "search-by-id"
	GetUser    ID = "get-user"
	UserFilter ID = "user-filter"
	ListGroups ID = "list-groups"
	GetGroup   ID = "get-group"
	Members    ID = "list-members"
	GroupScope ID = "group-filter"
	Everyone   ID = "everyone"
	RateLimit  ID = "rate-limit" // one step for each bucket
	FullImport ID = "full-import"
)

// Step is one thing that was looked at.
type Step struct {
	ID     ID     `json:"id"`
	Name   string `json:"name"` // for people
	Result Result `json:"result"`
	// Found is what was found; of a skipped step, why. It holds no secret and nobody's data.
	Found string `json:"found"`
	// Advice is what to do about it, "" when there is nothing to do.
	Advice string `json:"advice,omitempty"`
}

// Report is what a check found, in the order in which it looked.
type Report struct {
	Connector string `json:"connector"`
	Org       string `json:"org"` // its base URL, "" when the definition is not known
	// TaskQueue is the one that the definition names, "" when it names none.
	TaskQueue string `json:"taskQueue,omitempty"`
	// Result is the worst of the steps, skipped ones aside.
	Result Result `json:"result"`
	// Calls is how many calls were made to Okta.
	Calls int    `json:"calls"`
	Steps []Step `json:"steps"`
}

// Add appends steps.
func (r *Report) Add(steps ...Step) {
	r.Steps = append(r.Steps, steps...)
	r.Result = OK
	for _, want := range []Result{Warning, Failed} {
		if r.Count(want) > 0 {
			r.Result = want
		}
	}
}

// Count returns how many steps ended so.
func (r *Report) Count(result Result) int {
	n := 0
	for _, s := range r.Steps {
		if s.Result == result {
			n++
		}
	}
	return n
}

// Step returns the first step of that name, nil when there is none.
func (r *Report) Step(id ID) *Step {
	i := slices.IndexFunc(r.Steps, func(s Step) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return &r.Steps[i]
}

// names are the steps for people.
var names = map[ID]string{ //nolint:gosec // labels of steps, no credentials
	Database: "Database", Connector: "Definition", Watermark: "Watermark", Lease: "Runs",
	Secret: "Secret", SecretAge: "Age of the secret", SecretUse: "Use of the token",
	Proxy: "Proxy", DNS: "Host name", TCP: "Connection", TLS: "Certificate", IsOkta: "Okta answers", Clock: "Clock",
	Credential: "Credential", Scopes: "Scopes", ListUsers: "List users", SearchIDs: "Search users by id", GetUser: "Read a user",
	UserFilter: "UserSearchFilter", ListGroups: "List groups", GetGroup: "Read a group", Members: "List members",
	GroupScope: "GroupFilter", Everyone: "Whole org visible", RateLimit: "Rate limit", FullImport: "A full import",
}

func (c *check) add(id ID, result Result, found, advice string) {
	c.report.Add(Step{ID: id, Name: names[id], Result: result, Found: oneLine(found), Advice: oneLine(advice)})
}

func (c *check) ok(id ID, format string, args ...any) {
	c.add(id, OK, fmt.Sprintf(format, args...), "")
}

func (c *check) warn(id ID, found, advice string) { c.add(id, Warning, found, advice) }

func (c *check) fail(id ID, found, advice string) { c.add(id, Failed, found, advice) }

// skip notes that steps were not taken, because of another one.
func (c *check) skip(because ID, ids ...ID) {
	for _, id := range ids {
		c.add(id, Skipped, "not looked at: "+names[because]+" comes first", "")
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
