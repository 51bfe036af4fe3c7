package mesh_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// BenchmarkCommit writes 540 member pages of 10 to 1,000 members from as many
// goroutines as an import has calls in flight, and from one.
func BenchmarkCommit(b *testing.B) { onEachStore(b, benchmarkCommit) }

func benchmarkCommit(b *testing.B, open openStore) {
	const pages, users = 540, 10_000
	for _, writers := range []int{1, 10} {
		b.Run(fmt.Sprint(writers, "-writers"), func(b *testing.B) {
			for n := range b.N {
				b.StopTimer()
				s := open(b)
				f := beginBench(b, s, fmt.Sprint("run", n))
				writeUsers(b, s, f, users/200, 0)
				lists := smallLists(pages, users)
				for _, l := range lists {
					_, err := s.Claim(b.Context(), f, l.Stream, "me")
					require.NoError(b, err)
				}
				b.StartTimer()
				writeLists(b, s, f, writers, lists)
			}
			b.ReportMetric(float64(b.N*pages)/b.Elapsed().Seconds(), "pages/s")
		})
	}
}

// smallLists are the member lists of an org: most are short, a few are long.
func smallLists(pages, users int) []mesh.MemberPage {
	random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same groups each time
	lists := make([]mesh.MemberPage, pages)
	for g := range lists {
		id := fmt.Sprintf("00g%017d", g)
		lists[g] = mesh.MemberPage{GroupID: id, Page: mesh.Page{
			Stream: "members/" + id, Owner: "me", Number: 1, Done: true, Date: time.Unix(1_700_000_000, 0), Calls: mesh.Calls{API: 1},
		}}
		size := 10 + random.IntN(60)
		if g%10 == 0 {
			size = 1000
		}
		for _, n := range random.Perm(users)[:size] {
			lists[g].Members = append(lists[g].Members, mesh.Member{OktaID: fmt.Sprintf("00u%017d", n)})
		}
	}
	return lists
}

// writeLists has each writer take the next list that nobody has taken.
func writeLists(b *testing.B, s mesh.Store, f mesh.Fence, writers int, lists []mesh.MemberPage) {
	b.Helper()
	next := make(chan mesh.MemberPage, len(lists))
	for _, l := range lists {
		next <- l
	}
	close(next)
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wg.Go(func() {
			for l := range next {
				if _, err := s.WriteMembers(b.Context(), f, l); err != nil {
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(b, err)
	}
}
