package main

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

func TestTracingIsOffUnlessAnEndpointIsSet(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  map[string]string
		on   bool
		err  string
	}{
		{name: "nothing set"},
		{name: "endpoint", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, on: true},
		{name: "endpoint of traces", env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, on: true},
		{name: "gRPC", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, on: true},
		{name: "disabled", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}},
		{name: "no exporter", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}},
		{name: "unknown protocol", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, err: "http/json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, name := range []string{"ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL"} {
				t.Setenv("OTEL_EXPORTER_OTLP_"+name, "")
			}
			t.Setenv("OTEL_SDK_DISABLED", "")
			t.Setenv("OTEL_TRACES_EXPORTER", "")
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			got, stop, err := startTracing(t.Context(), zap.NewNop())
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.on, len(got) > 0)
			stop()
		})
	}
}

func TestHeadersOfTracesAreNotShown(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c,authorization=Bearer%20canary%2Fkey")
	values, err := traceSecrets()
	require.NoError(t, err)
	for text, want := range map[string]string{
		"403 Forbidden (body: Bearer canary/key)":      "403 Forbidden",
		"rpc error: no Bearer canary/key":              "rpc error: no [header]",
		"rpc error: canary/key or canary%2Fkey is old": "rpc error: [header] or [header] is old",
		"rpc error: Bearer%20canary%2Fkey":             "rpc error: [header]",
	} {
		require.EqualError(t, traceError(errors.New(text), values), want)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	for _, wrong := range []string{"canary", "a=b,canary", "a=canary%zz", "=canary"} {
		t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", wrong)
		_, _, err := startTracing(t.Context(), zap.NewNop())
		require.ErrorContains(t, err, "is no header")
		require.NotContains(t, err.Error(), "canary")
	}
}
