package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
	"go.uber.org/zap"

	"github.com/identitymesh/okta-connector/internal/app"
)

// traceGrace is how long the end of a worker waits for its last spans to be sent.
const traceGrace = 5 * time.Second

// serviceName is what traces call the worker, unless OTEL_SERVICE_NAME says otherwise.
const serviceName = "identitymesh-okta-worker"

// startTracing sends a span of each workflow and activity by OTLP, as OpenTelemetry's
// standard variables say; none without an endpoint. Spans hold ids and the errors of runs,
// as the Web UI shows them. stop sends what is left.
func startTracing(ctx context.Context, logger *zap.Logger) (interceptors []interceptor.WorkerInterceptor, stop func(), _ error) {
	none := func() {}
	if !tracingWanted() {
		return nil, none, nil
	}
	secrets, err := traceSecrets()
	if err != nil {
		return nil, none, err
	}
	exporter, err := newExporter(ctx)
	if err != nil {
		return nil, none, fmt.Errorf("send traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", serviceName), attribute.String("service.version", app.VersionString())),
		resource.WithTelemetrySDK(), resource.WithFromEnv()) // the environment has the last word
	if err != nil {
		return nil, none, fmt.Errorf("describe the worker for its traces (OTEL_RESOURCE_ATTRIBUTES): %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("Traces were not sent", zap.Error(traceError(err, secrets))) }))
	tracing, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer:              provider.Tracer("github.com/identitymesh/okta-connector"),
		DisableQueryTracing: true, // who watches a run is no part of it
		DisableBaggage:      true, // whoever starts a run puts nothing of his into its history
		// A run that was begun with other headers goes on.
		AllowInvalidParentSpans: true,
	})
	if err != nil {
		return nil, none, fmt.Errorf("trace workflows: %w", err)
	}
	logger.Info("Traces are sent")
	return []interceptor.WorkerInterceptor{tracing}, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceGrace)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			logger.Warn("The last traces were not sent", zap.Error(traceError(err, secrets)))
		}
	}, nil
}

// tracingWanted says whether an endpoint is set and nothing turns traces off.
func tracingWanted() bool {
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) != "" &&
		!strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") &&
		cmp.Or(os.Getenv("OTEL_TRACES_EXPORTER"), "otlp") == "otlp"
}

// newExporter connects when there is something to send. Endpoint, headers, certificates
// and time-outs are read from the environment by the exporter.
func newExporter(ctx context.Context) (*otlptrace.Exporter, error) {
	switch protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf"); protocol {
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: want http/protobuf or grpc", protocol)
	}
}
