package mesh_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/mesh"
)

// TestFenceLostAmongSharedPages has pages of two connectors at once; the run of one of
// them loses its lease meanwhile.
func TestFenceLostAmongSharedPages(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, open openStore) {
		t.Parallel()
		testFenceLostAmongSharedPages(t, open(t))
	})
}

func testFenceLostAmongSharedPages(t *testing.T, s mesh.Store) {
	ctx := t.Context()
	fences := map[string]mesh.Fence{}
	for _, name := range []string{"kept", "lost"} {
		_, err := s.ApplyConnector(ctx, mesh.Connector{Name: name, Type: "Okta"})
		require.NoError(t, err)
		fences[name], err = s.Begin(ctx, mesh.BeginRun{Connector: name, RunID: name, LeaseTTL: time.Hour})
		require.NoError(t, err)
	}
	const streams, pages = 6, 20
	var mu sync.Mutex
	written := map[string]int{}
	refused := 0
	var wg sync.WaitGroup
	begun := make(chan struct{}, 2*streams)
	for i := range 2 * streams {
		name := []string{"kept", "lost"}[i%2]
		wg.Go(func() {
			stream := fmt.Sprint("users", i)
			_, err := s.Claim(ctx, fences[name], stream, "me")
			for p := 1; err == nil && p <= pages; p++ {
				_, err = s.WriteObjects(ctx, fences[name], mesh.ObjectPage{Import: true, Page: mesh.Page{
					Stream: stream, Owner: "me", Number: p, Next: fmt.Sprint(p),
				}, Objects: []mesh.Object{shareUser(fmt.Sprint("u", i, "-", p), "1")}})
				if p == pages/4 {
					begun <- struct{}{}
				}
				if err == nil {
					mu.Lock()
					written[name]++
					mu.Unlock()
				}
			}
			var fenced *mesh.FencedError
			if err != nil && name == "lost" {
				require.ErrorAs(t, err, &fenced)
				mu.Lock()
				refused++
				mu.Unlock()
				return
			}
			require.NoError(t, err)
		})
	}
	<-begun
	f, err := s.Begin(ctx, mesh.BeginRun{Connector: "lost", RunID: "next", LeaseTTL: time.Hour, Closed: "lost"})
	require.NoError(t, err)
	wg.Wait()
	require.Equal(t, streams*pages, written["kept"])
	for name, n := range written {
		require.Len(t, feed(t, s, name), n, "what was acknowledged and nothing else")
	}
	_, err = s.WriteObjects(ctx, fences["lost"], mesh.ObjectPage{Page: mesh.Page{Stream: "users1", Owner: "me", Number: pages, Done: true}})
	var fenced *mesh.FencedError
	require.ErrorAs(t, err, &fenced)
	require.NoError(t, s.RecordCalls(ctx, f, mesh.Calls{API: 1}))
	t.Logf("%d of %d streams were refused", refused, streams)
}

func shareUser(id, version string) mesh.Object {
	return mesh.Object{Type: mesh.User, OktaID: id, ExternalID: id, Attributes: json.RawMessage(`{"v":"` + version + `"}`), Hash: []byte(version)}
}

// feed is the connector's feed, whose numbers have no gaps.
func feed(t require.TestingT, s mesh.Store, connector string) (all []mesh.Change) {
	for c, err := range s.Changes(context.Background(), mesh.ChangeQuery{Connector: connector}) {
		require.NoError(t, err)
		require.EqualValues(t, len(all)+1, c.Seq)
		all = append(all, c)
	}
	return all
}

// sharedWalk is a stream of one connector with its pages.
type sharedWalk struct {
	connector string
	objects   []mesh.ObjectPage
	members   []mesh.MemberPage
}

// write writes the walk's pages one after the other.
func (w sharedWalk) write(ctx context.Context, s mesh.Store, f mesh.Fence) error {
	for i, p := range w.objects {
		if i == 0 {
			if _, err := s.Claim(ctx, f, p.Stream, "me"); err != nil {
				return err
			}
		}
		if _, err := s.WriteObjects(ctx, f, p); err != nil {
			return err
		}
	}
	for i, p := range w.members {
		if i == 0 {
			if _, err := s.Claim(ctx, f, p.Stream, "me"); err != nil {
				return err
			}
		}
		if _, err := s.WriteMembers(ctx, f, p); err != nil {
			return err
		}
	}
	return nil
}

func drawWalks(rt *rapid.T, prefix string) (walks []sharedWalk) {
	for c := range rapid.IntRange(1, 3).Draw(rt, "connectors") {
		name := fmt.Sprint(prefix, "-", c)
		for w := range rapid.IntRange(1, 4).Draw(rt, "walks") {
			walk := sharedWalk{connector: name}
			pages := rapid.IntRange(1, 4).Draw(rt, "pages")
			for p := range pages {
				page := mesh.Page{
					Stream: fmt.Sprint("users", w), Owner: "me", Number: p + 1, Done: p+1 == pages,
					Next: fmt.Sprint("p", p), Calls: mesh.Calls{API: 1},
				}
				in := mesh.ObjectPage{Page: page, Import: true}
				for _, u := range rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 0, 6, rapid.ID[int]).Draw(rt, "users") {
					in.Objects = append(in.Objects, shareUser(fmt.Sprintf("u%d-%d", w, u), fmt.Sprint(p)))
				}
				walk.objects = append(walk.objects, in)
			}
			walks = append(walks, walk)
		}
		for g := range rapid.IntRange(0, 4).Draw(rt, "groups") {
			walk := sharedWalk{connector: name}
			pages := rapid.IntRange(1, 3).Draw(rt, "member pages")
			for p := range pages {
				in := mesh.MemberPage{GroupID: fmt.Sprint("g", g), Page: mesh.Page{
					Stream: fmt.Sprint("members/g", g), Owner: "me", Number: p + 1, Done: p+1 == pages, Next: fmt.Sprint("m", p), Calls: mesh.Calls{API: 1},
				}}
				for _, u := range rapid.SliceOfN(rapid.IntRange(0, 9), 0, 6).Draw(rt, "members") {
					in.Members = append(in.Members, mesh.Member{OktaID: fmt.Sprintf("u%d-%d", u%4, u)})
				}
				walk.members = append(walk.members, in)
			}
			walks = append(walks, walk)
		}
	}
	return walks
}

// outcome is what a connector's run left, without what depends on the order of pages
// that came at once: the numbers and times.
func outcome(rt *rapid.T, s mesh.Store, connector string) []any {
	ctx := context.Background()
	var changes []string
	for _, c := range feed(rt, s, connector) {
		changes = append(changes, fmt.Sprint(c.Op, c.Type, c.ExternalID, string(c.Attributes), c.Changed, c.Reason))
	}
	slices.Sort(changes)
	objects := map[string]string{}
	for o, err := range s.Objects(ctx, mesh.ObjectQuery{Connector: connector, All: true}) {
		require.NoError(rt, err)
		objects[string(o.Type)+o.ExternalID] = string(o.Attributes)
	}
	run, err := s.Run(ctx, connector)
	require.NoError(rt, err)
	return []any{changes, objects, run.Counts, run.APICalls}
}

// runWalks imports the walks, all at once or one by one, while somebody follows the feed,
// and returns what each connector holds in the end.
func runWalks(ctx context.Context, rt *rapid.T, s mesh.Store, walks []sharedWalk, together bool) map[string][]any {
	fences := map[string]mesh.Fence{}
	for _, w := range walks {
		if _, ok := fences[w.connector]; ok {
			continue
		}
		_, err := s.ApplyConnector(ctx, mesh.Connector{Name: w.connector, Type: "Okta"})
		require.NoError(rt, err)
		fences[w.connector], err = s.Begin(ctx, mesh.BeginRun{Connector: w.connector, RunID: w.connector, LeaseTTL: time.Hour})
		require.NoError(rt, err)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(walks))
	for i, w := range walks {
		if together {
			wg.Go(func() { errs[i] = w.write(ctx, s, fences[w.connector]) })
		} else {
			errs[i] = w.write(ctx, s, fences[w.connector])
		}
	}
	stop, followed := make(chan struct{}), make(chan error, 1)
	go func() { followed <- follow(ctx, s, walks[0].connector, stop) }()
	wg.Wait()
	close(stop)
	require.NoError(rt, <-followed)
	require.NoError(rt, cmp.Or(errs...))
	got := map[string][]any{}
	for _, name := range slices.Sorted(maps.Keys(fences)) {
		for done := false; !done; {
			res, err := s.Settle(ctx, fences[name], mesh.Scope{Users: true}, time.Second)
			require.NoError(rt, err)
			done = res.Done
		}
		_, err := s.Commit(ctx, fences[name], mesh.CommitRun{Watermark: mesh.Watermark{}, UsersFull: true, GroupsFull: true})
		require.NoError(rt, err)
		got[name] = outcome(rt, s, name)
	}
	return got
}

// follow reads the feed as a consumer does: on from the last row that it saw.
func follow(ctx context.Context, s mesh.Store, connector string, stop <-chan struct{}) error {
	var last int64
	for {
		for c, err := range s.Changes(ctx, mesh.ChangeQuery{Connector: connector, Since: last}) {
			if err != nil {
				return err
			}
			if c.Seq != last+1 {
				return fmt.Errorf("row %d came after %d", c.Seq, last)
			}
			last = c.Seq
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

func TestPagesAtOnceAreAsPagesInTurn(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, open openStore) {
		t.Parallel()
		inTurn, atOnce := open(t), open(t)
		var n atomic.Int64
		rapid.Check(t, func(rt *rapid.T) {
			walks := drawWalks(rt, fmt.Sprint("org", n.Add(1)))
			require.Equal(rt, runWalks(t.Context(), rt, inTurn, walks, false), runWalks(t.Context(), rt, atOnce, walks, true))
		})
	})
}
