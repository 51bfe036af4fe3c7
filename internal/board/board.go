// Package board is the Grafana dashboard of the connector: its panels, as Grafana's own
// types, and their expressions, for whoever asks Prometheus. The script scripts/dashboard
// writes deploy/grafana from it.
package board

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// UID is the dashboard's id, part of its address in Grafana.
const UID = "identitymesh-okta"

// File is where the dashboard is committed, from the project's root.
const File = "deploy/grafana/identitymesh-okta.json"

// Build returns the dashboard, validated by Grafana's own rules.
func Build() (dashboard.Dashboard, error) { //nolint:staticcheck // v2 needs Grafana 12; this schema is imported by every release
	b := dashboard.NewDashboardBuilder("IdentityMesh Okta connector"). //nolint:staticcheck // see above
										Uid(UID).
										Description("Imports from Okta: runs, changes, the rate limit, the workers. Made by scripts/dashboard; the metrics are described in docs/observability.md.").
										Tags([]string{"identitymesh", "okta"}).
										Refresh("30s").
										Time("now-6h", "now").
										Timezone(common.TimeZoneBrowser).
										Editable().
										Tooltip(dashboard.DashboardCursorSyncCrosshair).
										WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Prometheus").Type("prometheus")).
										WithVariable(dashboard.NewQueryVariableBuilder("connector").Label("Connector").
											Datasource(source()).
											Query(dashboard.StringOrMap{String: cog.ToPtr("label_values(identitymesh_connector_created_timestamp_seconds, connector)")}).
											Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
											Sort(dashboard.VariableSortAlphabeticalAsc).
											Multi(true).IncludeAll(true).AllValue(".*").
											Current(dashboard.VariableOption{
				Selected: cog.ToPtr(true),
				Text:     dashboard.StringOrArrayOfString{String: cog.ToPtr("All")},
				Value:    dashboard.StringOrArrayOfString{String: cog.ToPtr("$__all")},
			}))
	for _, r := range rows {
		b.WithRow(dashboard.NewRowBuilder(r.title))
		for _, p := range r.panels {
			b.WithPanel(p.build())
		}
	}
	d, err := b.Build()
	if err != nil {
		return d, fmt.Errorf("build the dashboard: %w", err)
	}
	if err := d.Validate(); err != nil {
		return d, fmt.Errorf("validate the dashboard: %w", err)
	}
	return d, nil
}

// JSON is the dashboard as it is committed.
func JSON() ([]byte, error) {
	d, err := Build()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // expressions stay readable
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return nil, fmt.Errorf("encode the dashboard: %w", err)
	}
	return b.Bytes(), nil
}

// source is the Prometheus that the reader of the dashboard chooses.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

// heights of panels, in rows of the grid.
const (
	statHeight  = 5
	linesHeight = 8
)

func (p panel) build() cog.Builder[dashboard.Panel] {
	if p.kind == big {
		s := stat.NewPanelBuilder().Title(p.title).Description(p.help).Datasource(source()).Unit(p.unit).Span(p.width).Height(statHeight).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
			ColorMode(common.BigValueColorModeBackground).
			GraphMode(common.BigValueGraphModeNone).
			NoValue("none yet").
			Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(p.steps()))
		for i, q := range p.queries {
			s.WithTarget(q.build(i))
		}
		return s
	}
	t := timeseries.NewPanelBuilder().Title(p.title).Description(p.help).Datasource(source()).Unit(p.unit).Span(p.width).Height(linesHeight).
		Min(0).FillOpacity(10).LineWidth(1).ShowPoints(common.VisibilityModeAuto).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti))
	if p.stacked {
		t.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	}
	for i, q := range p.queries {
		t.WithTarget(q.build(i))
	}
	return t
}

func (p panel) steps() []dashboard.Threshold {
	steps := []dashboard.Threshold{{Color: "green"}}
	if p.warn > 0 {
		steps = append(steps, dashboard.Threshold{Value: cog.ToPtr(p.warn), Color: "yellow"})
	}
	if p.alarm > 0 {
		steps = append(steps, dashboard.Threshold{Value: cog.ToPtr(p.alarm), Color: "red"})
	}
	return steps
}

func (q query) build(i int) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Datasource(source()).RefId("ABCDEFGH"[i : i+1]).Expr(q.expr).LegendFormat(q.legend).Range()
}

// Panel is a panel as its readers ask Prometheus for it.
type Panel struct {
	Row, Title, Unit string
	Queries          []Query
}

// Query is an expression that Prometheus understands, and how its answers are called:
// labels in double braces.
type Query struct{ Expr, Legend string }

// Panels returns the panels with their expressions, for all connectors and a rate interval
// such as "1m".
func Panels(interval string) []Panel {
	var all []Panel
	fill := strings.NewReplacer("$connector", ".*", "$__rate_interval", interval)
	for _, r := range rows {
		for _, p := range r.panels {
			out := Panel{Row: r.title, Title: p.title, Unit: p.unit}
			for _, q := range p.queries {
				out.Queries = append(out.Queries, Query{fill.Replace(q.expr), q.legend})
			}
			all = append(all, out)
		}
	}
	return all
}
