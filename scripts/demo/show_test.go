package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCutTables(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text, want string
		rows       int
	}{
		"nothing":         {"", "", 2},
		"no table":        {"Connector  demo\nType       Okta\nOrg        x\n", "Connector  demo\nType       Okta\nOrg        x\n", 1},
		"short enough":    {"SEQ  OP\n1    Add\n2    Add\n", "SEQ  OP\n1    Add\n2    Add\n", 2},
		"too long":        {"SEQ  OP\n1    Add\n2    Add\n3    Add\n4    Add\n", "SEQ  OP\n1    Add\n2    Add\n…\n", 2},
		"rows in capital": {"ID\nA1\nB2\nC3\nD4\n", "ID\nA1\n…\n", 1},
		"fields, then two tables": {
			"Connector  demo\nType       Okta\n\nHELD\nUser\nUser\n\nRUN\n1a\n2b\n",
			"Connector  demo\nType       Okta\n\nHELD\nUser\n…\n\nRUN\n1a\n…\n", 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, cutTables(tt.text, tt.rows))
		})
	}
}

func TestNarrow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":       {"", ""},
		"fits":          {"12345\n1234\n", "12345\n1234\n"},
		"too wide":      {"123456\n12345\n", "1234…\n12345\n"},
		"blank at end":  {"12345      \n", "12345\n"},
		"wide letters":  {"芳欧阳芳\n", "芳欧…\n"},
		"no line break": {"123", "123\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, narrow(tt.text, 5))
		})
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, `schedule apply demo --reconcile "Sun 02:00"`, commandLine([]string{"schedule", "apply", "demo", "--reconcile", "Sun 02:00"}))
}
