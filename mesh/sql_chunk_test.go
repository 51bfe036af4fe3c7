package mesh

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestEdgesAreNumberedAfterAFailure has a connection write edges whose last transaction
// broke off, as one does at a time limit, when it had numbered its own.
func TestEdgesAreNumberedAfterAFailure(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *engine) {
		ctx := t.Context()
		s.writer.SetMaxOpenConns(1) // the same connection again
		late := errors.New("too late")
		err := s.write(ctx, func(t *tx) error {
			if q := s.db.makeChunk(); q != "" {
				if err := t.later(ctx, q); err != nil {
					return err
				}
			}
			if _, err := t.exec(ctx, `INSERT INTO temp.im_chunk (group_key, member_key, reason, note) VALUES (1, 2, '', 0), (1, 3, '', 0)`); err != nil {
				return err
			}
			return late
		})
		require.ErrorIs(t, err, late)

		_, err = s.ApplyConnector(ctx, Connector{Name: "c", Type: "Okta"})
		require.NoError(t, err)
		f, err := s.Begin(ctx, BeginRun{Connector: "c", RunID: "r", LeaseTTL: time.Hour})
		require.NoError(t, err)
		page := func(stream string) Page {
			_, err := s.Claim(ctx, f, stream, "me")
			require.NoError(t, err)
			return Page{Stream: stream, Owner: "me", Number: 1, Done: true}
		}
		object := func(typ ObjectType, id string) Object {
			return Object{Type: typ, OktaID: id, ExternalID: id, Attributes: []byte(`{}`), Hash: []byte(id)}
		}
		const users = 5
		var people []Object
		var members []Member
		for i := range users {
			id := fmt.Sprint("u", i)
			people, members = append(people, object(User, id)), append(members, Member{OktaID: id})
		}
		_, err = s.WriteObjects(ctx, f, ObjectPage{Import: true, Page: page("users"), Objects: people})
		require.NoError(t, err)
		_, err = s.WriteObjects(ctx, f, ObjectPage{Import: true, Page: page("groups"), Objects: []Object{object(Group, "g")}, Queue: &QueueRule{All: true}})
		require.NoError(t, err)
		_, err = s.WriteMembers(ctx, f, MemberPage{Page: page("members/g"), GroupID: "g", Members: members})
		require.NoError(t, err)
		for done := false; !done; {
			r, err := s.Settle(ctx, f, Scope{Users: true, Groups: true}, time.Minute)
			require.NoError(t, err)
			done = r.Done
		}
		var seqs []int64
		for c, err := range s.Changes(ctx, ChangeQuery{Connector: "c"}) {
			require.NoError(t, err)
			seqs = append(seqs, c.Seq)
		}
		var want []int64
		for seq := range int64(2*users + 1) {
			want = append(want, seq+1)
		}
		require.Equal(t, want, seqs)
	})
}
