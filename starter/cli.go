package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/user"
	"strings"
	"syscall"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

// cli is what the commands need of the world. Tests give their own.
type cli struct {
	stdin  io.Reader
	stdout *output
	stderr io.Writer
	tty    terminal

	openStore   func(ctx context.Context) (mesh.Store, error)
	database    func() (string, error) // the URL of the mesh database
	openSecrets func(store mesh.Store) (secrets.Backend, error)
	// inspectStore looks at the mesh database and creates nothing.
	inspectStore func(ctx context.Context) (mesh.Inspection, error)
	checkKey     func(ctx context.Context, store mesh.Secrets) error // nil: not checked
	// dial connects to Temporal; an empty namespace means the environment's.
	dial      func(ctx context.Context, namespace string) (temporalClient, error)
	taskQueue func() string
	// payloads is the codec of what goes to Temporal and comes from it.
	payloads func() (*codec.Codec, error)
	// operator names who gives this command, as a record of a decision shows it.
	operator func() string
	now      func() time.Time

	// acting is set when a command's own code starts; an earlier error is about the
	// command line.
	acting bool
	// tokens are what looks like an API token among the arguments: messages hide it.
	tokens []string
}

// temporalClient is the part of Temporal's client that the commands use.
type temporalClient interface {
	ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
	GetWorkflow(ctx context.Context, workflowID, runID string) client.WorkflowRun
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
	CancelWorkflow(ctx context.Context, workflowID, runID string) error
	TerminateWorkflow(ctx context.Context, workflowID, runID, reason string, details ...any) error
	UpdateWorkflow(ctx context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error)
	ScheduleClient() client.ScheduleClient
	WorkerDeploymentClient() client.WorkerDeploymentClient
	QueryWorkflow(ctx context.Context, workflowID, runID, queryType string, args ...any) (converter.EncodedValue, error)
	DescribeTaskQueue(ctx context.Context, queue string, kind enums.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error)
	ListWorkflow(ctx context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error)
	Close()
}

var _ temporalClient = client.Client(nil)

// newCLI returns the cli of this process.
func newCLI() *cli {
	return &cli{
		stdin:        os.Stdin,
		stdout:       &output{w: os.Stdout},
		stderr:       os.Stderr,
		tty:          osTerminal{},
		openStore:    app.OpenStore,
		database:     app.DatabaseURL,
		openSecrets:  func(s mesh.Store) (secrets.Backend, error) { return app.OpenSecrets(s) },
		inspectStore: app.InspectStore,
		checkKey:     app.CheckKey,
		dial:         dialTemporal,
		taskQueue:    app.TaskQueue,
		payloads:     codec.FromEnvironment,
		operator:     osOperator,
		now:          time.Now,
	}
}

// osOperator is the user of the operating system and the machine.
func osOperator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return name + "@" + host
}

func dialTemporal(ctx context.Context, namespace string) (temporalClient, error) {
	// The client's own chatter is of no use to an operator; its errors come back as errors.
	logger, err := app.NewLogger("error", "console")
	if err != nil {
		return nil, err
	}
	o, err := app.TemporalOptions(app.TemporalLogger(logger))
	if err != nil {
		return nil, err
	}
	if namespace != "" {
		o.Namespace = namespace
	}
	return app.DialTemporal(ctx, o, 0)
}

// run executes one command line and returns the exit code.
func (c *cli) run(ctx context.Context, args []string) int {
	root := newRoot(c)
	c.tokens = tokensIn(args)
	root.SetArgs(args)
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return c.finish(ctx, cmd, err)
}

// withStore runs f with the mesh open.
func (c *cli) withStore(ctx context.Context, f func(mesh.Store) error) error {
	store, err := c.openStore(ctx)
	if err != nil {
		return err
	}
	err = f(store)
	if cerr := store.Close(); err == nil {
		err = cerr
	}
	return err
}

// withSecrets runs f with the mesh and the secrets' backend open.
func (c *cli) withSecrets(ctx context.Context, f func(mesh.Store, secrets.Backend) error) error {
	return c.withStore(ctx, func(store mesh.Store) error {
		backend, err := c.openSecrets(store)
		if err != nil {
			return err
		}
		err = f(store, backend)
		if cerr := backend.Close(); err == nil {
			err = cerr
		}
		return err
	})
}

// withTemporal runs f with a client of the namespace, "" meaning the environment's.
func (c *cli) withTemporal(ctx context.Context, namespace string, f func(temporalClient) error) error {
	t, err := c.dial(ctx, namespace)
	if err != nil {
		return err
	}
	defer t.Close()
	return c.explainTemporal(namespace, f(t))
}

// explainTemporal adds what to check to an error about the namespace or the credentials,
// unless the command has said it already.
func (c *cli) explainTemporal(namespace string, err error) error {
	if err == nil || strings.Contains(err.Error(), "TEMPORAL_") {
		return err
	}
	o, oerr := app.TemporalOptions(nil)
	if oerr != nil {
		return err
	}
	o.Namespace = cmp.Or(namespace, o.Namespace)
	return app.ExplainTemporal(err, o)
}

// output is standard output. It remembers the first error, so that printing code
// need not check every write, and whether that was a reader gone away.
type output struct {
	w      io.Writer
	err    error
	broken bool // the reader closed the pipe
}

// Write fails at once after the first failure.
func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.err = err
		o.broken = errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
	}
	return n, err
}
