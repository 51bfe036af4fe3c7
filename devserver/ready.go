package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// pollEvery is the pause between two questions to a server that is starting.
const pollEvery = 20 * time.Millisecond

// waitReady returns when a client finds all that cfg promises, or with the last
// reason why not when ctx ends.
func (s *Server) waitReady(ctx context.Context, cfg Config) error {
	c, err := client.NewLazyClient(client.Options{
		HostPort:          s.inner.address,
		ConnectionOptions: client.ConnectionOptions{TLS: s.inner.client()},
		Logger:            sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return fmt.Errorf("make a Temporal client: %w", err)
	}
	defer c.Close()

	if err := until(ctx, "the frontend to serve", func() error { return s.serving(ctx) }); err != nil {
		return err
	}
	if err := until(ctx, "the frontend to answer", func() error {
		_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err
	}); err != nil {
		return err
	}
	if s.inner.certs != nil {
		if err := until(ctx, "the frontend to answer with TLS", func() error { return s.inner.certs.check(ctx, s.address) }); err != nil {
			return err
		}
	}
	for _, namespace := range cfg.Namespaces {
		if err := until(ctx, "namespace "+namespace, func() error {
			_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
			return err
		}); err != nil {
			return err
		}
		if err := ensureSearchAttributes(ctx, c.OperatorService(), namespace, cfg.SearchAttributes); err != nil {
			return err
		}
	}
	if s.ui == nil {
		return nil
	}
	return until(ctx, "the Web UI to answer", func() error { return s.ui.check(ctx) })
}

// serving asks for the frontend's health by gRPC's own protocol: the SDK's check begins with
// another question, which a frontend that is not ready yet writes into its log as an error.
func (s *Server) serving(ctx context.Context) (err error) {
	transport := insecure.NewCredentials()
	if c := s.inner.client(); c != nil {
		transport = credentials.NewTLS(c)
	}
	conn, err := grpc.NewClient(s.inner.address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	r, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: "temporal.api.workflowservice.v1.WorkflowService"})
	if err == nil && r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		err = fmt.Errorf("the frontend is %s", r.GetStatus())
	}
	return err
}

// ensureSearchAttributes adds what a namespace lacks: one of an older file was
// made before a flag or a release named a new attribute. It returns when all are
// listed.
func ensureSearchAttributes(ctx context.Context, ops operatorservice.OperatorServiceClient, namespace string,
	want map[string]enumspb.IndexedValueType,
) error {
	missing := func() (map[string]enumspb.IndexedValueType, error) {
		resp, err := ops.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		if err != nil {
			return nil, err
		}
		absent := maps.Clone(want)
		for name, kind := range resp.GetCustomAttributes() {
			if wanted, ok := absent[name]; ok && wanted != kind {
				return nil, &attributeConflictError{namespace: namespace, name: name, has: kind, wanted: wanted}
			}
			delete(absent, name)
		}
		return absent, nil
	}
	absent, err := missing()
	if err != nil {
		return fmt.Errorf("search attributes of namespace %s: %w", namespace, err)
	}
	if len(absent) == 0 {
		return nil
	}
	if _, err := ops.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: absent,
	}); err != nil {
		return fmt.Errorf("add search attributes %v to namespace %s: %w", slices.Sorted(maps.Keys(absent)), namespace, err)
	}
	return until(ctx, "the search attributes of namespace "+namespace, func() error {
		absent, err := missing()
		if err == nil && len(absent) > 0 {
			err = fmt.Errorf("%v not listed yet", slices.Sorted(maps.Keys(absent)))
		}
		return err
	})
}

// attributeConflictError says that a file has a search attribute of another type
// than the one asked for. Temporal cannot change a type.
type attributeConflictError struct {
	namespace, name string
	has, wanted     enumspb.IndexedValueType
}

func (e *attributeConflictError) Error() string {
	return fmt.Sprintf("search attribute %s of namespace %s is a %s, not a %s: use that type or another --db",
		e.name, e.namespace, e.has, e.wanted)
}

// until repeats ask until it succeeds. When ctx ends first, the error says what
// was waited for and the last answer.
func until(ctx context.Context, what string, ask func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, err)
		case <-tick.C:
		}
	}
}
