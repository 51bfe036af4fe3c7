package board_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/board"
)

func TestTheCommittedDashboardIsWhatTheScriptMakes(t *testing.T) {
	t.Parallel()
	want, err := board.JSON()
	require.NoError(t, err)
	have, err := os.ReadFile(filepath.Join("..", "..", board.File))
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "run `go run ./scripts/dashboard`")
}

// TestEveryMetricOfTheDashboardIsDocumented looks for its names in the tables.
func TestEveryMetricOfTheDashboardIsDocumented(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile(filepath.Join("..", "..", "docs", "observability.md"))
	require.NoError(t, err)
	rules, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "rules.yml"))
	require.NoError(t, err)
	text := string(rules)
	for _, p := range board.Panels("1m") {
		require.NotEmpty(t, p.Queries, p.Title)
		for _, q := range p.Queries {
			require.NotContains(t, q.Expr, "$", p.Title)
			text += "\n" + q.Expr
		}
	}
	part := regexp.MustCompile(`_(bucket|sum|count)$`)
	for _, name := range regexp.MustCompile(`identitymesh_[a-z_]+`).FindAllString(text, -1) {
		require.True(t, strings.Contains(string(docs), "| `"+part.ReplaceAllString(name, "")+"` |"), name)
	}
}
