package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	promapi "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/board"
	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// needPrometheus skips, loudly, where there is no Prometheus; in CI that fails.
func needPrometheus(t *testing.T) (promtool string) {
	t.Helper()
	_, promtool, err := stack.FindPrometheus()
	if err == nil {
		return promtool
	}
	require.Empty(t, os.Getenv("CI"), err.Error())
	t.Skip("SKIPPED: ", err)
	return ""
}

// rulesFile is the file of alert rules.
func rulesFile(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "deploy", "prometheus", name))
	require.NoError(t, err)
	return path
}

// TestAlertRules runs promtool over the rules and their tests.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool := needPrometheus(t)
	for _, args := range [][]string{{"check", "rules", rulesFile(t, "rules.yml")}, {"test", "rules", rulesFile(t, "rules_test.yml")}} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// committedQueries are the expressions of the committed dashboard, read with Grafana's own
// types, by panel.
func committedQueries(t *testing.T) map[string][]string {
	t.Helper()
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile(filepath.Join("..", board.File))
	require.NoError(t, err)
	var d dashboard.Dashboard //nolint:staticcheck // as package board
	require.NoError(t, json.Unmarshal(text, &d))
	require.NoError(t, d.Validate())
	queries := map[string][]string{}
	add := func(p *dashboard.Panel) {
		for _, target := range p.Targets {
			q, ok := target.(*prometheus.Dataquery)
			require.True(t, ok, "%T", target)
			queries[*p.Title] = append(queries[*p.Title], q.Expr)
		}
	}
	for _, p := range d.Panels {
		if p.Panel != nil {
			add(p.Panel)
		}
		if p.RowPanel != nil {
			for i := range p.RowPanel.Panels {
				add(&p.RowPanel.Panels[i])
			}
		}
	}
	return queries
}

// TestEveryExpressionIsAnswered has a real Prometheus scrape real runs, and asks it every
// expression of the dashboard.
func TestEveryExpressionIsAnswered(t *testing.T) {
	t.Parallel()
	needPrometheus(t)
	queries := committedQueries(t)
	require.Len(t, queries, len(board.Panels("")), "every panel has its own title")
	w := newWorld(t, oktasim.Config{Org: generated(t, 400, 20), Latency: 10 * time.Millisecond}, nil)
	limitsOnce(w.sim)
	_, base := w.watched("--notify-command", "true")
	api, err := w.stack.Prometheus(w.Context(), []string{strings.TrimPrefix(base, "http://")}, rulesFile(t, "rules.yml"))
	require.NoError(t, err)
	ask := func(expr string) model.Vector {
		fill := strings.NewReplacer("$connector", ".*", "$__rate_interval", "5m")
		v, warnings, _, err := api.Query(w.Context(), fill.Replace(expr), time.Now())
		require.NoError(t, err, expr)
		require.Empty(t, warnings, expr)
		vector, ok := v.(model.Vector)
		require.True(t, ok, "%s: %T", expr, v)
		return vector
	}
	waitFor(w, "Prometheus scrapes the worker", func() bool { return len(ask("identitymesh_build_info")) == 1 })
	w.completed()
	// A rate knows nothing of what a series began with.
	waitFor(w, "Prometheus has seen the first run", func() bool { return len(ask("identitymesh_store_latency_seconds_count")) == 1 })
	w.completed()
	deactivate(w, 60)
	held(w, "delta", 60)
	for title, exprs := range queries {
		for _, expr := range exprs {
			waitFor(w, title+": "+expr, func() bool {
				for _, sample := range ask(expr) {
					if v := float64(sample.Value); v == v { // not NaN
						return true
					}
				}
				return false
			})
		}
	}
	waitFor(w, "the dashboard shows the held deletes", func() bool {
		held := ask(queries["Deletes that wait for an operator"][0])
		return len(held) == 1 && held[0].Metric["connector"] == model.LabelValue(w.name) && held[0].Value == 60
	})

	// The rules are evaluated without an error, and the hold is on its way to an alert.
	var rules promapi.RulesResult
	waitFor(w, "Prometheus evaluates the rules", func() bool {
		rules, err = api.Rules(w.Context(), nil)
		require.NoError(t, err)
		pending := false
		for _, g := range rules.Groups {
			for _, r := range g.Rules {
				a, ok := r.(promapi.AlertingRule)
				require.True(t, ok, "%T", r)
				require.NotEqual(t, promapi.RuleHealthBad, a.Health, "%s: %s", a.Name, a.LastError)
				require.Contains(t, a.Annotations, model.LabelName("runbook"), a.Name)
				pending = pending || a.Name == "IdentityMeshDeletesHeld" && a.State == string(promapi.AlertStatePending)
			}
		}
		return pending
	})
}
