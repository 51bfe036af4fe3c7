package main

import (
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
)

func TestFamilyOf(t *testing.T) {
	t.Parallel()
	const act = module + "activities.(*Activities).ReadMembers"
	for name, tt := range map[string]struct {
		stack []string
		want  string
	}{
		"nothing":                  {nil, famRest},
		"JSON of the client":       {[]string{"encoding/json.(*decodeState).object", module + "okta.decode", act}, famOkta},
		"JSON of nobody":           {[]string{"encoding/json/jsontext.(*Decoder).ReadToken", "main.main"}, famOkta},
		"JSON of the SDK":          {[]string{"encoding/json.Marshal", "go.temporal.io/sdk/converter.(*JSONPayloadConverter).ToPayload", act}, famSDK},
		"JSON of the mapping":      {[]string{"runtime.mallocgc", "encoding/json.Marshal", module + "mapping.User", act}, famMapping},
		"a connection":             {[]string{"syscall.read", "net.(*conn).Read", "net/http.(*persistConn).readLoop"}, famOkta},
		"gRPC":                     {[]string{"syscall.write", "google.golang.org/grpc/internal/transport.(*loopyWriter).run"}, famSDK},
		"SQLite":                   {[]string{"modernc.org/sqlite/lib.Xsqlite3_step", "database/sql.(*Stmt).ExecContext", module + "mesh.(*SQLite).WritePage", act}, famStore},
		"written while it is read": {[]string{"runtime.memmove", module + "mesh.(*SQLite).WriteMembers", act, module + "okta.(*Client).each"}, famStore},
		"our own":                  {[]string{"runtime.mapaccess1", act, "go.temporal.io/sdk/internal.(*activityExecutor).Execute"}, famOwn},
		"a workflow":               {[]string{module + "workflows.(*reader).next", "go.temporal.io/sdk/internal.executeDispatcher"}, famSDK},
		"the collector":            {[]string{"runtime.scanobject", "runtime.gcDrain", "runtime.gcBgMarkWorker.func2"}, famGC},
		"the scheduler":            {[]string{"runtime.futex", "runtime.findRunnable", "runtime.mcall"}, famRest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, familyOf(tt.stack))
		})
	}
}

func TestAttribute(t *testing.T) {
	t.Parallel()
	at := func(names ...string) []*profile.Location {
		var lines []profile.Line
		for _, n := range names { // inlined into one another
			lines = append(lines, profile.Line{Function: &profile.Function{Name: n}})
		}
		return []*profile.Location{{Line: lines}, {Line: []profile.Line{{Function: &profile.Function{Name: "main.main"}}}}}
	}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		Sample: []*profile.Sample{
			{Value: []int64{1, 10e6}, Location: at("bytes.IndexByte", module+"okta.decode", module+"activities.Read")},
			{Value: []int64{2, 20e6}, Location: at(module + "activities.Read")},
			{Value: []int64{3, 30e6}, Location: at("runtime.futex")},
		},
	}
	got, err := attribute(p)
	require.NoError(t, err)
	require.Equal(t, []family{{famOkta, 10}, {famMapping, 0}, {famStore, 0}, {famSDK, 0}, {famOwn, 20}, {famGC, 0}, {famRest, 30}}, got)

	p.SampleType = p.SampleType[:1]
	_, err = attribute(p)
	require.ErrorContains(t, err, "no CPU time")
}

func TestReadTimers(t *testing.T) {
	t.Parallel()
	const text = `# TYPE identitymesh_okta_calls_total counter
identitymesh_okta_calls_total{endpoint="/api/v1/users"} 48
identitymesh_okta_calls_total{endpoint="/api/v1/groups"} 3
# TYPE identitymesh_okta_call_latency_seconds histogram
identitymesh_okta_call_latency_seconds_bucket{endpoint="/api/v1/users",le="+Inf"} 48
identitymesh_okta_call_latency_seconds_sum{endpoint="/api/v1/users"} 1.25
identitymesh_okta_call_latency_seconds_count{endpoint="/api/v1/users"} 48
identitymesh_okta_call_latency_seconds_bucket{endpoint="/api/v1/groups",le="+Inf"} 3
identitymesh_okta_call_latency_seconds_sum{endpoint="/api/v1/groups"} 0.25
identitymesh_okta_call_latency_seconds_count{endpoint="/api/v1/groups"} 3
`
	calls, sums, err := readTimers(text)
	require.NoError(t, err)
	require.Equal(t, 51, calls)
	require.Equal(t, []timer{{"calls to Okta", 1500, 51}}, sums, "a timer that the worker does not have is left out")

	calls, sums, err = readTimers("")
	require.NoError(t, err)
	require.Zero(t, calls)
	require.Empty(t, sums)

	_, _, err = readTimers("not {a metric")
	require.Error(t, err)
}
