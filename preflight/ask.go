package preflight

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// codeFeature is a 401 that is about a feature or a right, not the token (facts.md §6).
const codeFeature = "E0000015"

// adviceNone is what to do about an empty list.
func (c *check) adviceNone() string {
	if c.oauth() {
		return "a service app without an admin role gets exactly this: assign it Read-Only Administrator in Okta's Admin Console under Applications > Applications > (the app) > Admin roles"
	}
	return "an administrator without a role that reads them gets exactly this: create the token as one with the Read-Only Administrator role"
}

// shown is what the calls showed, for those after them.
type shown struct {
	user     string // a user whom the list shows
	group    string // a group that the list shows
	everyone string // the group Everyone
	member   string // a member of everyone, or else of group
	groups   []okta.Group
	more     bool // the list of groups has another page
}

// ask makes the calls to Okta. The first one finds the way.
func (c *check) ask(ctx context.Context) {
	cfg := &c.def.Config
	var f shown
	if c.oauth() && !c.signIn(ctx) {
		return
	}
	var users []okta.User
	page, sent, answered, err := c.look(ctx, func(ctx context.Context) (page *okta.Page, err error) {
		if cfg.ImportUsers {
			users, page, err = c.client.ListUsers(ctx, okta.ListUsers{Limit: 1}, "")
		} else {
			page, err = c.listGroups(ctx, &f)
		}
		return page, err
	})
	if !c.cameThrough(page, sent, answered, err) {
		return
	}
	if !c.credential(page, err) {
		c.skip(Credential, append(c.rights(), RateLimit, FullImport)...)
		return
	}
	if cfg.ImportUsers {
		c.usersListed(users, err, &f)
		if cfg.ImportGroups || cfg.ImportMemberships {
			_, _, _, err = c.look(ctx, func(ctx context.Context) (*okta.Page, error) { return c.listGroups(ctx, &f) })
		}
	}
	if cfg.ImportGroups || cfg.ImportMemberships {
		c.groups(ctx, err, &f)
	}
	if cfg.ImportUsers {
		c.users(ctx, &f)
	}
	if cfg.GroupFilter != nil {
		c.groupScope(&f)
	}
	c.rates()
	c.fullImport(ctx)
}

// cameThrough notes the way to Okta and who answered there, and whether Okta did.
func (c *check) cameThrough(page *okta.Page, sent, answered time.Time, err error) bool {
	if failed := c.host(page, err); failed != "" {
		c.skip(failed, without(c.oktaSteps(), failed)...)
		return false
	}
	if !c.isOkta(page, err) {
		c.skip(IsOkta, without(c.oktaSteps(), IsOkta)...)
		return false
	}
	c.clock(page, sent, answered)
	c.inFuture()
	return true
}

func without(ids []ID, id ID) []ID {
	return slices.DeleteFunc(slices.Clone(ids), func(i ID) bool { return i == id })
}

// credential says what Okta thinks of it.
func (c *check) credential(page *okta.Page, err error) bool {
	e, failed := errors.AsType[*okta.Error](err)
	if !failed || page.Status != http.StatusUnauthorized || e.Code == codeFeature {
		c.accepted()
		return true
	}
	if c.oauth() {
		c.fail(Credential, message(err), e.Remedy())
		c.granted()
		return false
	}
	advice := e.Remedy()
	if c.use != "" {
		advice = c.use + ". " + advice
	}
	advice = strings.ReplaceAll(advice, "<reference>", c.ref.String()) +
		". Also look whether the token is limited to network zones that this machine is not in"
	c.fail(Credential, message(err), advice)
	return false
}

// accepted notes that Okta accepts the credential.
func (c *check) accepted() {
	if !c.oauth() {
		c.ok(Credential, "Okta accepts the API token")
		return
	}
	bound := "bound to a key by DPoP"
	if c.grant.Scheme != "DPoP" {
		bound = "a bearer token, since the app does not require DPoP"
	}
	c.ok(Credential, "Okta accepts the service app %s; its access token is %s, and lives %s", c.def.Auth.ClientID, bound, seconds(c.grant.Lifetime))
	c.granted()
}

// granted notes the scopes.
func (c *check) granted() {
	c.ok(Scopes, "granted: %s", strings.Join(c.grant.Scopes, ", "))
}

// signIn has a service app sign in. It says whether calls can be made; then the first of
// them tells the rest.
func (c *check) signIn(ctx context.Context) bool {
	sent := c.Now()
	grant, err := c.client.Grant(ctx)
	answered := c.Now()
	if err == nil && len(grant.Missing) == 0 {
		c.grant = grant
		return true
	}
	var page *okta.Page // Grant gives none
	e, failed := errors.AsType[*okta.Error](err)
	if err == nil || failed && e.Status != 0 {
		page = &okta.Page{Status: http.StatusOK}
		if failed {
			page.Status, page.RequestID = e.Status, e.RequestID
		}
		if now, known := c.limits.OrgTime(); known {
			page.Date = now.Truncate(time.Second)
			c.date, c.dated = page.Date, answered
		}
	}
	rest := append(c.rights(), RateLimit, FullImport)
	if err != nil {
		if c.cameThrough(page, sent, answered, err) && c.refused(Credential, err) {
			c.skip(Credential, append([]ID{Scopes}, rest...)...)
		}
		return false
	}
	c.host(page, nil)
	c.ok(IsOkta, "its token endpoint grants a token")
	c.clock(page, sent, answered)
	c.inFuture()
	c.ok(Credential, "Okta accepts the service app %s", c.def.Auth.ClientID)
	c.fail(Scopes, fmt.Sprintf("granted: %s; not granted: %s", orNone(grant.Scopes), strings.Join(grant.Missing, ", ")),
		"grant what is missing to the service app in Okta's Admin Console under Applications > Applications > (the app) > Okta API Scopes")
	c.skip(Scopes, rest...)
	return false
}

func orNone(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// refused notes the error of a call, and says whether there was one.
func (c *check) refused(id ID, err error) bool {
	if err == nil {
		return false
	}
	e, isOkta := errors.AsType[*okta.Error](err)
	limit, limited := errors.AsType[*okta.RateLimitError](err)
	switch {
	case limited:
		c.fail(id, "not known: "+message(err), fmt.Sprintf("check again in %s: the org's other clients use up Okta's rate limit; a run waits", seconds(limit.Wait)))
	case isOkta && e.Kind == okta.RetryLater:
		c.fail(id, message(err), "check again; a run tries again by itself, three times")
	default:
		c.fail(id, message(err), remedy(err))
	}
	return true
}

func (c *check) usersListed(users []okta.User, err error, f *shown) {
	switch {
	case c.refused(ListUsers, err):
	case len(users) == 0:
		c.fail(ListUsers, "Okta lists nobody", c.adviceNone())
	default:
		f.user = users[0].ID
		c.ok(ListUsers, "allowed")
	}
}

// listGroups reads what GroupFilter is tried on, or else one group.
func (c *check) listGroups(ctx context.Context, f *shown) (*okta.Page, error) {
	limit := 1
	if c.def.Config.GroupFilter != nil {
		limit = c.def.Config.PageSize
	}
	groups, page, err := c.client.ListGroups(ctx, okta.ListGroups{Limit: limit}, "")
	if err == nil {
		f.groups, f.more = groups, page.Next != ""
		if len(groups) > 0 {
			f.group = groups[0].ID
		}
	}
	return page, err
}

// groups checks the rights on groups and their members.
func (c *check) groups(ctx context.Context, err error, f *shown) {
	switch {
	case c.refused(ListGroups, err):
	case f.group == "":
		c.fail(ListGroups, "Okta lists no group", c.adviceNone())
	default:
		c.ok(ListGroups, "allowed")
	}
	rest := []ID{GetGroup, Everyone}
	if c.def.Config.ImportMemberships {
		rest = append(rest, Members)
	}
	if f.group == "" {
		c.skip(ListGroups, rest...)
		return
	}
	_, _, _, err = c.look(ctx, func(ctx context.Context) (*okta.Page, error) {
		_, page, err := c.client.GetGroup(ctx, f.group)
		return page, err
	})
	if !c.refused(GetGroup, err) {
		c.ok(GetGroup, "allowed; imports look up a group that a list did not show")
	}
	c.everyone(ctx, f)
	if c.def.Config.ImportMemberships {
		c.members(ctx, f)
	}
}

// everyone looks for the group that Okta hides from group administrators (facts.md §2): the
// one trace of a role that sees but a part of the org.
func (c *check) everyone(ctx context.Context, f *shown) {
	var builtIn []okta.Group
	_, _, _, err := c.look(ctx, func(ctx context.Context) (page *okta.Page, err error) {
		builtIn, page, err = c.client.ListGroups(ctx, okta.ListGroups{Limit: 20, Filter: `type eq "BUILT_IN"`}, "")
		return page, err
	})
	if c.refused(Everyone, err) {
		return
	}
	for _, g := range builtIn {
		if g.Type == "BUILT_IN" && g.Profile["name"] == "Everyone" {
			f.everyone = g.ID
		}
	}
	if f.everyone == "" {
		c.warn(Everyone, "the group Everyone is not shown, so the role most likely sees only a part of the org",
			"Okta hides Everyone from group administrators, and a custom role may be limited to some groups or users: "+
				"what the role does not see is not imported. Use the Read-Only Administrator role, unless a part is what you want")
		return
	}
	c.ok(Everyone, "the group Everyone is shown; a custom role that leaves out some users or groups cannot be told from here")
}

func (c *check) members(ctx context.Context, f *shown) {
	group := f.group
	if f.everyone != "" {
		group = f.everyone
	}
	var members []okta.Member
	_, _, _, err := c.look(ctx, func(ctx context.Context) (page *okta.Page, err error) {
		members, page, err = c.client.ListGroupMembers(ctx, group, 1, "")
		return page, err
	})
	switch {
	case c.refused(Members, err):
	case len(members) > 0:
		f.member = members[0].ID
		c.ok(Members, "allowed")
	case f.everyone != "":
		c.fail(Members, "Okta lists no member of Everyone, to which everybody belongs", c.adviceNone())
	default:
		c.ok(Members, "allowed; the group that was asked has no members")
	}
}

// users checks the look-ups of users and the filter.
func (c *check) users(ctx context.Context, f *shown) {
	ids := []ID{GetUser, SearchIDs}
	if c.def.Config.UserSearchFilter != nil {
		ids = append(ids, UserFilter)
	}
	if f.user == "" {
		c.skip(ListUsers, ids...)
		return
	}
	c.getUser(ctx, f)
	var rows []okta.User
	_, _, _, err := c.look(ctx, func(ctx context.Context) (page *okta.Page, err error) {
		rows, page, err = c.client.ListUsers(ctx, okta.ListUsers{Limit: okta.LookUpBatch, Search: okta.IDs(f.user)}, "")
		return page, err
	})
	switch {
	case c.refused(SearchIDs, err):
	case !slices.ContainsFunc(rows, func(u okta.User) bool { return u.ID == f.user }):
		c.warn(SearchIDs, fmt.Sprintf("search does not show user %s, whom the list shows", f.user),
			"check again in a minute: Okta's index may lag behind. Where it stays so, look-ups cost one call each, and a UserSearchFilter cannot be trusted")
	default:
		c.ok(SearchIDs, "allowed; imports look up many users with one call")
	}
	if c.def.Config.UserSearchFilter != nil {
		c.userFilter(ctx)
	}
}

// getUser reads a member of a group rather than a user of the list: a role that shows
// memberships of people whom it does not show sees only a part.
func (c *check) getUser(ctx context.Context, f *shown) {
	id := f.user
	if f.member != "" {
		id = f.member
	}
	_, _, _, err := c.look(ctx, func(ctx context.Context) (*okta.Page, error) {
		_, page, err := c.client.GetUser(ctx, id)
		return page, err
	})
	e, isOkta := errors.AsType[*okta.Error](err)
	hidden := isOkta && (e.Kind == okta.Gone || e.Status == http.StatusForbidden)
	switch {
	case hidden && f.member != "" && f.member != f.user:
		c.fail(GetUser, message(err), "a member of a group cannot be read, so the role sees only a part of the users, or the user was deleted just now: check again; a run needs a role that reads all users, such as Read-Only Administrator")
	case c.refused(GetUser, err):
	default:
		c.ok(GetUser, "allowed; imports look up a user before they delete him")
	}
}

// inFuture refuses a watermark that Okta's clock has not reached, as a run does.
func (c *check) inFuture() {
	step := c.report.Step(Watermark)
	if step == nil || step.Result != OK || c.date.IsZero() || c.store == nil {
		return
	}
	w, err := mesh.ParseWatermark(c.marks)
	if err != nil {
		return
	}
	for _, m := range []*mesh.Mark{w.Users, w.Groups} {
		if m != nil && m.After(c.date.Add(markTolerance)) {
			step.Result = Failed
			step.Found = fmt.Sprintf("%s lies in the future: Okta's clock says %s", w.String(), c.date.UTC().Format(mesh.WatermarkLayout))
			step.Advice = fmt.Sprintf("correct it with `starter watermark set %s`, or start a Full run, which replaces it", c.Name)
			c.report.Add()
			return
		}
	}
}
