package notify

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/identitymesh/okta-connector/secrets"
)

// Environment variables, for whoever gives no flags.
const (
	EnvCommand = "IDENTITYMESH_NOTIFY_COMMAND"
	EnvURL     = "IDENTITYMESH_NOTIFY_URL"
)

// Settings say where notices go; the zero value: nowhere.
type Settings struct {
	// Command is a program and its arguments, separated by spaces.
	Command string
	// URL is an http(s) URL, or a secret:// reference to one.
	URL string
}

// FromEnvironment fills in what is not set.
func (s Settings) FromEnvironment() Settings {
	return Settings{Command: cmp.Or(s.Command, os.Getenv(EnvCommand)), URL: cmp.Or(s.URL, os.Getenv(EnvURL))}
}

// Sinks checks the settings. A URL that is a secret is resolved with each notice, by
// resolver.
func (s Settings) Sinks(resolver secrets.Resolver, agent string) ([]Sink, error) {
	var sinks []Sink
	if s.Command != "" {
		c, err := NewCommand(s.Command)
		if err != nil {
			return nil, fmt.Errorf("--notify-command: %w", err)
		}
		sinks = append(sinks, c)
	}
	if s.URL == "" {
		return sinks, nil
	}
	find := func(context.Context) (string, error) { return s.URL, nil }
	if strings.HasPrefix(s.URL, "secret://") {
		ref, err := secrets.ParseRef(s.URL)
		if err != nil {
			return nil, fmt.Errorf("--notify-url: %w", err)
		}
		find = func(ctx context.Context) (string, error) {
			v, err := resolver.Resolve(ctx, ref)
			if err != nil {
				return "", err
			}
			defer v.Wipe()
			return v.Reveal(), nil
		}
	} else if err := CheckURL(s.URL); err != nil {
		return nil, fmt.Errorf("--notify-url: %w", err)
	}
	return append(sinks, NewWebhook(find, agent)), nil
}
