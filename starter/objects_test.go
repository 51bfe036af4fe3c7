package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// seeded is a mesh with two users, one group, two edges, and one user deleted by a
// second run.
func seeded(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.apply("contoso")
	ada := object(mesh.User, "00u1", map[string]any{"login": "ada@contoso.com", "displayName": "Ada <Lovelace> & co", "status": "ACTIVE", "city": nil})
	bob := object(mesh.User, "00u2", map[string]any{"login": "bob@contoso.com", "displayName": "Bob\x1b[2J", "status": "ACTIVE"})
	b.seed("contoso", someRun, ada, bob)
	ada.Hash, ada.Attributes = []byte("2"), json.RawMessage(`{"login":"ada@contoso.com","title":"Countess"}`)
	bob.Delete = mesh.Deprovisioned
	b.seed("contoso", "0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a12", ada, bob)
	return b
}

func decodeLines[T any](t *testing.T, text string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(text) {
		var v T
		require.NoError(t, json.Unmarshal([]byte(line), &v), line)
		all = append(all, v)
	}
	return all
}

func TestObjectsAsJSONLines(t *testing.T) {
	t.Parallel()
	b := seeded(t)
	text := b.ok("objects", "contoso", "-o", "jsonl")
	require.Empty(t, b.err.String())
	live := decodeLines[map[string]any](t, text)
	require.Len(t, live, 3)
	for _, o := range live {
		require.ElementsMatch(t, []string{"type", "externalId", "state", "attributes"}, keys(o))
		require.Equal(t, "live", o["state"])
	}
	users := b.ok("objects", "contoso", "--type", "USER", "-o", "jsonl")
	require.JSONEq(t, `{"type":"User","externalId":"00u1","state":"live","attributes":{"login":"ada@contoso.com","title":"Countess"}}`, users)
	edges := b.ok("objects", "contoso", "--type", "groupmember", "-o", "jsonl")
	require.JSONEq(t, `{"type":"GroupMember","externalId":"00g1:00u1","state":"live",
		"attributes":{"groupId":"00g1","memberId":"00u1","memberType":"User"}}`, edges)

	all := decodeLines[mesh.StoredObject](t, b.ok("objects", "contoso", "--all", "--type", "user", "-o", "jsonl"))
	require.Len(t, all, 2)
	gone := decodeLines[mesh.StoredObject](t, b.ok("objects", "contoso", "--all", "--id", "00u2", "-o", "jsonl"))
	require.Len(t, gone, 1)
	require.Equal(t, mesh.Deprovisioned, gone[0].Reason)
	require.Len(t, decodeLines[mesh.StoredObject](t, b.ok("objects", "contoso", "--limit", "2", "-o", "jsonl")), 2)
	require.Empty(t, b.ok("objects", "contoso", "--id", "nobody", "-o", "jsonl"))
}

func TestJSONKeepsMarkup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.seed("contoso", someRun, object(mesh.User, "00u1", map[string]any{"displayName": "Ada <Lovelace> & co"}))
	for _, args := range [][]string{{"objects"}, {"changes"}} {
		for _, f := range []string{"json", "jsonl"} {
			require.Contains(t, b.ok(append(args, "contoso", "-o", f)...), "Ada <Lovelace> & co")
		}
	}
}

func TestObjectsAsJSON(t *testing.T) {
	t.Parallel()
	b := seeded(t)
	var all []mesh.StoredObject
	require.NoError(t, json.Unmarshal([]byte(b.ok("objects", "contoso", "-o", "json")), &all))
	require.Len(t, all, 3)
	require.Equal(t, "[]\n", b.ok("objects", "contoso", "--id", "nobody", "-o", "json"))
	require.Equal(t, 3, strings.Count(b.ok("objects", "contoso", "--limit", "1", "-o", "json"), "\n"), "a row a line")
}

func TestObjectsAsTable(t *testing.T) {
	t.Parallel()
	b := seeded(t)
	text := b.ok("objects", "contoso", "--all")
	require.Regexp(t, `(?m)^TYPE +EXTERNAL ID +STATE +ATTRIBUTES$`, text)
	require.Regexp(t, `(?m)^User +00u1 +live +login=ada@contoso.com title=Countess$`, text)
	require.Regexp(t, `(?m)^User +00u2 +deleted +reason=deprovisioned login=bob@contoso.com displayName=`, text)
	require.Contains(t, text, `\u001b`, "a directory's escape sequence is shown, not sent")
	require.NotContains(t, text, "\x1b")
	require.Regexp(t, `(?m)^GroupMember +00g1:00u1 +live +groupId=00g1 memberId=00u1 memberType=User$`, text)

	b.tty.stdout = 60
	for line := range strings.Lines(b.ok("objects", "contoso", "--type", "user")) {
		require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), 60)
	}
	require.Contains(t, b.out.String(), "…")
}

func TestBrief(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`{"b":"x","login":"l","a":1,"n":null}`:               `login=l a=1 b=x`,
		`{"displayName":"Ada L","city":"","q":"say \"hi\""}`: `displayName="Ada L" city="" q="say \"hi\""`,
		`{"type":{"id": "oty1"},"on":true}`:                  `type={"id":"oty1"} on=true`,
		`[1]`:                                                `[1]`,
		`{}`:                                                 ``,
	}
	for in, want := range tests {
		require.Equal(t, want, brief(json.RawMessage(in)))
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	b := seeded(t)
	text := b.ok("changes", "contoso", "--since", "0", "-o", "jsonl")
	rows := decodeLines[map[string]any](t, text)
	require.Greater(t, len(rows), 5)
	for i, row := range rows {
		require.ElementsMatch(t, []string{"seq", "op", "type", "externalId", "attributes", "changed", "reason", "runId", "at", "epoch"}, keys(row))
		require.InDelta(t, i+1, row["seq"], 0)
		require.IsType(t, []any{}, row["changed"], "an array, whatever the op")
		require.Regexp(t, `Z$`, row["at"])
	}
	all := decodeLines[mesh.Change](t, text)
	var ops []string
	for _, ch := range all {
		ops = append(ops, string(ch.Op)+" "+ch.ExternalID)
	}
	require.Subset(t, ops, []string{"Add 00u1", "Add 00g1", "Add 00g1:00u2", "Update 00u1", "Delete 00u2", "Delete 00g1:00u2"})

	last := all[len(all)-1]
	tail := decodeLines[mesh.Change](t, b.ok("changes", "contoso", "--since", "3", "-o", "jsonl"))
	require.Equal(t, all[3:], tail)
	require.Empty(t, b.ok("changes", "contoso", "--since", fmt.Sprint(last.Seq), "-o", "jsonl"))
	b.fails(exitReadAnew, "nobody can have read row 99999", "changes", "contoso", "--since", "99999", "-o", "jsonl")
	require.Len(t, decodeLines[mesh.Change](t, b.ok("changes", "contoso", "--limit", "2", "-o", "jsonl")), 2, "--since defaults to 0")
	for _, ch := range decodeLines[mesh.Change](t, b.ok("changes", "contoso", "--id", "00u1", "-o", "jsonl")) {
		require.Equal(t, "00u1", ch.ExternalID)
	}
	for _, ch := range decodeLines[mesh.Change](t, b.ok("changes", "contoso", "--run", someRun, "-o", "jsonl")) {
		require.Equal(t, someRun, ch.RunID)
	}
	var array []mesh.Change
	require.NoError(t, json.Unmarshal([]byte(b.ok("changes", "contoso", "-o", "json")), &array))
	require.Equal(t, last, array[len(array)-1])

	shown := b.ok("changes", "contoso")
	require.Regexp(t, `(?m)^SEQ +AT +OP +TYPE +EXTERNAL ID +WHAT$`, shown)
	require.Regexp(t, `(?m)^\d+ +\S+ \S+Z +Delete +User +00u2 +deprovisioned$`, shown)
	require.Regexp(t, `(?m)^\d+ +\S+ \S+Z +Update +User +00u1 +.*title`, shown)
}

// Rows leave while later ones are still being read.
func TestStreamHoldsNothingBack(t *testing.T) {
	t.Parallel()
	for _, f := range []format{jsonl, asJSON, table} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c := b.cli()
			const rows = 50_000
			most := 0
			seq := func(yield func(mesh.StoredObject, error) bool) {
				written := 0
				for range rows {
					if !yield(mesh.StoredObject{Type: mesh.User, ExternalID: "00u1", State: mesh.Live, Attributes: json.RawMessage(`{"a":"b"}`)}, nil) {
						return
					}
					written += 60 // about a row
					most = max(most, written-b.out.Len())
				}
			}
			require.NoError(t, stream(c, f, []column{{"TYPE", 11}, {"ID", 20}, {"STATE", 7}, {"ATTRIBUTES", 0}}, seq, objectCells))
			require.Less(t, most, 1<<20, "held back at most a buffer")
			require.GreaterOrEqual(t, strings.Count(b.out.String(), "\n"), rows)
		})
	}
}

func TestStreamEndsAtAnError(t *testing.T) {
	t.Parallel()
	for _, f := range []format{jsonl, asJSON, table} {
		b := newBench(t)
		seq := func(yield func(mesh.StoredObject, error) bool) {
			if yield(mesh.StoredObject{Type: mesh.User, ExternalID: "00u1", Attributes: json.RawMessage(`{}`)}, nil) {
				yield(mesh.StoredObject{}, errDisk)
			}
		}
		err := stream(b.cli(), f, []column{{"TYPE", 11}, {"ID", 20}, {"STATE", 7}, {"ATTRIBUTES", 0}}, seq, objectCells)
		require.ErrorIs(t, err, errDisk)
		require.Contains(t, b.out.String(), "00u1", "what was read is printed")
		require.False(t, f == asJSON && json.Valid(b.out.Bytes()), "half an array does not pass for a whole one")
	}
}

func TestStreamStopsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	for _, f := range []format{jsonl, asJSON, table} {
		c := newBench(t).cli()
		c.stdout.w = &brokenPipe{n: 100 << 10, err: errors.New("closed")}
		read := 0
		seq := func(yield func(mesh.StoredObject, error) bool) {
			for read < 1_000_000 && yield(mesh.StoredObject{Type: mesh.User, ExternalID: "00u1", Attributes: json.RawMessage(`{}`)}, nil) {
				read++
			}
		}
		require.Error(t, stream(c, f, []column{{"TYPE", 11}, {"ID", 20}, {"STATE", 7}, {"ATTRIBUTES", 0}}, seq, objectCells))
		require.Less(t, read, 100_000)
	}
}

// consumers is the mesh as the database role of a consumer sees it, who may not read
// definitions.
type consumers struct{ mesh.Store }

var errPrivilege = errors.New("the database role lacks a privilege")

func (consumers) Connector(context.Context, string) (*mesh.Connector, error) {
	return nil, errPrivilege
}

func (consumers) ListConnectors(context.Context) ([]mesh.Connector, error) { return nil, errPrivilege }

func (consumers) RestoredAt(context.Context, string) (time.Time, error) {
	return time.Time{}, errPrivilege
}

func TestConsumersReadWithoutDefinitions(t *testing.T) {
	t.Parallel()
	b := seeded(t)
	b.consumer = true
	require.Len(t, decodeLines[mesh.Change](t, b.ok("changes", "contoso", "--since", "1", "-o", "jsonl")), 7)
	require.Empty(t, b.err.String())
	require.Len(t, decodeLines[mesh.Change](t, b.ok("changes", "contoso", "--since", "0", "-o", "jsonl")), 8)
	require.Len(t, decodeLines[mesh.StoredObject](t, b.ok("objects", "contoso", "-o", "jsonl")), 3)
	b.fails(exitError, `starter: connector "acme" does not exist`, "changes", "acme")
	b.fails(exitError, `starter: connector "acme" does not exist`, "objects", "acme")
}
