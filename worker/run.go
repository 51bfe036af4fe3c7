package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/internal/notify"
	"github.com/identitymesh/okta-connector/workflows"
)

// run is the worker's life: open, wait for Temporal, poll, stop.
func run(ctx context.Context, c config) error {
	logger, err := app.NewLogger(c.logLevel, c.logFormat)
	if err != nil {
		return err
	}
	defer logger.Sync() //nolint:errcheck // standard error cannot always be synced, and nothing is lost

	store, err := app.OpenStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // the process ends
	if why := app.DatabaseExposed(); why != "" {
		logger.Warn("The database is reached over a way that others can read: add sslmode=verify-full to "+app.EnvDB, zap.String("why", why))
	}
	secrets, err := app.OpenSecrets(store)
	if err != nil {
		return err
	}
	defer secrets.Close() //nolint:errcheck // the process ends
	toOkta, err := app.OktaHTTP()
	if err != nil {
		return err
	}
	metrics, h := newMetrics(logger), &health{}
	defer metrics.close()
	budgets := &activities.Budgets{}
	metrics.registry.MustRegister(&meshCollector{store, logger}, &budgetCollector{budgets})
	h.setDatabase(func(ctx context.Context) error {
		_, err := store.ListConnectors(ctx)
		return err
	})
	counted := countSecrets(secrets, app.SecretsBackend(), metrics.handler)
	sinks, err := c.notify.FromEnvironment().Sinks(counted, agent())
	if err != nil {
		return err
	}
	stopNotices := notify.Start(notify.Config{Store: store, Sinks: sinks, Logger: logger, Metrics: metrics.handler})
	defer stopNotices(noticeGrace)
	monitor, err := startMonitor(ctx, c.metricsAddr, metrics, h, logger)
	if err != nil {
		return err
	}
	defer monitor.close()

	temporal, err := connect(ctx, logger, metrics.handler, h)
	if err != nil {
		return err
	}
	defer temporal.Close()
	if err := checkDeployments(ctx, temporal, c.version); err != nil {
		return err
	}

	tracing, stopTracing, err := startTracing(ctx, logger)
	if err != nil {
		return err
	}
	defer stopTracing()
	w := worker.New(temporal, app.TaskQueue(), worker.Options{
		DeploymentOptions: deploymentOptions(c.version),
		Interceptors:      tracing,
		WorkerStopTimeout: c.stopTimeout,
		// A cancel reaches an activity with its next heartbeat.
		MaxHeartbeatThrottleInterval:     time.Second,
		DefaultHeartbeatThrottleInterval: time.Second,
	})
	workflows.Register(w)
	activities.Register(w, activities.New(activities.Config{
		Store: store, Secrets: counted, HTTP: toOkta, UserAgent: agent(),
		Closed: app.Closed(temporal, logger), Turn: c.turn,
		Metrics: metrics.handler, Budgets: budgets,
	}))
	stopProfile, err := startProfile(c.cpuProfile)
	if err != nil {
		return err
	}
	defer stopProfile()
	if err := w.Start(); err != nil {
		return fmt.Errorf("start polling task queue %s: %w", app.TaskQueue(), err)
	}
	h.started()
	logger.Info("Worker is ready", zap.String("version", app.VersionString()), zap.String("taskQueue", app.TaskQueue()))
	go watchShare(ctx, temporal, c.version, h, logger)
	<-ctx.Done()
	h.drain()
	logger.Info("Worker is stopping: finishing the pages in hand", zap.Duration("atMost", c.stopTimeout))
	w.Stop()
	logger.Info("Worker has stopped")
	return nil
}

// noticeGrace is how long the end of a worker waits for a notice on its way; another
// worker, or the next one, sends it again.
const noticeGrace = 5 * time.Second

// agent is the worker's name towards Okta and webhooks.
func agent() string { return "identitymesh-okta-connector/" + app.VersionString() }

// Waiting for Temporal: how often the worker asks, and how often it says so.
const (
	dialInterval = time.Second
	sayInterval  = 15 * time.Second
)

// connect waits until Temporal answers, and tells h how to ask whether it still does; only
// a cancelled context ends it.
func connect(ctx context.Context, logger *zap.Logger, metrics client.MetricsHandler, h *health) (client.Client, error) {
	o, err := app.TemporalOptions(app.TemporalLogger(logger))
	if err != nil {
		return nil, err
	}
	o.MetricsHandler = metrics
	o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(h.polls.watch))
	var said time.Time
	for {
		c, err := app.DialTemporal(ctx, o, 5*time.Second)
		if err == nil {
			if err = app.ExplainTemporal(namespaceReady(ctx, c, o.Namespace), o); err == nil {
				h.setTemporal(func(ctx context.Context) error { return namespaceReady(ctx, c, o.Namespace) })
				registerSearchAttributes(ctx, c, o.Namespace, logger)
				return c, nil
			}
			c.Close()
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if time.Since(said) > sayInterval {
			said = time.Now()
			logger.Warn("Waiting for Temporal", zap.String("address", o.HostPort), zap.String("namespace", o.Namespace), zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("stopped while waiting for Temporal: %w", ctx.Err())
		case <-time.After(dialInterval):
		}
	}
}

// namespaceReady fails while Temporal does not answer, or starts up without its
// namespaces.
func namespaceReady(ctx context.Context, c client.Client, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("describe namespace %q: %w", namespace, err)
	}
	return nil
}

// registerSearchAttributes makes imports searchable. A server that refuses it, as
// Temporal Cloud does, needs an administrator to add them; imports run without.
func registerSearchAttributes(ctx context.Context, c client.Client, namespace string, logger *zap.Logger) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace,
		SearchAttributes: map[string]enums.IndexedValueType{
			workflows.ConnectorAttribute.GetName(): enums.INDEXED_VALUE_TYPE_KEYWORD,
			workflows.ModeAttribute.GetName():      enums.INDEXED_VALUE_TYPE_KEYWORD,
			workflows.OutcomeAttribute.GetName():   enums.INDEXED_VALUE_TYPE_KEYWORD,
		},
	})
	if _, exists := errors.AsType[*serviceerror.AlreadyExists](err); err != nil && !exists {
		logger.Warn("Search attributes could not be registered; imports cannot be searched by connector or mode", zap.Error(err))
	}
}
