package integration

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// receiver is an OTLP receiver.
type receiver struct {
	url string

	mu      sync.Mutex
	spans   map[string]*tracepb.Span // one of each name
	service string
	text    string // all that was sent
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{spans: map[string]*tracepb.Span{}}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var body io.Reader = req.Body
		if req.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		b, err := io.ReadAll(body)
		var sent collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(b, &sent)
		}
		if err != nil || req.URL.Path != "/v1/traces" {
			t.Error(req.URL, err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.text += string(b)
		for _, rs := range sent.GetResourceSpans() {
			for _, a := range rs.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					r.service = a.GetValue().GetStringValue()
				}
			}
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					r.spans[s.GetName()] = s
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// TestTracing has a real worker send the spans of an import.
func TestTracing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 60, 3)}, nil)
	r := newReceiver(t)
	p, err := w.stack.Worker(w.Context(), append(w.env(), "OTEL_EXPORTER_OTLP_ENDPOINT="+r.url), "--metrics-addr", "")
	require.NoError(t, err)
	row := w.completedMode("full")
	require.NoError(t, p.Stop(), "it sends the last spans when it stops")
	for _, name := range []string{"RunWorkflow:ImportWorkflow", "RunWorkflow:ReconcileWorkflow", "RunActivity:BeginRun", "RunActivity:ReadUsers", "RunActivity:CommitRun"} {
		require.Contains(t, r.spans, name)
	}
	require.Equal(t, "identitymesh-okta-worker", r.service)
	begin := r.spans["RunActivity:BeginRun"]
	require.NotEmpty(t, begin.GetParentSpanId())
	for _, name := range []string{"RunWorkflow:ReconcileWorkflow", "RunActivity:ReadUsers", "RunActivity:CommitRun"} {
		require.Equal(t, begin.GetTraceId(), r.spans[name].GetTraceId(), "one trace for a run, its child workflow included")
	}
	require.NotContains(t, r.spans, "HandleQuery:progress", "somebody who watches is no part of the run")
	require.Contains(t, r.text, row.RunID)
	require.NotContains(t, r.text, "oktasim-token")
	for _, o := range w.objects() {
		if login, ok := o.Attributes["login"].(string); ok {
			require.NotContains(t, r.text, login)
		}
	}
}
