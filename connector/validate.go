package connector

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	identifier  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	// secretRef says what package secrets accepts; a test holds the two together.
	secretRef    = regexp.MustCompile(`^secret://[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$`)
	dotSegment   = regexp.MustCompile(`/\.{1,2}(/|$)`)
	queuePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@/-]*$`)
	// tokenShape is that of Okta's API tokens, which belong into no definition.
	tokenShape = regexp.MustCompile(`^(secret://(.*/)?)?00[A-Za-z0-9_-]{40}(/.*)?$`)
)

// maxSecretRef is the longest reference, in bytes.
const maxSecretRef = 200

// Validate checks the rules that hold for a definition however it was made.
// [Parse] and [FromParts] have done so. It returns a [*ValidationError].
func (d *Definition) Validate() error {
	var ps problems
	d.check(&ps)
	return ps.err(d.Name)
}

// CheckMesh returns a [*ValidationError] when the definition does not go with the mesh:
// a worker on another queue is one on another machine, so the mesh must be one that
// several machines share.
func (d *Definition) CheckMesh(shared bool) error {
	var ps problems
	if d.Config.TaskQueue != "" && !shared {
		ps.add("ConfigJson.TaskQueue", "routes the connector to the worker of another machine, which cannot open a mesh that is an SQLite file: "+
			"move the mesh to PostgreSQL (docs/postgresql.md), or leave TaskQueue out; on one host, IDENTITYMESH_TASK_QUEUE names the queue of the worker and the starter")
	}
	return ps.err(d.Name)
}

func (d *Definition) check(ps *problems) {
	if !ps.has("Name") && !namePattern.MatchString(d.Name) {
		ps.add("Name", "must be 1 to 63 letters (a-z, A-Z), digits, dots, underscores and dashes, "+
			"and begin with a letter or digit; %s is not", quote(d.Name))
	}
	if !ps.has("Name") && tokenShape.MatchString(d.Name) {
		ps.add("Name", "looks like an API token; name the connector after the org, such as contoso. %s", tokenSecret.leaked)
	}
	if !ps.has("Type") && d.Type != TypeOkta {
		ps.add("Type", "must be %q, not %s", TypeOkta, quote(d.Type))
	}
	d.Config.check(ps)
	d.checkAuth(ps)
}

func (c *Config) check(ps *problems) {
	const path = "ConfigJson."
	loopback := false
	if field := path + "OrgDomain"; !ps.has(field) {
		var message string
		if loopback, message = checkDomain(c.OrgDomain); message != "" {
			ps.add(field, "%s", message)
		}
	}
	if field := path + "UserSearchFilter"; c.UserSearchFilter != nil && !ps.has(field) {
		if message := checkFilter(*c.UserSearchFilter); message != "" {
			ps.add(field, "%s", message)
		}
	}
	if field := path + "PageSize"; !ps.has(field) && (c.PageSize < MinPageSize || c.PageSize > MaxPageSize) {
		ps.add(field, "must be from %d to %d, not %d", MinPageSize, MaxPageSize, c.PageSize)
	}
	if !c.ImportUsers && !c.ImportGroups && !c.ImportMemberships && !ps.has(path+"ImportUsers") {
		ps.add(path+"ImportUsers", "is false, as are ImportGroups and ImportMemberships: "+
			"nothing would be imported; set at least one of the three to true")
	}
	if field := path + "ExternalIdAttribute"; !ps.has(field) &&
		c.ExternalIDAttribute != ExternalIDIsID && c.ExternalIDAttribute != ExternalIDIsLogin {
		ps.add(field, "must be %q or %q, not %s", ExternalIDIsID, ExternalIDIsLogin, quote(c.ExternalIDAttribute))
	}
	c.checkDelta(ps)
	c.checkGroupFilter(ps)
	c.checkGuards(ps)
	c.checkPace(ps)
	if field := path + "InsecureLoopback"; c.InsecureLoopback && !loopback &&
		!ps.has(field) && !ps.has(path+"OrgDomain") {
		ps.add(field, "may be true only when OrgDomain is a loopback address (localhost, 127.0.0.1, [::1]): "+
			"the API token must not travel unencrypted; set it to false")
	}
	c.checkIgnored(ps)
	c.checkQueue(ps)
}

func (c *Config) checkDelta(ps *problems) {
	if field := "ConfigJson.WatermarkOverlap"; !ps.has(field) {
		switch overlap := c.WatermarkOverlap; {
		case overlap.Duration < 0:
			ps.add(field, "must not be negative, which %s is: a delta would begin after the watermark and lose changes", overlap)
		case overlap.Duration > MaxWatermarkOverlap:
			ps.add(field, "must be at most %s, not %s: every delta reads that much again", Duration{MaxWatermarkOverlap}, overlap)
		}
	}
	if field := "ConfigJson.MembershipRefresh"; !ps.has(field) &&
		c.MembershipRefresh != MembershipRefreshChanged && c.MembershipRefresh != MembershipRefreshAll {
		ps.add(field, "must be %q or %q, not %s", MembershipRefreshChanged, MembershipRefreshAll, quote(c.MembershipRefresh))
	}
}

func (c *Config) checkGuards(ps *problems) {
	if field := "ConfigJson.MaxDeletePercent"; !ps.has(field) && (c.MaxDeletePercent < 0 || c.MaxDeletePercent > 100) {
		ps.add(field, "must be from 0 to 100, not %d", c.MaxDeletePercent)
	}
	if field := "ConfigJson.MaxDeletes"; c.MaxDeletes != nil && *c.MaxDeletes < 0 && !ps.has(field) {
		ps.add(field, "must be 0 or more, not %d; use null for no limit", *c.MaxDeletes)
	}
	if field := "ConfigJson.HoldTimeLimit"; !ps.has(field) &&
		(c.HoldTimeLimit.Duration < MinHoldTimeLimit || c.HoldTimeLimit.Duration > MaxHoldTimeLimit) {
		ps.add(field, "must be from %s to %s, not %s", Duration{MinHoldTimeLimit}, Duration{MaxHoldTimeLimit}, c.HoldTimeLimit)
	}
}

func (c *Config) checkPace(ps *problems) {
	if field := "ConfigJson.RateLimitReserve"; !ps.has(field) && (c.RateLimitReserve < 0 || c.RateLimitReserve > MaxRateLimitReserve) {
		ps.add(field, "must be from 0 to %d percent, not %d", MaxRateLimitReserve, c.RateLimitReserve)
	}
	if field := "ConfigJson.MaxInFlight"; !ps.has(field) && (c.MaxInFlight < 1 || c.MaxInFlight > MaxMaxInFlight) {
		ps.add(field, "must be from 1 to %d, as many calls as Okta takes at one time, not %d", MaxMaxInFlight, c.MaxInFlight)
	}
}

// checkQueue leaves Temporal's own queues (/_sys/…, temporal-sys-…) alone. A name is the
// same text in the shell, in an environment variable and in an address of the Web UI.
func (c *Config) checkQueue(ps *problems) {
	field := "ConfigJson.TaskQueue"
	switch name := c.TaskQueue; {
	case name == "" || ps.has(field):
	case tokenShape.MatchString(name):
		ps.add(field, "looks like an API token; name the queue after the worker's network, such as okta-relay-emea. %s", tokenSecret.leaked)
	case len(name) > MaxTaskQueue:
		ps.add(field, "must be at most %d characters, not %d", MaxTaskQueue, len(name))
	case !queuePattern.MatchString(name):
		ps.add(field, "must be letters (a-z, A-Z), digits and . _ : @ / -, and begin with a letter or digit; %s is not", quote(name))
	case strings.HasPrefix(name, "temporal-sys-"):
		ps.add(field, "must not begin with temporal-sys-, as the queues of Temporal itself do")
	}
}

func (c *Config) checkIgnored(ps *problems) {
	const field = "ConfigJson.IgnoreForChanges"
	if ps.has(field) {
		return
	}
	for i, name := range c.IgnoreForChanges {
		switch {
		case !identifier.MatchString(name):
			ps.add(field, "entry %d must be the name of a mesh attribute, such as \"lastLogin\"; %s is none", i+1, quote(name))
		case slices.Contains(c.IgnoreForChanges[:i], name):
			ps.add(field, "names %s more than once", quote(name))
		}
	}
}

// checkFilter refuses what Okta would refuse anyway and, because the import also
// asks "(filter) and id eq …", a filter that would break out of the parentheses.
// It leaves the grammar to Okta.
func checkFilter(f string) string {
	if strings.TrimSpace(f) == "" {
		return "is empty; use null to import all users"
	}
	if strings.ContainsFunc(f, unicode.IsControl) {
		return "holds a line break or another control character; write the expression on one line"
	}
	depth, quoted := 0, false
	for i := 0; i < len(f); i++ {
		switch c := f[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\\':
			return "has a backslash outside of quotes, where it means nothing"
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return "closes a parenthesis that it did not open"
			}
		}
	}
	switch {
	case quoted:
		return "has a quote that is not closed"
	case depth > 0:
		return "has a parenthesis that is not closed"
	}
	return ""
}
