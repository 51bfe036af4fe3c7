package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

func TestFeed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil), object(mesh.User, "00u2", nil), object(mesh.User, "00u3", nil))
	require.Regexp(t, `(?m)^Rows +1 to 7$`, b.ok("feed", "show", "contoso"))
	require.NotContains(t, b.out.String(), "READER")
	require.Contains(t, b.ok("feed", "ack", "contoso", "1", "--reader", "warehouse"), "up to row 1.")
	require.Contains(t, b.ok("feed", "ack", "contoso", "0", "--reader", "warehouse"), "up to row 1.", "never backwards")
	require.Regexp(t, `(?m)^READER +ACKED +BEHIND`, b.ok("feed", "show", "contoso"))
	require.Regexp(t, `(?m)^warehouse +1 +6 `, b.out.String())
	b.fails(exitError, "ends with row 7", "feed", "ack", "contoso", "8", "--reader", "warehouse")
	b.fails(exitUsage, "is no offset: want EPOCH:SEQ", "feed", "ack", "contoso", "x", "--reader", "warehouse")
	b.fails(exitUsage, `OFFSET: "-5" is no offset: want EPOCH:SEQ`, "feed", "ack", "contoso", "-5", "--reader", "warehouse")
	b.fails(exitUsage, "--reader", "feed", "ack", "contoso", "1")
	b.fails(exitError, `connector "nobody" does not exist`, "feed", "show", "nobody")

	b.fails(exitUsage, "say what to remove", "feed", "prune", "contoso")
	for _, age := range []string{"30", "0d", "-1h", "d", "yesterday"} {
		b.fails(exitUsage, "want an age like 30d", "feed", "prune", "contoso", "--changes-older-than", age)
	}
	b.fails(exitUsage, "8d at least", "feed", "prune", "contoso", "--runs-older-than", "7d")
	require.Contains(t, b.ok("feed", "prune", "contoso", "--changes-older-than", "30d", "--runs-older-than", "90d"), "Removed 0 rows of the feed and 0 runs")
	var done mesh.Pruned
	require.Eventually(t, func() bool { // rows of this very millisecond are not old yet
		require.NoError(t, json.Unmarshal([]byte(b.ok("feed", "prune", "contoso", "--changes-older-than", "1ns", "-o", "json")), &done))
		return done.Changes > 0
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, mesh.Pruned{Changes: 1, WaitsFor: "warehouse"}, done)
	require.Contains(t, b.ok("feed", "prune", "contoso", "--changes-older-than", "1ns", "--dry-run"), "Older rows are kept for reader warehouse.")

	b.fails(exitReadAnew, "were removed by retention", "changes", "contoso", "--since", "0")
	require.Contains(t, b.ok("changes", "contoso"), "00u2", "the oldest that is kept")
	require.NotRegexp(t, `(?m)^1 `, b.out.String())
	require.Contains(t, b.ok("changes", "contoso", "--reader", "warehouse"), "00u2")
	b.ok("feed", "ack", "contoso", "7", "--reader", "warehouse")
	require.NotContains(t, b.ok("changes", "contoso", "--reader", "warehouse"), "Add")
	b.fails(exitUsage, "--since", "changes", "contoso", "--reader", "warehouse", "--since", "1")
	b.fails(exitError, `reader "nobody" does not exist`, "changes", "contoso", "--reader", "nobody")
	b.ok("feed", "forget", "contoso", "--reader", "warehouse")
	b.fails(exitError, `reader "warehouse" does not exist`, "feed", "forget", "contoso", "--reader", "warehouse")
}
