package integration

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"

	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// history returns a run's whole history as `temporal workflow show -o json` does.
func history(w *world, runID string) []byte {
	w.Helper()
	c := w.client()
	var show struct{ WorkflowID string }
	require.NoError(w, json.Unmarshal([]byte(w.ok(w.starter("", "runs", "show", runID, "-o", "json"))), &show))
	var h historypb.History
	events := c.GetWorkflowHistory(w.Context(), show.WorkflowID, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(w, err)
		h.Events = append(h.Events, e)
	}
	b, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(&h)
	require.NoError(w, err)
	return b
}

// identity is who ran a task: host and process.
var identity = regexp.MustCompile(`("(?:identity|name)": ?)"[^"]*@[^"]*"`)

// recordHistory writes a run's history into the replay fixtures when
// IDENTITYMESH_RECORD_HISTORIES is set (docs/testing.md says when that is right).
func recordHistory(w *world, runID, name string) {
	w.Helper()
	if os.Getenv("IDENTITYMESH_RECORD_HISTORIES") == "" {
		return
	}
	dir := filepath.Join("..", "workflows", "testdata", "replay")
	require.NoError(w, os.MkdirAll(dir, 0o750))
	text := identity.ReplaceAll(history(w, runID), []byte(`$1"recorded"`)) // not this machine's name
	require.NoError(w, os.WriteFile(filepath.Join(dir, name+".json"), text, 0o600))
}

// TestHistoryHoldsNothingPersonal searches the exported history of a run, its query
// answer and its visibility record for the token and for everybody in the org.
func TestHistoryHoldsNothingPersonal(t *testing.T) {
	t.Parallel()
	org := generated(t, 400, 12)
	w := newWorld(t, oktasim.Config{Org: org}, map[string]any{"UserSearchFilter": `status eq "ACTIVE"`})
	worker := w.worker()
	row := w.completed()
	recordHistory(w, row.RunID, "clean")
	// a second run in which deletes are looked up
	for i := 0; i < 3; i++ {
		removeUser(w, i)
	}
	second := w.completed()

	seen := string(history(w, row.RunID)) + string(history(w, second.RunID)) + worker.Output()
	desc, err := w.client().DescribeWorkflowExecution(t.Context(), workflowID(w, row.RunID), row.RunID)
	require.NoError(t, err)
	seen += desc.String()
	answer, err := w.client().QueryWorkflow(t.Context(), workflowID(w, row.RunID), row.RunID, workflows.ProgressQuery)
	require.NoError(t, err)
	var progress json.RawMessage
	require.NoError(t, answer.Get(&progress))
	seen += string(progress)

	require.Contains(t, seen, row.RunID, "the search looks at the right text")
	require.NotContains(t, seen, "oktasim-token")
	require.NotContains(t, seen, "status eq", "the filter may hold personal data")
	names := 0
	for _, u := range org.Snapshot().Users {
		var user struct{ Profile map[string]any }
		require.NoError(t, json.Unmarshal(u, &user))
		for _, field := range []string{"login", "email", "firstName", "lastName", "displayName", "mobilePhone"} {
			v, _ := user.Profile[field].(string)
			if len([]rune(v)) < 5 { // a short name is a part of other words
				continue
			}
			names++
			require.NotContains(t, seen, v, field)
		}
	}
	require.Greater(t, names, 400)
}

func workflowID(w *world, runID string) string {
	w.Helper()
	var show struct{ WorkflowID string }
	require.NoError(w, json.Unmarshal([]byte(w.ok(w.starter("", "runs", "show", runID, "-o", "json"))), &show))
	return show.WorkflowID
}

// removeUser hard-deletes the i-th live user as Okta has it: deactivate, then delete.
func removeUser(w *world, i int) string {
	w.Helper()
	var ids []string
	for key := range w.objects() {
		if id, ok := strings.CutPrefix(key, "User "); ok {
			ids = append(ids, id)
		}
	}
	require.Greater(w, len(ids), i)
	id := ids[i]
	w.okta(http.MethodDelete, "/api/v1/users/"+id, nil)
	w.okta(http.MethodDelete, "/api/v1/users/"+id, nil)
	return id
}

// okta sends one request to the simulated org, as its administrator, and requires
// that it succeeds.
func (w *world) okta(method, path string, body any) []byte {
	w.Helper()
	payload := []byte{}
	if body != nil {
		var err error
		payload, err = json.Marshal(body)
		require.NoError(w, err)
	}
	req := httptest.NewRequestWithContext(w.Context(), method, "http://"+w.addr+path, strings.NewReader(string(payload)))
	req.Header.Set("Authorization", "SSWS oktasim-token")
	req.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	w.sim.ServeHTTP(rec, req)
	require.Less(w, rec.Code, 300, "%s %s: %s", method, path, rec.Body)
	return rec.Body.Bytes()
}
