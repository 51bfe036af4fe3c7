package app

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
)

// DefaultTaskQueue is where imports run unless $IDENTITYMESH_TASK_QUEUE says otherwise.
const DefaultTaskQueue = "identitymesh-okta"

// TaskQueue is the Temporal task queue of this process.
func TaskQueue() string { return cmp.Or(os.Getenv(EnvTaskQueue), DefaultTaskQueue) }

// TemporalOptions reads the connection settings as Temporal's own tools do:
// TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TLS and API-key variables, config profiles.
func TemporalOptions(logger log.Logger) (client.Options, error) {
	o, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return client.Options{}, fmt.Errorf("read Temporal's connection settings: %w", err)
	}
	o.HostPort = cmp.Or(o.HostPort, "127.0.0.1:7233")
	o.Namespace = cmp.Or(o.Namespace, client.DefaultNamespace)
	o.Logger = logger
	o.Identity = identity()
	return o, nil
}

// DialTemporal connects once and says where it looked when nobody answers.
// A zero timeout means ten seconds.
func DialTemporal(ctx context.Context, o client.Options, timeout time.Duration) (client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(timeout, 10*time.Second))
	defer cancel()
	c, err := client.DialContext(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("reach Temporal at %s (namespace %s): %w; is the server up, and is TEMPORAL_ADDRESS right?",
			o.HostPort, o.Namespace, err)
	}
	return c, nil
}

func identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("identitymesh@%s:%d", host, os.Getpid())
}
