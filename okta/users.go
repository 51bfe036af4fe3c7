package okta

import (
	"context"
	"encoding/json"
	"net/url"
)

// User is an Okta user as it was sent (facts.md §8), without credentials and
// links. The stamps are Okta's text, nil for null or absent.
type User struct {
	ID                    string  `json:"id"`
	Status                string  `json:"status"`
	TransitioningToStatus string  `json:"transitioningToStatus"` // "" unless in transition
	Created               *string `json:"created"`
	Activated             *string `json:"activated"`
	StatusChanged         *string `json:"statusChanged"`
	LastLogin             *string `json:"lastLogin"`
	LastUpdated           *string `json:"lastUpdated"`
	PasswordChanged       *string `json:"passwordChanged"`
	// Type is the user type object as sent, nil for null or absent.
	Type    json.RawMessage `json:"type"`
	RealmID string          `json:"realmId"`
	// Profile holds every attribute, custom ones too. Numbers are json.Number, null
	// is nil. It is not nil in a user that this package returns.
	Profile map[string]any `json:"profile"`
}

// ListUsers selects users. The zero value is the plain list, which omits
// DEPROVISIONED users; Search and Filter include them (facts.md §1).
type ListUsers struct {
	Limit  int    // rows per page, 1 to 200; 0 means Okta's default
	Search string // an expression of the search grammar; eventually consistent
	Filter string // an expression of the filter grammar
	// SortBy names a property and SortOrder is "asc" (Okta's default) or "desc". Both
	// count with Search only; ties are ordered by id (facts.md §1).
	SortBy    string
	SortOrder string
}

var (
	usersEndpoint = endpoint{template: "/api/v1/users", bucket: "/api/v1/users", list: true, users: true}
	userEndpoint  = endpoint{template: "/api/v1/users/{id}", bucket: "/api/v1/users/{id}", users: true}
)

// ListUsers reads one page of users: the first when next is "", else the page of
// an earlier [Page.Next]. The options count only for the first page.
func (c *Client) ListUsers(ctx context.Context, o ListUsers, next string) ([]User, *Page, error) {
	q := url.Values{}
	setLimit(q, o.Limit)
	if o.Search != "" {
		q.Set("search", o.Search)
	}
	if o.Filter != "" {
		q.Set("filter", o.Filter)
	}
	if o.SortBy != "" {
		q.Set("sortBy", o.SortBy)
	}
	if o.SortOrder != "" {
		q.Set("sortOrder", o.SortOrder)
	}
	r := request{endpoint: usersEndpoint, path: "/api/v1/users", query: q, next: next}
	return list(ctx, c, r, userKind)
}

// GetUser reads one user by id. An unknown id is an [Error] of Kind Gone. It is
// the read to trust about one user: lists may lag behind it.
func (c *Client) GetUser(ctx context.Context, id string) (*User, *Page, error) {
	r := request{endpoint: userEndpoint, id: id, path: "/api/v1/users/" + url.PathEscape(id)}
	return single(ctx, c, r, userKind)
}

var userKind = kind[User]{readUser, checkUser}

func readUser(w *wire, u *User) error {
	stamps := new([6]string) // one piece of memory for the six
	_, err := w.object("", func(name []byte) error {
		switch string(name) {
		case "id":
			return w.str("id", &u.ID)
		case "status":
			return w.str("status", &u.Status)
		case "transitioningToStatus":
			return w.str("transitioningToStatus", &u.TransitioningToStatus)
		case "created":
			return w.pointer("created", &stamps[0], &u.Created)
		case "activated":
			return w.pointer("activated", &stamps[1], &u.Activated)
		case "statusChanged":
			return w.pointer("statusChanged", &stamps[2], &u.StatusChanged)
		case "lastLogin":
			return w.pointer("lastLogin", &stamps[3], &u.LastLogin)
		case "lastUpdated":
			return w.pointer("lastUpdated", &stamps[4], &u.LastUpdated)
		case "passwordChanged":
			return w.pointer("passwordChanged", &stamps[5], &u.PasswordChanged)
		case "type":
			return w.raw("type", &u.Type)
		case "realmId":
			return w.str("realmId", &u.RealmID)
		case "profile":
			return w.attributes("profile", &u.Profile)
		}
		return w.skip()
	})
	return err
}

// checkUser says what a user lacks, "" for nothing.
func checkUser(u *User) (id, problem string) {
	if problem := idProblem(u.ID); problem != "" {
		return "", problem
	}
	if u.Profile == nil {
		return u.ID, "has no profile object"
	}
	return u.ID, ""
}
