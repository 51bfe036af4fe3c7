package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"

	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// events returns the whole history of a workflow run; "" is the newest one.
func events(w *world, workflowID, runID string) *historypb.History {
	w.Helper()
	var h historypb.History
	all := w.client().GetWorkflowHistory(w.Context(), workflowID, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for all.HasNext() {
		e, err := all.Next()
		require.NoError(w, err)
		h.Events = append(h.Events, e)
	}
	return &h
}

// child returns the reconcile that a run's history tells of, nil without one.
func child(h *historypb.History) *commonpb.WorkflowExecution {
	for _, e := range h.GetEvents() {
		a := e.GetChildWorkflowExecutionStartedEventAttributes()
		if a.GetWorkflowType().GetName() == "ReconcileWorkflow" {
			return a.GetWorkflowExecution()
		}
	}
	return nil
}

// payload is the data of one payload in the JSON of a history.
var payload = regexp.MustCompile(`"data": ?"([A-Za-z0-9+/=]+)"`)

// history returns all that Temporal keeps of a run and of its reconcile, as text: its
// payloads, which JSON has in base64, are decoded.
func history(w *world, runID string) []byte {
	w.Helper()
	h := events(w, workflowID(w, runID), runID)
	all := readable(w, h)
	if c := child(h); c != nil {
		all = append(all, readable(w, events(w, c.GetWorkflowId(), c.GetRunId()))...)
	}
	return all
}

// readable is a history as text.
func readable(w *world, h *historypb.History) []byte {
	w.Helper()
	return payload.ReplaceAllFunc(historyJSON(w, h), func(b []byte) []byte {
		data, err := base64.StdEncoding.DecodeString(string(payload.FindSubmatch(b)[1]))
		require.NoError(w, err)
		return data
	})
}

// historyJSON is a history as `temporal workflow show -o json` prints it.
func historyJSON(w *world, h *historypb.History) []byte {
	w.Helper()
	b, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(h)
	require.NoError(w, err)
	return b
}

// identity is who ran a task, host and process, and a worker's sticky queue, which has
// the host's name too.
var identity = regexp.MustCompile(`("(?:identity|name)": ?)"[^"]*(?:@[^"]*|:[0-9a-f-]{36})"`)

// anonymous takes this machine's and this user's name out of a history.
func anonymous(w *world, history []byte) []byte {
	w.Helper()
	host, err := os.Hostname()
	require.NoError(w, err)
	operator := []byte("@" + host)
	if u, err := user.Current(); err == nil {
		operator = append([]byte(u.Username), operator...)
	}
	history = payload.ReplaceAllFunc(history, func(b []byte) []byte {
		text := payload.FindSubmatch(b)[1]
		data, err := base64.StdEncoding.DecodeString(string(text))
		require.NoError(w, err)
		data = bytes.ReplaceAll(data, operator, []byte("operator@example"))
		return bytes.Replace(b, text, []byte(base64.StdEncoding.EncodeToString(data)), 1)
	})
	return identity.ReplaceAll(history, []byte(`$1"recorded"`))
}

// recordRun writes the history of a run into the replay fixtures, and that of its
// reconcile, as recordHistory does.
func recordRun(w *world, runID, name string) {
	w.Helper()
	if !recording() || w.stack.DB != "" {
		return
	}
	h := events(w, workflowID(w, runID), runID)
	recordHistory(w, h, name)
	if c := child(h); c != nil {
		recordHistory(w, events(w, c.GetWorkflowId(), c.GetRunId()), name+"-reconcile")
	}
}

func recording() bool { return os.Getenv("IDENTITYMESH_RECORD_HISTORIES") != "" }

// recordHistory writes a history into the replay fixtures when
// IDENTITYMESH_RECORD_HISTORIES is set (docs/testing.md says when that is right).
func recordHistory(w *world, h *historypb.History, name string) {
	w.Helper()
	if !recording() || w.stack.DB != "" {
		return
	}
	for _, e := range h.GetEvents() { // what TestContinueAsNew sent, which no workflow reads
		if a := e.GetWorkflowExecutionSignaledEventAttributes(); a.GetSignalName() == padding {
			a.Input = nil
		}
	}
	dir := filepath.Join("..", "workflows", "testdata", "replay")
	require.NoError(w, os.MkdirAll(dir, 0o750))
	require.NoError(w, os.WriteFile(filepath.Join(dir, name+".json"), anonymous(w, historyJSON(w, h)), 0o600))
}

// TestHistoryHoldsNothingPersonal searches the exported history of a run, its query
// answer and its visibility record for the token and for everybody in the org.
func TestHistoryHoldsNothingPersonal(t *testing.T) {
	t.Parallel()
	org := generated(t, 400, 12)
	w := newWorld(t, oktasim.Config{Org: org}, map[string]any{"UserSearchFilter": `status eq "ACTIVE"`})
	worker := w.worker()
	row := w.completed()
	recordRun(w, row.RunID, "clean")
	// a second run in which deletes are looked up
	for range 3 {
		removeUser(w)
	}
	second := w.completed()
	recordRun(w, second.RunID, "full")

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
	require.Contains(t, seen, `"phase":"Settling"`, "payloads are searched, not their base64")
	require.Contains(t, seen, "EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED")
	require.NotContains(t, seen, "status eq", "the filter may hold personal data")
	require.Greater(t, requireNobody(w, seen), 400)
}

// requireNobody requires that a text holds neither the token nor anything of anybody
// in the org, and returns how many names and addresses it looked for.
func requireNobody(w *world, seen string) (names int) {
	w.Helper()
	require.NotContains(w, seen, "oktasim-token")
	for _, u := range w.org().Snapshot().Users {
		var user struct{ Profile map[string]any }
		require.NoError(w, json.Unmarshal(u, &user))
		for _, field := range []string{"login", "email", "firstName", "lastName", "displayName", "mobilePhone"} {
			v := text(user.Profile[field])
			if len([]rune(v)) < 5 { // a short name is a part of other words
				continue
			}
			names++
			require.False(w, strings.Contains(seen, v), "%s %s", field, v) // the text is long
		}
	}
	return names
}

// workflowID returns the workflow id of a run. One that the mesh does not know yet is
// asked of Temporal's index, which may be a little behind.
func workflowID(w *world, runID string) string {
	w.Helper()
	var show struct{ WorkflowID string }
	waitFor(w, "run "+runID+" is known", func() bool {
		r := w.starter("", "runs", "show", runID, "-o", "json")
		if r.Code == 0 {
			decode(w, r.Stdout, &show)
		}
		return r.Code == 0
	})
	return show.WorkflowID
}

// removeUser hard-deletes the first user that is active in the org, as Okta has it:
// deactivate, then delete.
func removeUser(w *world) string {
	w.Helper()
	active := w.org().UserIDsByStatus(oktasim.Active)
	require.NotEmpty(w, active)
	w.okta(http.MethodDelete, "/api/v1/users/"+active[0], nil)
	w.okta(http.MethodDelete, "/api/v1/users/"+active[0], nil)
	return active[0]
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
