package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
)

func newConnectorCommand(c *cli) *cobra.Command {
	return c.group(&cobra.Command{
		Use:   "connector",
		Short: "Define, check, list, show and delete connectors",
		Example: `  starter connector init --domain contoso.okta.com > contoso.json
  starter connector apply -f contoso.json
  starter connector check contoso
  starter connector list`,
	}, newConnectorInit(c), newConnectorApply(c), newConnectorList(c), newConnectorShow(c), newConnectorCheck(c), newConnectorDelete(c))
}

// connectorRow is a connector in `connector list -o json`.
type connectorRow struct {
	Name      string                  `json:"name"`
	Type      string                  `json:"type"`
	OrgDomain string                  `json:"orgDomain"`
	Live      map[mesh.ObjectType]int `json:"live"`
	CreatedAt time.Time               `json:"createdAt"`
	UpdatedAt time.Time               `json:"updatedAt"`
}

func newConnectorList(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the connectors with their live objects",
		Example: `  starter connector list
  starter connector list -o json | jq -r '.[].name'`,
		Args: noArgs("'starter connector show NAME' shows one"),
		RunE: c.action(func(ctx context.Context, _ []string) error {
			return c.withStore(ctx, func(store mesh.Store) error { return c.listConnectors(ctx, store, out.value) })
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

func (c *cli) listConnectors(ctx context.Context, store mesh.Store, f format) error {
	all, err := store.ListConnectors(ctx)
	if err != nil {
		return err
	}
	rows := make([]connectorRow, 0, len(all))
	for _, conn := range all {
		live, err := liveCounts(ctx, store, conn.Name)
		if err != nil {
			return err
		}
		row := connectorRow{conn.Name, conn.Type, "", live, conn.CreatedAt.UTC(), conn.UpdatedAt.UTC()}
		if def, err := connector.FromParts(conn.Name, conn.Type, conn.ConfigJSON, conn.AuthJSON); err == nil {
			row.OrgDomain = def.Config.OrgDomain
		}
		rows = append(rows, row)
	}
	if f == asJSON {
		return printJSON(c.stdout, rows)
	}
	if len(rows) == 0 {
		c.notef("There is no connector yet: make one with 'starter connector init' and 'starter connector apply'.")
		return nil
	}
	cells := make([][]string, len(rows))
	for i, r := range rows {
		domain := r.OrgDomain
		if domain == "" {
			domain = "(invalid definition)"
		}
		cells[i] = []string{r.Name, r.Type, domain, strconv.Itoa(r.Live[mesh.User]), strconv.Itoa(r.Live[mesh.Group]),
			strconv.Itoa(r.Live[mesh.GroupMember]), stamp(r.UpdatedAt)}
	}
	return printTable(c.stdout, []string{"NAME", "TYPE", "ORG", "USERS", "GROUPS", "MEMBERS", "CHANGED"}, cells)
}

// liveCounts returns the live objects with every type present.
func liveCounts(ctx context.Context, store mesh.Store, name string) (map[mesh.ObjectType]int, error) {
	stored, err := store.LiveCounts(ctx, name)
	if err != nil {
		return nil, err
	}
	live := make(map[mesh.ObjectType]int, len(mesh.ObjectTypes))
	for _, t := range mesh.ObjectTypes {
		live[t] = stored[t]
	}
	return live, nil
}

func newConnectorShow(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a connector's definition",
		Long: `Show a connector's definition with all defaults filled in. With -o json it is a
definition file that 'starter connector apply' reads back.`,
		Example: `  starter connector show contoso
  starter connector show contoso -o json > contoso.json`,
		Args:              oneArg("NAME", ""),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withStore(ctx, func(store mesh.Store) error { return c.showConnector(ctx, store, args[0], out.value) })
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

func (c *cli) showConnector(ctx context.Context, store mesh.Store, name string, f format) error {
	conn, err := knownConnector(ctx, store, name)
	if err != nil {
		return err
	}
	def, err := connector.FromParts(conn.Name, conn.Type, conn.ConfigJSON, conn.AuthJSON)
	if err != nil {
		return fmt.Errorf("the stored definition cannot be used; apply a correct one: %w", err)
	}
	if f == asJSON {
		_, err = c.stdout.Write(def.JSON())
		return err
	}
	return printFields(c.stdout, append(definitionFields(def),
		field{"Created", stamp(conn.CreatedAt)}, field{"Changed", stamp(conn.UpdatedAt)}))
}

// definitionFields are the lines of a definition for people.
func definitionFields(def *connector.Definition) []field {
	cfg := def.Config
	filter := "(all users)"
	if cfg.UserSearchFilter != nil {
		filter = *cfg.UserSearchFilter
	}
	fields := []field{
		{"Connector", def.Name},
		{"Type", def.Type},
		{"Org", cfg.BaseURL()},
		{"Imports", passes(cfg)},
		{"User filter", filter},
		{"Page size", strconv.Itoa(cfg.PageSize)},
		{"External id", cfg.ExternalIDAttribute},
	}
	if def.Auth.Mode == connector.ModeOAuth {
		fields = append(fields, field{"Service app", def.Auth.ClientID}, field{"Private key", def.Auth.PrivateKey},
			field{"Key id", orDash(def.Auth.KeyID)}, field{"Scopes", strings.Join(def.Scopes(), ", ")})
	} else {
		fields = append(fields, field{"Token", def.Auth.APIKey})
	}
	if cfg.GroupFilter != nil {
		if b, err := json.Marshal(cfg.GroupFilter); err == nil {
			fields = append(fields, field{"Group filter", string(b)})
		}
	}
	limits := fmt.Sprintf("more than %d %% of a type, or half of it, in 24 hours", cfg.MaxDeletePercent)
	if cfg.MaxDeletes != nil {
		limits += fmt.Sprintf(", or more than %d", *cfg.MaxDeletes)
	}
	fields = append(fields, field{"Deletes held", limits + "; for " + cfg.HoldTimeLimit.String()},
		field{"Overlap", cfg.WatermarkOverlap.String()}, field{"Member lists", cfg.MembershipRefresh},
		field{"Calls to Okta", fmt.Sprintf("%d at one time; %d %% of each rate limit is left to others", cfg.MaxInFlight, cfg.RateLimitReserve)})
	if cfg.TaskQueue != "" {
		fields = append(fields, field{"Task queue", cfg.TaskQueue + ": imported by its workers only"})
	}
	if len(cfg.IgnoreForChanges) > 0 {
		fields = append(fields, field{"Ignored changes", fmt.Sprint(cfg.IgnoreForChanges)})
	}
	return fields
}

func passes(cfg connector.Config) string {
	var on []byte
	for _, p := range []struct {
		name string
		on   bool
	}{{"users", cfg.ImportUsers}, {"groups", cfg.ImportGroups}, {"memberships", cfg.ImportMemberships}} {
		if p.on {
			if len(on) > 0 {
				on = append(on, ", "...)
			}
			on = append(on, p.name...)
		}
	}
	return orDash(string(on))
}
