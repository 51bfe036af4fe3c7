package activities

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/identitymesh/okta-connector/okta"
)

// rangeLink is what a walk by ranges of created records as its next link: the link
// that Okta gave, with how many rows of the range were read, or where the next range
// begins. So the walk can be resumed like any other, and a range that does not get
// any further repeats a link, which the mesh refuses.
type rangeLink struct {
	Next    string `json:"next,omitempty"`    // within a range
	Rows    int    `json:"rows,omitempty"`    // of the range so far
	Last    string `json:"last,omitempty"`    // created of its last row so far
	Created string `json:"created,omitempty"` // the next range begins here
}

func (l rangeLink) String() string {
	b, err := json.Marshal(l)
	if err != nil {
		return "" // strings and numbers always marshal
	}
	return string(b)
}

// byCreated reads a filtered list of any size: sorted by created, and from where a
// search ended on a new search goes on (design.md §4, "any size").
func (s *session) byCreated(list okta.ListUsers) func(ctx context.Context, next string, failures int) ([]okta.User, *okta.Page, error) {
	list.SortBy, list.SortOrder = "created", "asc"
	filter := list.Search
	return func(ctx context.Context, next string, _ int) ([]okta.User, *okta.Page, error) {
		var at rangeLink
		if next != "" {
			if err := json.Unmarshal([]byte(next), &at); err != nil {
				return nil, nil, permanentf(ErrRefused, "the resume point of %s cannot be read: %v; start a new run", usersRangesStream, err)
			}
		}
		list.Search = filter
		if at.Created != "" {
			list.Search = okta.And(filter, "created ge "+okta.Quote(at.Created))
		}
		rows, page, err := s.okta.ListUsers(ctx, list, at.Next)
		if err != nil {
			return nil, nil, err
		}
		last, err := lastCreated(at.Last, rows)
		if err != nil {
			return nil, nil, err
		}
		read := at.Rows + len(rows)
		switch {
		case page.Next != "":
			page.Next = rangeLink{Next: page.Next, Rows: read, Last: last}.String()
		case read >= s.a.searchCap:
			page.Next = rangeLink{Created: last}.String()
		}
		return rows, page, nil
	}
}

// lastCreated is the created stamp of the last row, where the rows are in its order.
func lastCreated(last string, rows []okta.User) (string, error) {
	for _, u := range rows {
		if u.Created == nil || *u.Created < last {
			return "", &okta.Error{Kind: okta.Permanent, Method: http.MethodGet, Endpoint: "/api/v1/users", ObjectID: u.ID,
				Err: errors.New("a search by created is not in that order, so a list longer than one search shows cannot be read; narrow UserSearchFilter")}
		}
		last = *u.Created
	}
	return last, nil
}
