package deploy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
)

// temporary are folders that the tests of this package share.
var temporary []string

// TestMain also makes this binary the stand-in of two programs that images have and a
// machine for tests has not: it is started under their names.
func TestMain(m *testing.M) {
	stand := map[string]func([]string) error{"temporal": temporalCLI, "nc": netcat}[filepath.Base(os.Args[0])]
	if stand != nil {
		if err := stand(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	for _, dir := range temporary {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// netcat does what `nc -z HOST PORT` does.
func netcat(args []string) error {
	if len(args) != 3 || args[0] != "-z" {
		return fmt.Errorf("nc %q: want -z HOST PORT", args)
	}
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", net.JoinHostPort(args[1], args[2]))
	if err != nil {
		return err
	}
	return c.Close()
}

// temporalCLI does what the two commands of temporal-namespace.sh do, and knows no others:
//
//	temporal operator namespace describe --namespace NAME
//	temporal operator namespace create --namespace NAME --retention 7d
func temporalCLI(args []string) error {
	create := len(args) == 7 && args[2] == "create" && args[5] == "--retention" && args[6] == "7d"
	describe := len(args) == 5 && args[2] == "describe"
	if !create && !describe || args[0] != "operator" || args[1] != "namespace" || args[3] != "--namespace" {
		return fmt.Errorf("temporal %q: unknown", args)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: os.Getenv("TEMPORAL_ADDRESS")})
	if err != nil {
		return err
	}
	defer c.Close()
	if describe {
		_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: args[4]})
		return err
	}
	if os.Getenv("HOME") != "/tmp" {
		return errors.New("the CLI writes into HOME, and only /tmp can be written")
	}
	_, err = c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: args[4], WorkflowExecutionRetentionPeriod: durationpb.New(7 * 24 * time.Hour),
	})
	return err
}
