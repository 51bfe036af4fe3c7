package integration

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestLogs reads what workers log of runs that meet the rate limit, a failure, a refused
// token and a new watermark.
func TestLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 300, 10)}, nil)
	limitsOnce(w.sim)
	p := w.worker("--log-level", "debug")
	full := w.completed()
	delta := w.completedMode("delta")
	w.revoked(true)
	refused, _ := w.run()
	require.Equal(t, "Failed", refused.Outcome)
	require.NoError(t, p.Stop())
	text := p.Output()
	messages := map[string][]map[string]any{}
	for _, line := range lines[map[string]any](t, text) {
		msg, _ := line["msg"].(string)
		messages[msg] = append(messages[msg], line)
	}
	of := func(msg, run string, fields ...string) map[string]any {
		t.Helper()
		for _, line := range messages[msg] {
			if line["run"] != run {
				continue
			}
			for _, f := range append(fields, "level", "ts", "connector", "WorkflowID") {
				require.Contains(t, line, f, "%s: %v", msg, line)
			}
			require.Equal(t, w.name, line["connector"])
			return line
		}
		require.Fail(t, "nothing of run "+run+" says "+msg)
		return nil
	}

	line := of("Pages recorded", full.RunID, "ActivityType", "Attempt", "pages", "rows", "calls", "rateLimits")
	require.Equal(t, "info", line["level"])
	line = of("Run recorded", full.RunID, "ActivityType", "mode", "outcome", "calls", "rateLimitWaits", "User")
	require.Equal(t, "Completed", line["outcome"])
	require.Contains(t, line["User"], "added")
	was, err := json.Marshal(full.Watermark)
	require.NoError(t, err)
	line = of("Watermark advanced", full.RunID, "from", "to")
	require.Empty(t, line["from"])
	require.JSONEq(t, string(was), line["to"].(string))
	if is, err := json.Marshal(delta.Watermark); err == nil && string(is) != string(was) {
		line = of("Watermark advanced", delta.RunID, "from", "to")
		require.JSONEq(t, string(was), line["from"].(string))
	}

	line = of("Okta's rate limit is used up, down to the reserve", full.RunID, "wait", "bucket", "limit", "remaining", "reset", "endpoint", "requestId", "stream")
	require.Equal(t, "warn", line["level"])
	line = of("Okta finds the calls in flight too many", full.RunID, "capped at", "requestId")
	require.Equal(t, "request-of-the-429", line["requestId"])
	line = of("Okta refused a call", refused.RunID, "endpoint", "status", "code", "requestId", "error")
	require.Equal(t, "request-of-the-401", line["requestId"])
	require.EqualValues(t, 401, line["status"])
	of("Run recorded", refused.RunID, "error")
	of("Okta call", full.RunID, "endpoint", "status", "requestId", "took", "bucket")
	of("Page recorded", full.RunID, "stream", "page", "rows", "seen")

	// Nothing personal, no token, whatever the level.
	require.NotContains(t, text, "oktasim-token")
	require.NotRegexp(t, regexp.MustCompile(`[a-z0-9.]+@example\.`), text)
	for _, u := range w.objects() {
		if login, ok := u.Attributes["login"].(string); ok {
			require.NotContains(t, text, login)
		}
	}
}
