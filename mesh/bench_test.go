package mesh_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// benchUser is a user with the runbook's attributes, about 900 bytes.
func benchUser(n, version int) mesh.Object {
	id := fmt.Sprintf("00u%017d", n)
	attrs := fmt.Appendf(nil, `{"accountEnabled":true,"activated":"2024-01-01T00:00:00.000Z","city":"Wien","costCenter":"CC-%d","created":"2024-01-01T00:00:00.000Z",`+
		`"department":"Engineering","displayName":"Person Number %d","division":"R&D","email":"person.%d@example.com","employeeNumber":"%d","firstName":"Person",`+
		`"lastLogin":"2026-01-01T00:00:00.000Z","lastName":"Number %d","lastUpdated":"2026-01-01T00:00:00.000Z","locale":"en_US","login":"person.%d@example.com",`+
		`"manager":"Somebody Else","managerId":"00u00000000000000001","mobilePhone":"+43 1 2345678","oktaId":"%s","organization":"Example","passwordChanged":"2025-01-01T00:00:00.000Z",`+
		`"preferredLanguage":"en","primaryPhone":"+43 1 2345678","state":"Vienna","status":"ACTIVE","streetAddress":"Ring 1","timezone":"Europe/Vienna","title":"Engineer %d",`+
		`"userType":"Employee","zipCode":"1010"}`, n, n, n, n, n, n, id, version)
	hash := sha256.Sum256(attrs)
	return mesh.Object{Type: mesh.User, OktaID: id, ExternalID: id, Attributes: attrs, Hash: hash[:], Stamp: time.Unix(1_700_000_000+int64(version), 0)}
}

func beginBench(b *testing.B, s mesh.Store, run string) mesh.Fence {
	b.Helper()
	_, err := s.ApplyConnector(b.Context(), mesh.Connector{Name: "bench", Type: "Okta"})
	require.NoError(b, err)
	f, err := s.Begin(b.Context(), mesh.BeginRun{Connector: "bench", RunID: run, LeaseTTL: time.Hour})
	require.NoError(b, err)
	return f
}

func writeUsers(b *testing.B, s mesh.Store, f mesh.Fence, pages, version int) {
	b.Helper()
	ctx := b.Context()
	_, err := s.Claim(ctx, f, "users", "me")
	require.NoError(b, err)
	for p := range pages {
		page := mesh.ObjectPage{Page: mesh.Page{Stream: "users", Owner: "me", Number: p + 1, Next: fmt.Sprint("n", p)}, Rows: 200, Import: true}
		for i := range 200 {
			page.Objects = append(page.Objects, benchUser(p*200+i, version))
		}
		_, err := s.WriteObjects(ctx, f, page)
		require.NoError(b, err)
	}
}

// BenchmarkWriteObjects writes 10,000 users in pages of 200: new ones, the same
// again, and all of them changed.
func BenchmarkWriteObjects(b *testing.B) { onEachStore(b, benchmarkWriteObjects) }

func benchmarkWriteObjects(b *testing.B, open openStore) {
	const pages = 50
	for _, c := range []struct {
		name            string
		before, version int
	}{{"new", -1, 0}, {"unchanged", 0, 0}, {"updated", 0, 1}} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				s := open(b)
				if c.before >= 0 {
					f := beginBench(b, s, "before")
					writeUsers(b, s, f, pages, c.before)
					_, err := s.End(b.Context(), "before", mesh.Failed, "")
					require.NoError(b, err)
				}
				f := beginBench(b, s, "run")
				b.StartTimer()
				writeUsers(b, s, f, pages, c.version)
			}
			b.ReportMetric(float64(b.N*pages*200)/b.Elapsed().Seconds(), "users/s")
		})
	}
}

// BenchmarkMembers writes 100 groups of 1,000 members out of 20,000 users, and
// settles them; then the same again.
func BenchmarkMembers(b *testing.B) { onEachStore(b, benchmarkMembers) }

func benchmarkMembers(b *testing.B, open openStore) {
	const groups, size, users = 100, 1000, 20_000
	var write, settle, again, resettle time.Duration
	for range b.N {
		s := open(b)
		f := beginBench(b, s, "first")
		writeUsers(b, s, f, users/200, 0)
		write += writeMembers(b, s, f, groups, size, users)
		settle += settleBench(b, s, f)
		f = beginBench(b, s, "second")
		again += writeMembers(b, s, f, groups, size, users)
		resettle += settleBench(b, s, f)
	}
	pairs := float64(b.N * groups * size)
	for name, d := range map[string]time.Duration{"write": write, "settle": settle, "rewrite": again, "resettle": resettle, "write+settle": write + settle} {
		b.ReportMetric(pairs/d.Seconds(), name+"-pairs/s")
	}
}

func writeMembers(b *testing.B, s mesh.Store, f mesh.Fence, groups, size, users int) time.Duration {
	b.Helper()
	ctx, random := b.Context(), rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same groups each time
	page := mesh.ObjectPage{Page: mesh.Page{Stream: "groups", Owner: "me", Number: 1, Done: true}, Import: true}
	lists := make([]mesh.MemberPage, groups)
	for g := range groups {
		id := fmt.Sprintf("00g%017d", g)
		page.Objects = append(page.Objects, mesh.Object{Type: mesh.Group, OktaID: id, ExternalID: id, Attributes: []byte(`{}`), Hash: []byte{1}})
		lists[g] = mesh.MemberPage{Page: mesh.Page{Stream: "members/" + id, Owner: "me", Number: 1, Done: true}, GroupID: id}
		for _, n := range random.Perm(users)[:size] {
			lists[g].Members = append(lists[g].Members, mesh.Member{OktaID: fmt.Sprintf("00u%017d", n)})
		}
	}
	_, err := s.Claim(ctx, f, "groups", "me")
	require.NoError(b, err)
	_, err = s.WriteObjects(ctx, f, page)
	require.NoError(b, err)
	for _, l := range lists {
		_, err := s.Claim(ctx, f, l.Stream, "me")
		require.NoError(b, err)
	}
	begin := time.Now()
	for _, l := range lists {
		_, err := s.WriteMembers(ctx, f, l)
		require.NoError(b, err)
	}
	return time.Since(begin)
}

func settleBench(b *testing.B, s mesh.Store, f mesh.Fence) time.Duration {
	b.Helper()
	begin := time.Now()
	res, err := s.Settle(b.Context(), f, mesh.Scope{Users: true, Groups: true}, time.Hour)
	require.NoError(b, err)
	require.True(b, res.Done)
	took := time.Since(begin)
	_, err = s.Commit(b.Context(), f, mesh.CommitRun{Watermark: mesh.Watermark{}, UsersFull: true, GroupsFull: true})
	require.NoError(b, err)
	return took
}
