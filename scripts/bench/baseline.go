package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/identitymesh/okta-connector/internal/stack"
)

// inFlight is how many calls an import has under way at most, and so the bare loop.
const inFlight = 10

// bareLoop makes the calls of a full import, as many at a time, and throws the answers
// away: what an import takes longer, it takes for its work, whatever the machine.
type bareLoop struct {
	base   string
	client *http.Client
	calls  atomic.Int64
}

func newBareLoop(base string) *bareLoop {
	return &bareLoop{base: base, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}}}
}

// fetch reads users, groups and the members of these groups, and returns how many
// calls that took. The two lists, whose pages follow one another, begin at once.
func (b *bareLoop) fetch(ctx context.Context, groups []string) (calls int64, _ error) {
	defer b.client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lists := make(chan string, 2+len(groups))
	lists <- "/api/v1/users?limit=200"
	lists <- "/api/v1/groups?limit=200"
	for _, g := range groups {
		lists <- "/api/v1/groups/" + g + "/users?limit=1000"
	}
	close(lists)
	errs := make([]error, inFlight)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for list := range lists {
				if errs[i] = b.walk(ctx, list); errs[i] != nil {
					cancel()
					return
				}
			}
		})
	}
	wg.Wait()
	return b.calls.Load(), errors.Join(errs...)
}

// walk reads a list to its last page.
func (b *bareLoop) walk(ctx context.Context, path string) error {
	for next := b.base + path; next != ""; {
		var err error
		if next, err = b.page(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// page reads one page to its end and returns the next one's URL, "" after the last.
func (b *bareLoop) page(ctx context.Context, url string) (next string, _ error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("bare fetch: %w", err)
	}
	req.Header.Set("Authorization", "SSWS "+stack.SimToken)
	req.Header.Set("Accept", "application/json")
	b.calls.Add(1)
	resp, err := b.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("bare fetch: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return "", fmt.Errorf("bare fetch of %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("bare fetch of %s: %s", url, resp.Status)
	}
	for _, link := range resp.Header.Values("Link") {
		if url, rel, ok := strings.Cut(link, ">; "); ok && rel == `rel="next"` {
			return strings.TrimPrefix(url, "<"), nil
		}
	}
	return "", nil
}
