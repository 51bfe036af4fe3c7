package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

// healthcheckTimeout bounds the question: more than a probe of the worker itself takes.
const healthcheckTimeout = 2 * probeTimeout

// healthcheckCommand asks a running worker how it is. A container without a shell or curl
// has the worker's own program for it.
func healthcheckCommand() *cobra.Command {
	var addr string
	var live bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the worker that runs here whether it is ready",
		Long: `Ask the worker that runs on this machine, or in this container, whether it is ready:
whether it polls and reaches its database and Temporal. It prints the answer and ends
with exit code 0 when it is ready and 1 when it is not, or does not answer. It is the
health check of container images that hold no other program.`,
		Example: `  worker healthcheck
  worker healthcheck --live --metrics-addr 127.0.0.1:9464`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/readyz"
			if live {
				path = "/healthz"
			}
			return askHealth(cmd.Context(), addr, path, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&addr, "metrics-addr", "127.0.0.1:9464", "the --metrics-addr of the worker; of one that listens on every address, loopback is asked")
	cmd.Flags().BoolVar(&live, "live", false, "ask only whether the process lives")
	return cmd
}

// askHealth prints what a worker answers, and fails unless it is 200.
func askHealth(ctx context.Context, addr, path string, out io.Writer) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--metrics-addr %q: want HOST:PORT, such as 127.0.0.1:9464: %w", addr, err)
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip.Equal(net.IPv6unspecified):
		host = "::1"
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("--metrics-addr %q: %w", addr, err)
	}
	// Without the environment's proxy, which does not know this machine's loopback.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the worker at %s does not answer: %w", addr, err)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("the worker at %s does not answer: %w", addr, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the worker at %s answers %s: %s", addr, res.Status, strings.TrimSpace(string(body)))
	}
	_, err = out.Write(body)
	return err
}
