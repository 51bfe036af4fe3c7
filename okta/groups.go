package okta

import (
	"context"
	"net/url"
)

// Group is an Okta group as it was sent (facts.md §9), without links. The stamps
// are Okta's text, nil for null or absent.
type Group struct {
	ID                    string   `json:"id"`
	Type                  string   `json:"type"` // OKTA_GROUP, APP_GROUP or BUILT_IN
	Created               *string  `json:"created"`
	LastUpdated           *string  `json:"lastUpdated"`
	LastMembershipUpdated *string  `json:"lastMembershipUpdated"`
	ObjectClass           []string `json:"objectClass"`
	// Source is the app that an APP_GROUP comes from, nil for others.
	Source *GroupSource `json:"source"`
	// Profile holds every attribute, custom ones too. Numbers are json.Number, null
	// is nil. It is not nil in a group that this package returns.
	Profile map[string]any `json:"profile"`
}

// GroupSource names the app of an APP_GROUP.
type GroupSource struct {
	ID string `json:"id"`
}

// Member is what a member list tells of a user. DEPROVISIONED users are listed too
// (facts.md §3).
type Member struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// ListGroups selects groups. The zero value lists all.
type ListGroups struct {
	Limit int // rows per page, at most 200 recommended; 0 means Okta's default, 10,000
	// Filter is an expression such as [GroupsSince] makes (facts.md §2).
	Filter string
}

// Member lists share the bucket of the group list, not that of one group (facts.md §5).
var (
	groupsEndpoint  = endpoint{template: "/api/v1/groups", bucket: "/api/v1/groups", list: true}
	membersEndpoint = endpoint{template: "/api/v1/groups/{id}/users", bucket: "/api/v1/groups", list: true, users: true}
	groupEndpoint   = endpoint{template: "/api/v1/groups/{id}", bucket: "/api/v1/groups/{id}"}
)

// ListGroups reads one page of groups: the first when next is "", else the page
// of an earlier [Page.Next]. The options count only for the first page.
func (c *Client) ListGroups(ctx context.Context, o ListGroups, next string) ([]Group, *Page, error) {
	q := url.Values{}
	setLimit(q, o.Limit)
	if o.Filter != "" {
		q.Set("filter", o.Filter)
	}
	r := request{endpoint: groupsEndpoint, path: "/api/v1/groups", query: q, next: next}
	return list(ctx, c, r, groupKind)
}

// ListGroupMembers reads one page of a group's members: the first when next is "",
// else the page of an earlier [Page.Next]. limit is 1 to 1,000, 0 for Okta's
// default, 1,000; it counts only for the first page. A group that no longer exists
// is an [Error] of Kind Gone.
func (c *Client) ListGroupMembers(ctx context.Context, groupID string, limit int, next string) ([]Member, *Page, error) {
	q := url.Values{}
	setLimit(q, limit)
	r := request{
		endpoint: membersEndpoint, id: groupID, query: q, next: next,
		path: "/api/v1/groups/" + url.PathEscape(groupID) + "/users",
	}
	return list(ctx, c, r, memberKind)
}

// GetGroup reads one group by id. An unknown id is an [Error] of Kind Gone.
func (c *Client) GetGroup(ctx context.Context, id string) (*Group, *Page, error) {
	r := request{endpoint: groupEndpoint, id: id, path: "/api/v1/groups/" + url.PathEscape(id)}
	return single(ctx, c, r, groupKind)
}

var (
	groupKind  = kind[Group]{readGroup, checkGroup}
	memberKind = kind[Member]{readMember, checkMember}
)

func readGroup(w *wire, g *Group) error {
	stamps := new([3]string) // one piece of memory for the three
	_, err := w.object("", func(name []byte) error {
		switch string(name) {
		case "id":
			return w.str("id", &g.ID)
		case "type":
			return w.str("type", &g.Type)
		case "created":
			return w.pointer("created", &stamps[0], &g.Created)
		case "lastUpdated":
			return w.pointer("lastUpdated", &stamps[1], &g.LastUpdated)
		case "lastMembershipUpdated":
			return w.pointer("lastMembershipUpdated", &stamps[2], &g.LastMembershipUpdated)
		case "objectClass":
			return w.texts("objectClass", &g.ObjectClass)
		case "source":
			return readSource(w, &g.Source)
		case "profile":
			return w.attributes("profile", &g.Profile)
		}
		return w.skip()
	})
	return err
}

func readSource(w *wire, into **GroupSource) error {
	w.once("source")
	source := new(GroupSource)
	found, err := w.object("source", func(name []byte) error {
		if string(name) == "id" {
			return w.str("source.id", &source.ID)
		}
		return w.skip()
	})
	if found {
		*into = source
	}
	return err
}

// readMember leaves out what takes 95 % of a member list: the whole users.
func readMember(w *wire, m *Member) error {
	_, err := w.object("", func(name []byte) error {
		switch string(name) {
		case "id":
			return w.str("id", &m.ID)
		case "status":
			return w.str("status", &m.Status)
		}
		return w.skip()
	})
	return err
}

// checkGroup says what a group lacks, "" for nothing.
func checkGroup(g *Group) (id, problem string) {
	if problem := idProblem(g.ID); problem != "" {
		return "", problem
	}
	if g.Profile == nil {
		return g.ID, "has no profile object"
	}
	return g.ID, ""
}

func checkMember(m *Member) (id, problem string) {
	if problem := idProblem(m.ID); problem != "" {
		return "", problem
	}
	if m.Status == "" { // it decides whether he is a member: DEPROVISIONED ones are none
		return m.ID, "has no status"
	}
	return m.ID, ""
}
