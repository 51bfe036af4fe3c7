package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// sendTimeout bounds one delivery.
const sendTimeout = 30 * time.Second

// Sink takes notices somewhere. Send is safe to call again with the same notice.
type Sink interface {
	// Name is "command" or "url": whose place among the ended runs is kept in the mesh.
	Name() string
	// Send returns nil once the notice has arrived.
	Send(ctx context.Context, n Notice) error
}

// Command is a program that gets each notice as JSON on standard input. Exit code 0 means
// that it took it.
type Command struct{ args []string }

// NewCommand splits a command line at spaces; no shell is involved.
func NewCommand(line string) (*Command, error) {
	args := strings.Fields(line)
	if len(args) == 0 {
		return nil, errors.New("the notification command is empty: give a program and its arguments, separated by spaces")
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return nil, fmt.Errorf("the notification command cannot be run: %w", err)
	}
	return &Command{args}, nil
}

// Name implements [Sink].
func (*Command) Name() string { return "command" }

// maxOutput is how much of a failed command's output an error quotes.
const maxOutput = 500

// Send implements [Sink]. The command does not see the worker's own settings, which may
// hold credentials, but IDENTITYMESH_EVENT, _CONNECTOR, _RUN and _TEXT.
func (c *Command) Send(ctx context.Context, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode the notice: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...) //nolint:gosec // the operator's own command
	cmd.WaitDelay = 2 * time.Second
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "IDENTITYMESH_") || strings.HasPrefix(v, "TEMPORAL_")
	}), "IDENTITYMESH_EVENT="+string(n.Event), "IDENTITYMESH_CONNECTOR="+n.Connector, "IDENTITYMESH_RUN="+n.RunID, "IDENTITYMESH_TEXT="+n.Text)
	cmd.Stdin = bytes.NewReader(append(body, '\n'))
	out, err := cmd.CombinedOutput()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // it ended well and left a child behind
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("no end within %s", sendTimeout)
	}
	if text := strings.TrimSpace(string(out)); text != "" {
		return fmt.Errorf("run %s: %w: %.*s", c.args[0], err, maxOutput, text)
	}
	return fmt.Errorf("run %s: %w", c.args[0], err)
}

// Webhook is a URL to which each notice is posted as JSON. Any 2xx means that it arrived.
type Webhook struct {
	find   func(ctx context.Context) (string, error)
	client *http.Client
	agent  string
}

// NewWebhook posts to the URL that find returns, which is asked anew for each notice: it
// may be kept as a secret and change. It is never logged but for its host.
func NewWebhook(find func(ctx context.Context) (string, error), agent string) *Webhook {
	return &Webhook{find: find, agent: agent, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// CheckURL says what is wrong with the URL of a webhook, without repeating it.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return errors.New("the notification URL is none: write https://host/path")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("the notification URL is plain http to another machine, and a notice names connectors: write https://host/path, or use a notification command")
	}
	return nil
}

// Name implements [Sink].
func (*Webhook) Name() string { return "url" }

// Send implements [Sink].
func (h *Webhook) Send(ctx context.Context, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode the notice: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	target, err := h.find(ctx)
	if err != nil {
		return fmt.Errorf("find the notification URL: %w", err)
	}
	if err := CheckURL(target); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return errors.New("the notification URL is none: write https://host/path")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", h.agent)
	resp, err := h.client.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok { // it prints the URL, which may be a secret
			err = wrapped.Err
		}
		return fmt.Errorf("post to %s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close() //nolint:errcheck // what it says is not read to its end
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode < 200, resp.StatusCode >= 400:
		return fmt.Errorf("post to %s: %s", req.URL.Host, resp.Status)
	case resp.StatusCode >= 300:
		return fmt.Errorf("post to %s: %s: redirects are not followed, give the final URL", req.URL.Host, resp.Status)
	}
	return nil
}
