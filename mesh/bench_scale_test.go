package mesh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// BenchmarkScale imports orgs of 1,000, 10,000 and 100,000 users twice: everybody is in a
// group Everyone, and in nine others on average, of 180 members each. The cost of a row
// must not grow with the org. The largest takes a minute.
func BenchmarkScale(b *testing.B) { onEachStore(b, benchmarkScale) }

func benchmarkScale(b *testing.B, open openStore) {
	for _, users := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("%d-users", users), func(b *testing.B) {
			if testing.Short() && users > 10_000 {
				b.Skip("takes a minute")
			}
			took := map[string]time.Duration{}
			for range b.N {
				s := open(b)
				for _, run := range []string{"first", "again"} {
					f := beginBench(b, s, run)
					begin := time.Now()
					writeUsers(b, s, f, users/200, 0)
					took[run+"-users"] += time.Since(begin)
					took[run+"-pairs"] += writeOrg(b, s, f, users)
					took[run+"-settle"] += settleBench(b, s, f)
				}
				live, err := s.LiveCounts(b.Context(), "bench")
				require.NoError(b, err)
				require.Equal(b, map[mesh.ObjectType]int{mesh.User: users, mesh.Group: users/20 + 1, mesh.GroupMember: 10 * users}, live)
			}
			for name, d := range took {
				rows := users
				if name != "first-users" && name != "again-users" {
					rows = 10 * users
				}
				b.ReportMetric(float64(d.Nanoseconds())/float64(b.N*rows), name+"-ns/row")
			}
		})
	}
}

// writeOrg writes Everyone and users/20 groups of 180 members, in pages of 1,000.
func writeOrg(b *testing.B, s mesh.Store, f mesh.Fence, users int) (took time.Duration) {
	b.Helper()
	writeGroups(b, s, f, users/20+1)
	for g := range users/20 + 1 {
		size, next := 180, func(i int) int { return (g*31 + i*7919) % users } // 7919 is prime: each once
		if g == 0 {
			size, next = users, func(i int) int { return i }
		}
		page := mesh.MemberPage{GroupID: fmt.Sprintf("00g%017d", g)}
		page.Page = mesh.Page{Stream: "members/" + page.GroupID, Owner: "me"}
		_, err := s.Claim(b.Context(), f, page.Stream, page.Owner)
		require.NoError(b, err)
		for from := 0; from < size; from += 1000 {
			page.Number++
			page.Next, page.Done, page.Members = fmt.Sprint(from), from+1000 >= size, nil
			for i := from; i < min(size, from+1000); i++ {
				page.Members = append(page.Members, mesh.Member{OktaID: fmt.Sprintf("00u%017d", next(i))})
			}
			begin := time.Now()
			_, err := s.WriteMembers(b.Context(), f, page)
			took += time.Since(begin)
			require.NoError(b, err)
		}
	}
	return took
}

// writeGroups writes n groups in pages of 200.
func writeGroups(b *testing.B, s mesh.Store, f mesh.Fence, n int) {
	b.Helper()
	_, err := s.Claim(b.Context(), f, "groups", "me")
	require.NoError(b, err)
	for from := 0; from < n; from += 200 {
		page := mesh.ObjectPage{Import: true, Page: mesh.Page{
			Stream: "groups", Owner: "me", Number: from/200 + 1, Next: fmt.Sprint(from), Done: from+200 >= n}}
		for g := from; g < min(n, from+200); g++ {
			id := fmt.Sprintf("00g%017d", g)
			page.Objects = append(page.Objects, mesh.Object{Type: mesh.Group, OktaID: id, ExternalID: id, Attributes: []byte(`{}`), Hash: []byte{1}})
		}
		_, err := s.WriteObjects(b.Context(), f, page)
		require.NoError(b, err)
	}
}
