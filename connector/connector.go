// Package connector reads and checks the definition of an Okta connector: the
// JSON of the runbook, Step 3.
//
// [Parse] reads a definition file, [FromParts] the columns in which the mesh keeps
// it. Both are strict: a field that is unknown, written in another case, given
// twice or of the wrong type is refused, and every problem is reported at once in
// a [*ValidationError]. No message repeats a value of AuthJson, because somebody
// may have pasted the token there.
package connector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// TypeOkta is the only connector type of this release.
const TypeOkta = "Okta"

// The values of [Config.ExternalIDAttribute].
const (
	ExternalIDIsID    = "id"    // Okta's immutable object id (recommended)
	ExternalIDIsLogin = "login" // the sign-in name of users, which can change
)

// The values of [Config.MembershipRefresh].
const (
	MembershipRefreshChanged = "changed" // a delta reads the members of changed groups
	MembershipRefreshAll     = "all"     // a delta reads the members of every group
)

// Limits and defaults of a definition.
const (
	DefaultPageSize = 200 // rows per page of users and groups
	MinPageSize     = 1
	MaxPageSize     = 200 // Okta's cap for users and its advice for groups (facts.md §1, §2)

	// DefaultWatermarkOverlap covers what Okta's index shows late (facts.md §1).
	DefaultWatermarkOverlap = 5 * time.Minute
	MaxWatermarkOverlap     = 24 * time.Hour

	DefaultMaxDeletePercent = 10

	DefaultHoldTimeLimit = 72 * time.Hour
	MinHoldTimeLimit     = time.Minute
	MaxHoldTimeLimit     = 8760 * time.Hour // a year

	DefaultRateLimitReserve = 10 // percent
	MaxRateLimitReserve     = 90

	DefaultMaxInFlight = 10
	MaxMaxInFlight     = 75 // as many as Okta takes at one time (facts.md §5)

	MaxTaskQueue = 200 // bytes of a task queue's name; Temporal takes up to 1,000
)

// Definition is one connector: the runbook's two JSON documents under a name.
// The zero value is not valid; start from [Template] or [Parse].
type Definition struct {
	// Name identifies the connector in commands, workflow ids and the mesh: 1 to 63
	// letters, digits, dots, underscores and dashes, the first a letter or digit.
	Name string `json:"Name"`
	// Type is [TypeOkta].
	Type   string `json:"Type"`
	Config Config `json:"ConfigJson"`
	Auth   Auth   `json:"AuthJson"`
}

// Config is ConfigJson (runbook, Step 3). [Parse] fills in the defaults; a Config
// made by hand has none.
type Config struct {
	// OrgDomain is the org's host name or IP address without a scheme, with a port
	// where it is not the default one.
	OrgDomain string `json:"OrgDomain"`
	// UserSearchFilter is an Okta search expression that narrows the users; nil: all.
	UserSearchFilter *string `json:"UserSearchFilter"`
	// PageSize is the number of rows per page of users and groups, 1 to 200.
	PageSize int `json:"PageSize"`
	// ImportUsers, ImportGroups and ImportMemberships switch the passes; at least one
	// is on.
	ImportUsers       bool `json:"ImportUsers"`
	ImportGroups      bool `json:"ImportGroups"`
	ImportMemberships bool `json:"ImportMemberships"`
	// ExternalIDAttribute is [ExternalIDIsID] or [ExternalIDIsLogin]. Groups always
	// use the id.
	ExternalIDAttribute string `json:"ExternalIdAttribute"`
	// WatermarkOverlap is how far before its watermark a delta begins to read, because
	// Okta's stamps are whole seconds and its lists lag: 0 to [MaxWatermarkOverlap].
	WatermarkOverlap Duration `json:"WatermarkOverlap"`
	// MembershipRefresh is [MembershipRefreshChanged] or [MembershipRefreshAll].
	MembershipRefresh string `json:"MembershipRefresh"`
	// GroupFilter narrows the groups; nil: all.
	GroupFilter *GroupFilter `json:"GroupFilter"`
	// MaxDeletePercent is the share of a type's live objects, 0 to 100, that may be
	// deleted in 24 hours; more, and more than 10 of them, is held for an operator.
	MaxDeletePercent int `json:"MaxDeletePercent"`
	// MaxDeletes is the number of deletes of a type in 24 hours above which they are
	// held; nil: no such limit.
	MaxDeletes *int `json:"MaxDeletes"`
	// HoldTimeLimit is how long held deletes wait for an operator before they are
	// dropped, [MinHoldTimeLimit] to [MaxHoldTimeLimit].
	HoldTimeLimit Duration `json:"HoldTimeLimit"`
	// RateLimitReserve is how many percent of each of Okta's rate limits a run leaves to
	// the org's other clients, 0 to [MaxRateLimitReserve].
	RateLimitReserve int `json:"RateLimitReserve"`
	// MaxInFlight is how many calls to Okta a run has open at one time, 1 to
	// [MaxMaxInFlight].
	MaxInFlight int `json:"MaxInFlight"`
	// InsecureLoopback allows plain http, for a simulator, and only when the host of
	// OrgDomain is a loopback address.
	InsecureLoopback bool `json:"InsecureLoopback"`
	// IgnoreForChanges names mesh attributes whose change alone makes no Update,
	// such as lastLogin. See [Config.CheckAttributes].
	IgnoreForChanges []string `json:"IgnoreForChanges"`
	// TaskQueue is the Temporal task queue on which alone the connector is imported: that
	// of a worker in the org's network (the runbook's relay agent). "" is the one that the
	// worker and the starter have in common. It is left out where it is empty, so that the
	// definitions of earlier releases keep their digest.
	TaskQueue string `json:"TaskQueue,omitempty"`
}

// DefaultConfig returns the runbook's defaults, and those of the fields that the
// runbook does not have. OrgDomain has none.
func DefaultConfig() Config {
	return Config{
		PageSize:            DefaultPageSize,
		ImportUsers:         true,
		ImportGroups:        true,
		ImportMemberships:   true,
		ExternalIDAttribute: ExternalIDIsID,
		WatermarkOverlap:    Duration{DefaultWatermarkOverlap},
		MembershipRefresh:   MembershipRefreshChanged,
		MaxDeletePercent:    DefaultMaxDeletePercent,
		HoldTimeLimit:       Duration{DefaultHoldTimeLimit},
		RateLimitReserve:    DefaultRateLimitReserve,
		MaxInFlight:         DefaultMaxInFlight,
		IgnoreForChanges:    []string{},
	}
}

// Template returns the definition that `starter connector init` prints: the
// defaults, for the org at domain, with the token stored under ref. It is not
// validated.
func Template(name, domain, ref string) Definition {
	config := DefaultConfig()
	config.OrgDomain = domain
	return Definition{
		Name:   name,
		Type:   TypeOkta,
		Config: config,
		Auth:   Auth{Mode: ModeAPIKey, APIKey: ref},
	}
}

// OAuthTemplate is [Template] for a service app whose private key is stored under ref.
func OAuthTemplate(name, domain, clientID, ref string) Definition {
	d := Template(name, domain, "")
	d.Auth = Auth{Mode: ModeOAuth, ClientID: clientID, PrivateKey: ref}
	return d
}

// BaseURL returns the origin of the org's API, without a trailing slash:
// https://…, or http://… with InsecureLoopback.
func (c Config) BaseURL() string {
	scheme := "https://"
	if c.InsecureLoopback {
		scheme = "http://"
	}
	return scheme + strings.ToLower(c.OrgDomain)
}

// CheckAttributes returns a [*ValidationError] when IgnoreForChanges names an
// attribute that is not among known, the attributes that the import writes. The
// caller passes them, because this package does not know the mapping.
func (c Config) CheckAttributes(known []string) error {
	var ps problems
	for _, name := range c.IgnoreForChanges {
		if slices.Contains(known, name) {
			continue
		}
		hint := "the attributes are listed in the runbook, \"What gets synced\""
		if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) }); i >= 0 {
			hint = fmt.Sprintf("did you mean %q?", known[i])
		}
		ps.add("ConfigJson.IgnoreForChanges", "%s is no attribute of a user or group; %s", quote(name), hint)
	}
	return ps.err("")
}

// ConfigJSON returns the canonical ConfigJson: every field, in the runbook's
// order, on one line.
func (d *Definition) ConfigJSON() json.RawMessage { return compact(d.Config.canonical()) }

// AuthJSON returns the canonical AuthJson on one line.
func (d *Definition) AuthJSON() json.RawMessage { return compact(d.Auth) }

// JSON returns the definition as a file for people: every field, indented, with a
// final newline. [Parse] reads it back.
func (d *Definition) JSON() []byte {
	c := *d
	c.Config = c.Config.canonical()
	return encode(c, "  ")
}

// canonical makes an empty list [] instead of null, and the host lower-case, so
// that one org has one spelling.
func (c Config) canonical() Config {
	if c.IgnoreForChanges == nil {
		c.IgnoreForChanges = []string{}
	}
	c.OrgDomain = strings.ToLower(c.OrgDomain)
	c.GroupFilter = c.GroupFilter.canonical()
	return c
}

func compact(v any) json.RawMessage { return bytes.TrimRight(encode(v, ""), "\n") }

// encode writes v without HTML escapes: a filter's < and > stay readable.
func encode(v any, indent string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("connector: strings, numbers, booleans and lists of them always marshal: %v", err))
	}
	return b.Bytes()
}
