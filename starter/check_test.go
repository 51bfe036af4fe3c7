package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/preflight"
	"github.com/identitymesh/okta-connector/secrets"
)

// checkBench is a bench with a connector that reads a simulated org.
func checkBench(t *testing.T) (b *bench, sim *oktasim.Server, def string) {
	t.Helper()
	org, err := oktasim.Generate(oktasim.Spec{Users: 20, Groups: 3, Seed: 7})
	require.NoError(t, err)
	sim = oktasim.New(oktasim.Config{Org: org, Token: canary, Rate: 600})
	web := httptest.NewServer(sim)
	t.Cleanup(web.Close)
	b = newBench(t)
	b.now = time.Now()
	b.temporal.attributes = []string{"IdentityMeshConnector", "IdentityMeshMode", "IdentityMeshOutcome"}
	def = fmt.Sprintf(`{"Name": "contoso", "Type": "Okta", "ConfigJson": {"OrgDomain": %q, "InsecureLoopback": true},
		"AuthJson": {"Mode": "ApiKey", "ApiKey": "secret://okta/contoso/apitoken"}}`, strings.TrimPrefix(web.URL, "http://"))
	b.stdin = strings.NewReader(def)
	b.ok("connector", "apply", "-f", "-")
	b.withStore(func(ctx context.Context, store mesh.Store) {
		ref, err := secrets.ParseRef("secret://okta/contoso/apitoken")
		require.NoError(t, err)
		require.NoError(t, b.secrets(store).Set(ctx, ref, []byte(canary)))
	})
	return b, sim, def
}

func TestConnectorCheck(t *testing.T) {
	t.Parallel()
	b, _, _ := checkBench(t)
	text := b.ok("connector", "check", "contoso")
	require.NotContains(t, text, canary)
	require.Regexp(t, `(?m)^ok +Database +`+b.dir+`/mesh.db, schema version \d+, writable$`, text)
	require.Regexp(t, `(?m)^ok +Credential +Okta accepts the API token$`, text)
	require.Regexp(t, `(?m)^ok +Worker +polls task queue "test-queue"$`, text)
	require.Regexp(t, `(?m)^ok +Search attributes +registered$`, text)
	require.Regexp(t, `(?m)^ok +Schedule +none: `, text)
	require.Regexp(t, `\n\n\d+ ok, 0 warnings, 0 failed, 0 skipped; 7 calls to http://127.0.0.1:\d+\n$`, text)
	require.Empty(t, b.err.String())
	require.Empty(t, b.temporal.started, "nothing is started")

	var r preflight.Report
	require.NoError(t, json.Unmarshal([]byte(b.ok("connector", "check", "contoso", "-o", "json")), &r))
	require.Equal(t, preflight.OK, r.Result)
	require.Equal(t, "contoso", r.Connector)
	require.Equal(t, 7, r.Calls)
	require.NotNil(t, r.Step(stepWorker))
}

func TestConnectorCheckFails(t *testing.T) {
	t.Parallel()
	b, sim, _ := checkBench(t)
	require.NoError(t, sim.SetFault(oktasim.Fault{Name: oktasim.FaultRoleLost}))
	require.Equal(t, exitError, b.run("connector", "check", "contoso", "--no-temporal"))
	require.Regexp(t, `(?m)^failed +List users +Okta lists nobody\n +→ an administrator without a role`, b.out.String())
	require.Regexp(t, `(?m)^skipped  3 checks +not looked at, List groups comes first: Read a group, Whole org visible, List members$`, b.out.String())
	require.Equal(t, "starter: 2 checks of connector contoso failed\n", b.err.String())
	require.Empty(t, b.dialed, "Temporal is left out")

	require.Equal(t, exitError, b.run("connector", "check", "contoso", "-o", "json"))
	var r preflight.Report
	require.NoError(t, json.Unmarshal(b.out.Bytes(), &r))
	require.Equal(t, preflight.Failed, r.Result)
	b.fails(exitUsage, "connector check needs exactly one argument, NAME", "connector", "check")
	b.fails(exitUsage, "takes no argument", "connector", "check", "contoso", "-f", "x.json")
}

func TestConnectorCheckStrictly(t *testing.T) {
	t.Parallel()
	b, _, _ := checkBench(t)
	b.temporal.attributes = nil
	require.Contains(t, b.ok("connector", "check", "contoso"), "1 warning,")
	require.Equal(t, exitError, b.run("connector", "check", "contoso", "--strict"))
	require.Equal(t, "starter: 1 warning of connector contoso\n", b.err.String())
}

func TestConnectorCheckOfAFile(t *testing.T) {
	t.Parallel()
	b, _, def := checkBench(t)
	file := filepath.Join(b.dir, "fabrikam.json")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(def, "contoso", "fabrikam", 1)), 0o600))
	require.Regexp(t, `(?m)^ok +Definition +valid, imports users, groups, memberships, not applied yet$`, b.ok("connector", "check", "-f", file))
	b.fails(exitError, `connector "fabrikam" does not exist`, "connector", "show", "fabrikam")
	b.stdin = strings.NewReader(`{"Name": "x"}`)
	b.fails(exitError, "ConfigJson", "connector", "check", "-f", "-")
	b.fails(exitError, "no such file", "connector", "check", "-f", file+"x")
}

func TestConnectorCheckWithoutADatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.Equal(t, exitError, b.run("connector", "check", "contoso"))
	require.Regexp(t, `(?m)^failed +Database +.*mesh.db does not exist`, b.out.String())
	require.NoFileExists(t, filepath.Join(b.dir, "mesh.db"))
}

func TestCheckOfTemporal(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		prepare       func(*bench)
		id            preflight.ID
		result        preflight.Result
		found, advice string
	}{
		"nobody there": {func(b *bench) { b.dialErr = errors.New("reach Temporal at 127.0.0.1:7233: refused") },
			stepTemporal, preflight.Failed, "reach Temporal at 127.0.0.1:7233: refused", "set TEMPORAL_ADDRESS"},
		"then no worker is known": {func(b *bench) { b.dialErr = errors.New("refused") }, stepWorker, preflight.Skipped, "Temporal comes first", ""},
		"no namespace": {func(b *bench) { b.temporal.pollersErr = serviceerror.NewNamespaceNotFound("identity") },
			stepTemporal, preflight.Failed, "identity", "make the namespace, or set TEMPORAL_NAMESPACE"},
		"no worker":     {func(b *bench) { b.temporal.idle = true }, stepWorker, preflight.Failed, `nobody polls task queue "test-queue" for workflows and activities`, "Start one with 'worker'"},
		"no attributes": {func(b *bench) { b.temporal.attributes = []string{"IdentityMeshMode"} }, stepAttributes, preflight.Warning, "IdentityMeshConnector, IdentityMeshOutcome not registered", "temporal operator search-attribute create --name IdentityMeshConnector --type Keyword --name IdentityMeshOutcome --type Keyword"},
		"hidden attributes": {func(b *bench) { b.temporal.attributesErr = serviceerror.NewPermissionDenied("not you", "") },
			stepAttributes, preflight.Warning, "not known: not you", "may not list runs"},
		"a schedule": {func(b *bench) { b.ok("schedule", "apply", "contoso", "--every", "15m") }, stepSchedule, preflight.OK, "", ""},
		"a paused schedule": {func(b *bench) {
			b.ok("schedule", "apply", "contoso", "--every", "15m")
			b.ok("schedule", "pause", "contoso", "--note", "maintenance")
		}, stepSchedule, preflight.Warning, "paused: ", "starter schedule resume contoso"},
		"a run that the database lost": {func(b *bench) { b.ticked(time.Minute, enums.WORKFLOW_EXECUTION_STATUS_COMPLETED) },
			stepSchedule, preflight.Warning, "completed run lost-run of", "starter restored --all"},
		"it was told": {func(b *bench) {
			b.ticked(time.Minute, enums.WORKFLOW_EXECUTION_STATUS_COMPLETED)
			b.ok("restored", "--all", "--yes")
		}, stepSchedule, preflight.OK, "the next run", ""},
		"a run that failed before it began": {func(b *bench) { b.ticked(time.Minute, enums.WORKFLOW_EXECUTION_STATUS_FAILED) },
			stepSchedule, preflight.OK, "the next run", ""},
		"a run whose row may have been removed": {func(b *bench) { b.ticked(9*24*time.Hour, enums.WORKFLOW_EXECUTION_STATUS_COMPLETED) },
			stepSchedule, preflight.OK, "the next run", ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.apply("contoso")
			c.prepare(b)
			var got *preflight.Step
			for _, s := range b.cli().checkTemporal(t.Context(), "contoso", "test-queue") {
				if s.ID == c.id {
					got = &s
				}
			}
			require.NotNil(t, got)
			require.Equal(t, c.result, got.Result, got.Found)
			require.Contains(t, got.Found, c.found)
			require.Contains(t, got.Advice, c.advice)
		})
	}
}

// The error of a failed run names the check; status shows it whole.
func TestStatusShowsTheLastError(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.begin("contoso", someRun)
	why := strings.Repeat("401 Unauthorized ", 10) + "`starter connector check contoso`"
	b.withStore(func(ctx context.Context, store mesh.Store) {
		_, err := store.End(ctx, someRun, mesh.Failed, why)
		require.NoError(t, err)
	})
	require.Contains(t, b.ok("status", "contoso"), "\nLast error     "+why+"\n")
	b.seed("contoso", "another-run", object(mesh.User, "00u1", nil))
	require.NotContains(t, b.ok("status", "contoso"), "Last error")
}

func TestReportIsWrapped(t *testing.T) {
	t.Parallel()
	r := &preflight.Report{}
	r.Add(preflight.Step{Name: "Name", Result: preflight.Failed, Found: strings.Repeat("word ", 12) + "a\x1b[2Jb", Advice: strings.Repeat("do ", 20)})
	var out strings.Builder
	writeReport(&out, r, 60)
	for line := range strings.SplitSeq(out.String(), "\n") {
		require.LessOrEqual(t, len([]rune(line)), 60, line)
	}
	require.NotContains(t, out.String(), "\x1b")
	require.Contains(t, out.String(), "failed   Name  word word")
	require.Contains(t, out.String(), "\n               → do do")
	require.Contains(t, out.String(), "\n                 do do")
	out.Reset()
	writeReport(&out, r, 0)
	require.Len(t, strings.Split(out.String(), "\n"), 5, "a pipe gets one line for each text")
}

// ticked gives the connector a schedule that has started a run which the database does not
// know.
func (b *bench) ticked(ago time.Duration, status enums.WorkflowExecutionStatus) {
	b.ok("schedule", "apply", "contoso", "--every", "15m")
	b.temporal.describe = &workflow.WorkflowExecutionInfo{Status: status}
	b.stored().Info.RecentActions = []client.ScheduleActionResult{{ActualTime: b.now.Add(-ago),
		StartWorkflowResult: &client.ScheduleWorkflowExecution{WorkflowID: "import-contoso-auto", FirstExecutionRunID: "lost-run"}}}
}
