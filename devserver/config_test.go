package main

import (
	"bytes"
	"flag"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.uber.org/zap/zapcore"
)

func TestParseFlagsDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := parseFlags(nil, &bytes.Buffer{})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", cfg.IP.String())
	require.Equal(t, 7233, cfg.Port)
	require.Equal(t, 8233, cfg.UIPort)
	require.Empty(t, cfg.DBFile)
	require.Equal(t, []string{"default"}, cfg.Namespaces)
	require.Equal(t, connectorSearchAttributes, cfg.SearchAttributes)
	require.Equal(t, zapcore.ErrorLevel, cfg.LogLevel)
}

func TestParseFlagsRepeated(t *testing.T) {
	t.Parallel()
	cfg, err := parseFlags([]string{
		"--namespace", "a", "--namespace=b", "--namespace", "a",
		"--search-attribute", "Region=keyword", "--search-attribute", "Size=Int",
		"--search-attribute", "IdentityMeshMode=Keyword", "--ip", "localhost", "--log-level", "off",
	}, &bytes.Buffer{})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, cfg.Namespaces)
	require.Equal(t, enumspb.INDEXED_VALUE_TYPE_KEYWORD, cfg.SearchAttributes["Region"])
	require.Equal(t, enumspb.INDEXED_VALUE_TYPE_INT, cfg.SearchAttributes["Size"])
	require.Len(t, cfg.SearchAttributes, len(connectorSearchAttributes)+2)
	require.Len(t, connectorSearchAttributes, 3, "flags must not change the defaults")
	require.Equal(t, "127.0.0.1", cfg.IP.String())
	require.Equal(t, logOff, cfg.LogLevel)
}

func TestParseFlagsErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"argument":           {[]string{"start"}, `unexpected argument "start"`},
		"unknown flag":       {[]string{"--frontend"}, "not defined: -frontend"},
		"port range":         {[]string{"--port", "70000"}, "--port 70000 is not a port"},
		"negative port":      {[]string{"--ui-port", "-1"}, "--ui-port -1 is not a port"},
		"same port":          {[]string{"--port", "7233", "--ui-port", "7233"}, "are both 7233"},
		"address":            {[]string{"--ip", "example.test"}, `"example.test" is not an IP address`},
		"empty namespace":    {[]string{"--namespace", " "}, "a namespace needs a name"},
		"attribute form":     {[]string{"--search-attribute", "Region"}, "use Name=Type"},
		"attribute type":     {[]string{"--search-attribute", "Region=Word"}, `unknown type "Word": use one of Bool, Datetime`},
		"unspecified":        {[]string{"--search-attribute", "Region=Unspecified"}, "unknown type"},
		"attribute conflict": {[]string{"--search-attribute", "IdentityMeshMode=Int"}, "is already a Keyword"},
		"certificate alone":  {[]string{"--tls-cert", "tls.crt"}, "--tls-cert and --tls-key go together"},
		"key alone":          {[]string{"--tls-key", "tls.key"}, "--tls-cert and --tls-key go together"},
		"authority alone":    {[]string{"--tls-client-ca", "ca.pem"}, "--tls-client-ca needs TLS"},
		"level":              {[]string{"--log-level", "loud"}, `--log-level "loud" is unknown`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseFlags(tc.args, &bytes.Buffer{})
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	_, err := parseFlags([]string{"--help"}, &stderr)
	require.ErrorIs(t, err, flag.ErrHelp)
	for _, name := range []string{
		"--port", "--ui-port", "--ip", "--db", "--namespace", "--search-attribute",
		"--headless", "--address-file", "--log-level", "--version", "--tls-cert", "--tls-key", "--tls-client-ca",
		"postgres://", "PGPASSFILE",
	} {
		require.Contains(t, stderr.String(), name)
	}
	require.Equal(t, 0, run(t.Context(), []string{"--version"}, &stdout, &stderr))
	require.Regexp(t, `^temporal-dev \S+ \(Temporal server \d+\.\d+\.\d+, Web UI \d+\.\d+\.\d+\)\n$`, stdout.String())
	stderr.Reset()
	require.Equal(t, 2, run(t.Context(), []string{"--port", "x"}, &stdout, &stderr))
	require.Contains(t, stderr.String(), "temporal-dev --help")
}
