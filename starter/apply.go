package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
)

// maxDefinition is far more than any definition needs.
const maxDefinition = 1 << 20

// applyOptions are the flags of `connector apply`.
type applyOptions struct {
	file       string
	replaceOrg bool
}

func newConnectorApply(c *cli) *cobra.Command {
	var o applyOptions
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "apply -f FILE|-",
		Short: "Create or change a connector from a definition file",
		Long: `Create or change a connector from a definition file (runbook, Step 3).

The file is checked strictly: an unknown field, a wrong type or a value out of range
is an error that names the field, and nothing is changed. What is left out has the
runbook's default. A run that is under way stops when its definition changes. With another
TaskQueue, the connector's schedule and its open hold move to that queue, and a run under
way on the old one is ended.

Another OrgDomain is refused while the mesh holds live objects of the connector: the
next run would delete all of them. --replace-org says that this is meant.`,
		Example: `  starter connector apply -f contoso.json
  starter connector init --domain contoso.okta.com | starter connector apply -f -
  starter connector show contoso -o json | sed 's/"PageSize": 200/"PageSize": 100/' | starter connector apply -f -`,
		Args: noArgs("the file goes with -f"),
		RunE: c.action(func(ctx context.Context, _ []string) error {
			if o.file == "" {
				return usagef("name the definition file with -f FILE, or -f - for standard input")
			}
			text, err := c.readInput(ctx, "definition", o.file)
			if err != nil {
				return err
			}
			return c.withStore(ctx, func(store mesh.Store) error { return c.applyConnector(ctx, store, text, o, out.value) })
		}),
	}
	cmd.Flags().StringVarP(&o.file, "file", "f", "", "the definition file; - reads standard input")
	cmd.Flags().BoolVar(&o.replaceOrg, "replace-org", false, "accept another OrgDomain, although the next run deletes the old org's objects")
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// readInput reads a definition, or what else what says, from a file, or from standard
// input for "-".
func (c *cli) readInput(ctx context.Context, what, file string) ([]byte, error) {
	r := c.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read the %s: %w", what, err)
		}
		defer func() { _ = f.Close() }() // read only
		r = f
	}
	text, err := await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(r, maxDefinition+1)) })
	if err != nil {
		return nil, fmt.Errorf("read the %s %s: %w", what, file, err)
	}
	if len(text) > maxDefinition {
		return nil, fmt.Errorf("the %s %s is larger than %d bytes: is this the right file?", what, file, maxDefinition)
	}
	return text, nil
}

// checkDefinition parses a definition and checks what package connector cannot know.
func checkDefinition(text []byte) (*connector.Definition, error) {
	def, err := connector.Parse(text)
	if err != nil {
		return nil, err
	}
	if err := def.Config.CheckAttributes(slices.Concat(mapping.UserAttributes(), mapping.GroupAttributes())); err != nil {
		return nil, err
	}
	return def, nil
}

func (c *cli) applyConnector(ctx context.Context, store mesh.Store, text []byte, o applyOptions, f format) error {
	def, err := checkDefinition(text)
	if err != nil {
		return err
	}
	if err := def.CheckMesh(store.Shared()); err != nil {
		return err
	}
	next := mesh.Connector{Name: def.Name, Type: def.Type, ConfigJSON: def.ConfigJSON(), AuthJSON: def.AuthJSON()}
	before, err := store.Connector(ctx, def.Name)
	if _, unknown := errors.AsType[*mesh.NotFoundError](err); err != nil && !unknown {
		return err
	}
	if before != nil && !o.replaceOrg {
		if err := refuseOtherOrg(ctx, store, *before, def); err != nil {
			return err
		}
	}
	result := "unchanged"
	if before == nil || !sameDefinition(*before, next) {
		created, err := store.ApplyConnector(ctx, next)
		if err != nil {
			return err
		}
		result = "updated"
		if created {
			result = "created"
		}
	}
	if err := c.noteMissingSecrets(ctx, store, next.AuthJSON); err != nil {
		return err
	}
	if before != nil { // a new one has no schedule yet
		c.followRoute(ctx, store, def, routeOf(before))
	}
	if result != "unchanged" {
		c.notef("Before its next run, check that it works: %s", suggestCheck(def.Name))
	}
	if f == asJSON {
		return printJSON(c.stdout, struct {
			Name   string `json:"name"`
			Result string `json:"result"`
		}{def.Name, result})
	}
	_, err = fmt.Fprintf(c.stdout, "connector %s %s\n", def.Name, result)
	return err
}

// refuseOtherOrg refuses a definition that points a connector with live objects to
// another org (design, "A changed definition"). A stored definition that cannot be
// used names no org, and must be replaceable.
func refuseOtherOrg(ctx context.Context, store mesh.Store, before mesh.Connector, next *connector.Definition) error {
	old, err := connector.FromParts(before.Name, before.Type, before.ConfigJSON, before.AuthJSON)
	if err != nil || old.Config.OrgDomain == next.Config.OrgDomain {
		return nil //nolint:nilerr // see above
	}
	counts, err := store.LiveCounts(ctx, before.Name)
	if err != nil {
		return err
	}
	live := 0
	for _, n := range counts {
		live += n
	}
	if live == 0 {
		return nil
	}
	return fmt.Errorf("connector %s: OrgDomain changes from %s to %s, but the mesh holds %d live objects of the old org, "+
		"and the next run would delete all that the new org does not have; nothing was changed\n"+
		"  if that is meant: starter connector apply --replace-org -f FILE\n"+
		"  to keep both orgs: give the new one a connector of its own, with another Name",
		before.Name, old.Config.OrgDomain, next.Config.OrgDomain, live)
}

// sameDefinition compares what apply writes. Stored JSON may be spaced differently
// after an edit in SQL.
func sameDefinition(a, b mesh.Connector) bool {
	return a.Type == b.Type && sameJSON(a.ConfigJSON, b.ConfigJSON) && sameJSON(a.AuthJSON, b.AuthJSON)
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	if json.Compact(&x, a) != nil || json.Compact(&y, b) != nil {
		return false
	}
	return bytes.Equal(x.Bytes(), y.Bytes())
}
