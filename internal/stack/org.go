package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// SimToken is the simulator's default token; a real org's is never written down.
const SimToken = "oktasim-token" //nolint:gosec // not a secret

// Org is a simulated org, read and changed through Okta's own endpoints.
type Org struct {
	Base string // http://host:port
}

// OrgUser is a user as Okta answers it, as far as the demo needs him.
type OrgUser struct {
	ID      string         `json:"id"`
	Status  string         `json:"status"`
	Profile map[string]any `json:"profile"`
}

// Name is the user's name for people.
func (u OrgUser) Name() string {
	return fmt.Sprintf("%v %v", u.Profile["firstName"], u.Profile["lastName"])
}

// OrgGroup is a group as Okta answers it, as far as the demo needs it.
type OrgGroup struct {
	ID      string `json:"id"`
	Profile struct {
		Name string `json:"name"`
	} `json:"profile"`
}

// Active returns the active users of the org, in its order.
func (o *Org) Active(ctx context.Context) ([]OrgUser, error) {
	var active []OrgUser
	for next := "/api/v1/users?limit=200"; next != ""; {
		var page []OrgUser
		link, err := o.call(ctx, http.MethodGet, next, nil, &page)
		if err != nil {
			return nil, err
		}
		for _, u := range page {
			if u.Status == "ACTIVE" {
				active = append(active, u)
			}
		}
		next = strings.TrimPrefix(link, o.Base)
	}
	return active, nil
}

// Groups returns the first groups whose members can be changed.
func (o *Org) Groups(ctx context.Context) ([]OrgGroup, error) {
	var groups []OrgGroup
	err := o.Call(ctx, http.MethodGet, "/api/v1/groups?limit=200&filter=type+eq+%22OKTA_GROUP%22", nil, &groups)
	return groups, err
}

// Members returns the first members of a group, at most limit.
func (o *Org) Members(ctx context.Context, group string, limit int) ([]OrgUser, error) {
	var members []OrgUser
	err := o.Call(ctx, http.MethodGet, fmt.Sprintf("/api/v1/groups/%s/users?limit=%d", group, limit), nil, &members)
	return members, err
}

// HardDelete removes people for good, as Okta has it: the first DELETE deactivates,
// the second deletes.
func (o *Org) HardDelete(ctx context.Context, people ...OrgUser) error {
	todo := make(chan OrgUser, len(people))
	for _, u := range people {
		todo <- u
	}
	close(todo)
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for u := range todo {
				for range 2 {
					if errs[i] = o.Call(ctx, http.MethodDelete, "/api/v1/users/"+u.ID, nil, nil); errs[i] != nil {
						return
					}
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Call sends one request and decodes the answer into out, when not nil.
func (o *Org) Call(ctx context.Context, method, path string, body, out any) error {
	_, err := o.call(ctx, method, path, body, out)
	return err
}

// call also returns the URL of the next page, "" on the last one.
func (o *Org) call(ctx context.Context, method, path string, body, out any) (next string, _ error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return "", fmt.Errorf("encode the body of %s %s: %w", method, path, err)
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, o.Base+path, payload)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "SSWS "+SimToken)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= 300 {
		return "", fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	for _, link := range resp.Header.Values("Link") {
		if url, rel, ok := strings.Cut(link, ">; "); ok && rel == `rel="next"` {
			next = strings.TrimPrefix(url, "<")
		}
	}
	if out == nil {
		return next, nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return "", fmt.Errorf("decode the answer of %s %s: %w", method, path, err)
	}
	return next, nil
}

// Stats are what the org was asked since it started or [Org.ResetStats].
type Stats struct {
	Total       int            `json:"total"`
	ByEndpoint  map[string]int `json:"byEndpoint"`
	Status429   int            `json:"status429"`
	MaxInFlight int            `json:"maxInFlight"`
}

// Stats reads the counters; that is not counted.
func (o *Org) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	err := o.Call(ctx, http.MethodGet, "/_sim/stats", nil, &s)
	return s, err
}

// ResetStats starts counting anew.
func (o *Org) ResetStats(ctx context.Context) error {
	return o.Call(ctx, http.MethodPost, "/_sim/stats/reset", nil, nil)
}
