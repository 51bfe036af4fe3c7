package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// token is the simulator's default; a real org's is never written down.
const token = "oktasim-token" //nolint:gosec // not a secret

// org is the simulated org, changed through Okta's own write endpoints.
type org struct{ base string }

type user struct {
	ID      string         `json:"id"`
	Status  string         `json:"status"`
	Profile map[string]any `json:"profile"`
}

type group struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Profile struct {
		Name string `json:"name"`
	} `json:"profile"`
}

// step is one write; an empty what belongs to the step after it.
type step struct {
	what, method, path string
	body               any
}

// change edits, suspends, deactivates and hard-deletes people, deletes a group, adds
// and removes members, and tells what it did.
func (o *org) change(ctx context.Context, tell func(string)) error {
	var users []user
	if err := o.call(ctx, http.MethodGet, `/api/v1/users?limit=200`, nil, &users); err != nil {
		return err
	}
	var active []user
	for _, u := range users {
		if u.Status == "ACTIVE" {
			active = append(active, u)
		}
	}
	var groups []group
	if err := o.call(ctx, http.MethodGet, "/api/v1/groups?limit=200&filter=type+eq+%22OKTA_GROUP%22", nil, &groups); err != nil {
		return err
	}
	if len(active) < 6 || len(groups) < 3 {
		return fmt.Errorf("the org is too small for the demo: %d active users, %d groups", len(active), len(groups))
	}
	deleted, joined, left := smallest(ctx, o, groups)
	var members []user
	if err := o.call(ctx, http.MethodGet, "/api/v1/groups/"+left.ID+"/users?limit=1", nil, &members); err != nil {
		return err
	}
	steps := []step{
		{"edited: " + name(active[0]) + " has a new title", http.MethodPost, "/api/v1/users/" + active[0].ID, map[string]any{"profile": map[string]any{"title": "Head of Demonstrations"}}},
		{"suspended: " + name(active[1]), http.MethodPost, "/api/v1/users/" + active[1].ID + "/lifecycle/suspend", nil},
		{"deactivated: " + name(active[2]), http.MethodPost, "/api/v1/users/" + active[2].ID + "/lifecycle/deactivate", nil},
		{"", http.MethodDelete, "/api/v1/users/" + active[3].ID, nil},
		{"hard-deleted: " + name(active[3]), http.MethodDelete, "/api/v1/users/" + active[3].ID, nil},
		{"group deleted: " + deleted.Profile.Name, http.MethodDelete, "/api/v1/groups/" + deleted.ID, nil},
		{"added to " + joined.Profile.Name + ": " + name(active[4]), http.MethodPut, "/api/v1/groups/" + joined.ID + "/users/" + active[4].ID, nil},
	}
	if len(members) > 0 {
		steps = append(steps, step{"removed from " + left.Profile.Name + ": " + name(members[0]), http.MethodDelete, "/api/v1/groups/" + left.ID + "/users/" + members[0].ID, nil})
	}
	for _, s := range steps {
		if err := o.call(ctx, s.method, s.path, s.body, nil); err != nil {
			return err
		}
		if s.what != "" {
			tell(s.what)
		}
	}
	return nil
}

// smallest picks three small groups that have members, so that the feed stays short.
func smallest(ctx context.Context, o *org, groups []group) (deleted, joined, left group) {
	var picked []group
	for _, g := range groups {
		var members []user
		if err := o.call(ctx, http.MethodGet, "/api/v1/groups/"+g.ID+"/users?limit=7", nil, &members); err == nil && len(members) > 0 && len(members) < 7 {
			picked = append(picked, g)
		}
		if len(picked) == 3 {
			break
		}
	}
	picked = append(picked, groups[:3]...)
	return picked[0], picked[1], picked[2]
}

func name(u user) string {
	return fmt.Sprintf("%v %v", u.Profile["firstName"], u.Profile["lastName"])
}

// call sends one request and decodes the answer into out, when not nil.
func (o *org) call(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the body of %s %s: %w", method, path, err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, o.base+path, payload)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "SSWS "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("decode the answer of %s %s: %w", method, path, err)
	}
	return nil
}
