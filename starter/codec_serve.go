package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/internal/private"
)

// codecServer is what the flags of `codec serve` say.
type codecServer struct {
	addr              string
	origins           []string
	tokenFile         string
	certFile, keyFile string
}

func newCodecServe(c *cli) *cobra.Command {
	var s codecServer
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Decrypt payloads for the Temporal Web UI and command line",
		Long: `Decrypt payloads for the Temporal Web UI and command line, until Ctrl-C. Run it on your
own machine, give the Web UI http://127.0.0.1:8234 as its codec endpoint (the glasses at
the top right), and the browser, not Temporal, asks it.

Whoever reaches it can read what Temporal stores: it listens on loopback, answers web
pages of the given origins only, and beyond loopback it wants TLS and a bearer token. The
command line of Temporal takes --codec-endpoint http://127.0.0.1:8234, and the token with
--codec-auth "Bearer TOKEN"; the Web UI has no place for one, so that a shared server for
its users needs an authenticating proxy of yours in front of it.`,
		Example: `  starter codec serve
  starter codec serve --origin https://cloud.temporal.io
  starter codec serve --addr 10.0.0.5:8234 --token-file codec.token --tls-cert tls.crt --tls-key tls.key`,
		Args: noArgs("it serves until Ctrl-C"),
		RunE: c.action(func(ctx context.Context, _ []string) error { return c.serveCodec(ctx, s) }),
	}
	f := cmd.Flags()
	f.StringVar(&s.addr, "addr", "127.0.0.1:8234", "`HOST:PORT` to listen on; port 0 picks a free one")
	f.StringSliceVar(&s.origins, "origin", []string{"http://127.0.0.1:8233", "http://localhost:8233"}, "the Web UI's `ORIGIN`; may be repeated")
	f.StringVar(&s.tokenFile, "token-file", "", "`FILE` with the bearer token to ask for, of mode 0600")
	f.StringVar(&s.certFile, "tls-cert", "", "certificate `FILE` to serve TLS with")
	f.StringVar(&s.keyFile, "tls-key", "", "key `FILE` of --tls-cert")
	return cmd
}

func (c *cli) serveCodec(ctx context.Context, s codecServer) error {
	payloads, err := c.payloads()
	if err != nil {
		return err
	}
	if payloads.KeyID() == "" {
		return fmt.Errorf("there is no key to decrypt with: set %s; 'starter codec key add' makes a key file", codec.EnvKeyFile)
	}
	token, err := s.check()
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	server := &http.Server{
		Handler:           payloads.Handler(s.origins, token),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	scheme := "http"
	serve := func() error { return server.Serve(l) }
	if s.certFile != "" {
		scheme = "https"
		serve = func() error { return server.ServeTLS(l, s.certFile, s.keyFile) }
	}
	c.notef("Codec server: %s://%s for %s, until Ctrl-C", scheme, l.Addr(), strings.Join(s.origins, ", "))
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the codec: %w", err)
	}
	return nil
}

// check judges the flags and returns the bearer token, "" for none.
func (s codecServer) check() (token string, err error) {
	host, _, err := net.SplitHostPort(s.addr)
	if err != nil {
		return "", usagef("--addr %q: want HOST:PORT, such as 127.0.0.1:8234", s.addr)
	}
	for _, o := range s.origins {
		if rest, ok := cutScheme(o); !ok || rest == "" || strings.ContainsAny(rest, "/*? ") {
			return "", usagef("--origin %q: want SCHEME://HOST[:PORT] and nothing after it, such as https://cloud.temporal.io", o)
		}
	}
	if (s.certFile == "") != (s.keyFile == "") {
		return "", usagef("--tls-cert and --tls-key: give both or neither")
	}
	ip := net.ParseIP(host)
	loopback := host == "localhost" || ip != nil && ip.IsLoopback()
	if !loopback && (s.tokenFile == "" || s.certFile == "") {
		return "", usagef("--addr %s is not loopback: whoever reaches it could read what Temporal stores; give --token-file, and --tls-cert with --tls-key", s.addr)
	}
	if s.tokenFile == "" {
		return "", nil
	}
	text, err := private.Read(s.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token = strings.TrimSpace(string(text))
	if len(token) < minToken {
		return "", fmt.Errorf("--token-file: %s holds fewer than %d characters: make a token that cannot be guessed, such as `openssl rand -hex 32`", s.tokenFile, minToken)
	}
	return token, nil
}

// minToken is the shortest bearer token, in characters.
const minToken = 16

func cutScheme(origin string) (string, bool) {
	for _, scheme := range []string{"https://", "http://"} {
		if rest, ok := strings.CutPrefix(origin, scheme); ok {
			return rest, true
		}
	}
	return "", false
}
