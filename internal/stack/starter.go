package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// definition is the file of the connector [DemoName]; %q is the org's host:port.
const definition = `{"Name": "` + DemoName + `", "Type": "Okta",
 "ConfigJson": {"OrgDomain": %q, "InsecureLoopback": true},
 "AuthJson": {"Mode": "ApiKey", "ApiKey": "secret://okta/` + DemoName + `/apitoken"}}`

// Define defines the connector [DemoName] over the simulated org at a host:port, and
// its secret. A mesh that knows the connector by another port forgets that one.
func (s *Stack) Define(ctx context.Context, addr string) error {
	if err := s.Quietly(ctx, SimToken, "secret", "set", "secret://okta/"+DemoName+"/apitoken"); err != nil {
		return err
	}
	return s.Quietly(ctx, fmt.Sprintf(definition, addr), "connector", "apply", "--replace-org", "-f", "-")
}

// Quietly runs a starter command; an error shows what it said.
func (s *Stack) Quietly(ctx context.Context, stdin string, args ...string) error {
	r, err := s.Starter(ctx, nil, stdin, args...)
	if err != nil {
		return err
	}
	if r.Code != 0 {
		return fmt.Errorf("starter %s ended with %d:\n%s", strings.Join(args, " "), r.Code, r.Stderr)
	}
	return nil
}

// JSON runs a starter command and decodes what it prints, whatever its exit code.
func (s *Stack) JSON(ctx context.Context, out any, args ...string) error {
	r, err := s.Starter(ctx, nil, "", append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(r.Stdout), out); err != nil {
		return fmt.Errorf("starter %s ended with %d and printed no JSON: %w\n%s", strings.Join(args, " "), r.Code, err, r.Stderr)
	}
	return nil
}
