package okta_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/identitymesh/okta-connector/okta"
)

// org is a tiny Okta org with two pages of users and one deleted group.
func org() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/api/v1/users":
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, `{"errorCode":"E0000007","errorSummary":"Not found: Resource not found: 00g1 (UserGroup)"}`)
		case r.URL.Query().Get("after") == "":
			w.Header().Add("Link", `<http://`+r.Host+`/api/v1/users?limit=1>; rel="self"`)
			w.Header().Add("Link", `<http://`+r.Host+`/api/v1/users?after=00u1&limit=1>; rel="next"`)
			_, _ = fmt.Fprint(w, `[{"id":"00u1","status":"ACTIVE","profile":{"city":"Graz"}}]`)
		default:
			_, _ = fmt.Fprint(w, `[{"id":"00u2","status":"STAGED","profile":{"city":"Linz"}}]`)
		}
	}))
}

// Walk all users; an error comes once, last.
func ExampleClient_Users() {
	server := org()
	defer server.Close()
	client, err := okta.New(okta.Options{BaseURL: server.URL, Credentials: okta.APIToken("token")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for user, err := range client.Users(context.Background(), okta.ListUsers{Limit: 1}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(user.ID, user.Status, user.Profile["city"])
	}
	// Output:
	// 00u1 ACTIVE Graz
	// 00u2 STAGED Linz
}

// Read page by page to keep the next link as a resume point.
func ExampleClient_ListUsers() {
	server := org()
	defer server.Close()
	client, err := okta.New(okta.Options{BaseURL: server.URL, Credentials: okta.APIToken("token")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for next := ""; ; {
		users, page, err := client.ListUsers(context.Background(), okta.ListUsers{Limit: 1}, next)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(len(users), "user, more:", page.Next != "")
		if next = page.Next; next == "" {
			return
		}
	}
	// Output:
	// 1 user, more: true
	// 1 user, more: false
}

// An error says what to do next.
func ExampleError() {
	server := org()
	defer server.Close()
	client, err := okta.New(okta.Options{BaseURL: server.URL, Credentials: okta.APIToken("token")})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _, err = client.ListGroupMembers(context.Background(), "00g1", 200, "")
	var limited *okta.RateLimitError
	var e *okta.Error
	switch {
	case errors.As(err, &limited) && limited.Kind == okta.RetryLater:
		fmt.Println("again in", limited.Wait)
	case errors.As(err, &e):
		fmt.Println(e.Kind, e.ObjectID, e.Code)
	}
	// Output:
	// gone 00g1 E0000007
}
