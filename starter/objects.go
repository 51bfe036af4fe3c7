package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
)

// typeFlag is --type: an object type in any case.
type typeFlag struct{ value mesh.ObjectType }

// String implements pflag.Value.
func (f *typeFlag) String() string { return string(f.value) }

// Type implements pflag.Value.
func (f *typeFlag) Type() string { return "type" }

// Set implements pflag.Value.
func (f *typeFlag) Set(s string) error {
	for _, t := range mesh.ObjectTypes {
		if strings.EqualFold(s, string(t)) {
			f.value = t
			return nil
		}
	}
	return usagef("want User, Group or GroupMember")
}

func newObjectsCommand(c *cli) *cobra.Command {
	var typ typeFlag
	var q mesh.ObjectQuery
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "objects NAME",
		Short: "Print the mesh objects of a connector",
		Long: `Print the mesh objects of a connector: the live ones, or with --all the deleted ones
too. Everything is printed unless --limit says otherwise, and nothing is held in memory.

With -o jsonl each line is {"type","externalId","state","attributes"}, and for a
deleted object its "reason"; -o json is one array of the same.`,
		Example: `  starter objects contoso --type user --limit 20
  starter objects contoso --id 00u1abcdefGHIJKLMN0h8 -o json
  starter objects contoso -o jsonl | jq -r 'select(.type == "User") | .attributes.login'`,
		Args:              oneArg("NAME", ""),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			if q.Limit < 0 {
				return usagef("--limit %d: want a number from 0 (no limit)", q.Limit)
			}
			q.Connector, q.Type = args[0], typ.value
			return c.withStore(ctx, func(store mesh.Store) error { return c.printObjects(ctx, store, q, out.value) })
		}),
	}
	cmd.Flags().Var(&typ, "type", "only this type: User, Group or GroupMember (default: all)")
	cmd.Flags().StringVar(&q.ID, "id", "", "only the object with this external id or Okta id")
	cmd.Flags().BoolVar(&q.All, "all", false, "deleted objects too")
	cmd.Flags().IntVar(&q.Limit, "limit", 0, "at most this many; 0 for all")
	out = addFormat(cmd, table, asJSON, jsonl)
	mustRegister(cmd, "type", []cobra.Completion{string(mesh.User), string(mesh.Group), string(mesh.GroupMember)})
	return cmd
}

func (c *cli) printObjects(ctx context.Context, store mesh.Store, q mesh.ObjectQuery, f format) error {
	err := readable(ctx, store, q.Connector, func() (bool, error) {
		for _, err := range store.Objects(ctx, mesh.ObjectQuery{Connector: q.Connector, All: true, Limit: 1}) {
			return err == nil, err
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	idWidth := 20 // an Okta id
	if q.Type == "" || q.Type == mesh.GroupMember {
		idWidth = 41 // two, with a colon
	}
	columns := []column{{"TYPE", 11}, {"EXTERNAL ID", idWidth}, {"STATE", 7}, {"ATTRIBUTES", 0}}
	return stream(c, f, columns, store.Objects(ctx, q), objectCells)
}

func objectCells(o mesh.StoredObject) []string {
	text := brief(o.Attributes)
	if o.Reason != "" {
		text = "reason=" + string(o.Reason) + " " + text
	}
	return []string{string(o.Type), o.ExternalID, string(o.State), text}
}

// telling are the attributes that come first in a table, where the line may be cut.
var telling = []string{"login", "displayName", "status", "name", "type", "groupId", "memberId"}

// brief writes attributes as name=value, the telling ones first, nulls left out.
// Text that is no JSON object is returned as it is.
func brief(attributes json.RawMessage) string {
	var values map[string]json.RawMessage
	if json.Unmarshal(attributes, &values) != nil {
		return string(attributes)
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	rank := func(name string) int {
		if i := slices.Index(telling, name); i >= 0 {
			return i
		}
		return len(telling)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var b strings.Builder
	for _, name := range names {
		if string(values[name]) == "null" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(briefValue(values[name]))
	}
	return b.String()
}

// briefValue writes a string without quotes where that is unambiguous.
func briefValue(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) != nil {
		var compact bytes.Buffer
		if json.Compact(&compact, v) != nil {
			return string(v)
		}
		return compact.String()
	}
	if s == "" || strings.ContainsAny(s, " =\"") {
		return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
	}
	return s
}
