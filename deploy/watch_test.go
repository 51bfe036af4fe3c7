package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/identitymesh/okta-connector/internal/stack"
)

// inside copies what Compose mounts into a service to where the service sees it.
func inside(t *testing.T, s types.ServiceConfig) string {
	t.Helper()
	dir := t.TempDir()
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		text, err := os.ReadFile(v.Source)
		require.NoError(t, err)
		target := filepath.Join(dir, v.Target)
		require.NoError(t, os.MkdirAll(filepath.Dir(target), 0o700))
		require.NoError(t, os.WriteFile(target, text, 0o600))
	}
	return dir
}

// decode reads a YAML file of which no key may be unknown.
func decode(t *testing.T, file string, into any) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close() //nolint:errcheck // only read
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	require.NoError(t, d.Decode(into))
}

func TestPrometheus(t *testing.T) {
	t.Parallel()
	p := project(t)
	s := p.Services["prometheus"]
	dir := inside(t, s)
	var config string
	for _, arg := range s.Command {
		if file, ok := strings.CutPrefix(arg, "--config.file="); ok {
			config = filepath.Join(dir, file)
		}
	}
	_, promtool, err := stack.FindPrometheus()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED: ", err)
	}
	out, err := exec.CommandContext(t.Context(), promtool, "check", "config", config).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "SUCCESS: "+config)
	require.Contains(t, string(out), "rules found")

	var c struct {
		Global map[string]string
		Rules  []string `yaml:"rule_files"`
		Jobs   []struct {
			Name string `yaml:"job_name"`
			DNS  []struct {
				Names   []string
				Type    string
				Port    int
				Refresh string `yaml:"refresh_interval"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	decode(t, config, &c)
	require.Len(t, c.Jobs, 1)
	require.Equal(t, stack.WorkerJob, c.Jobs[0].Name, "as the rules expect it")
	require.Equal(t, []string{"worker"}, c.Jobs[0].DNS[0].Names, "the service's name finds all of its containers")
	require.Contains(t, p.Services["worker"].Command, "0.0.0.0:9464")
	require.Equal(t, 9464, c.Jobs[0].DNS[0].Port)
	require.Subset(t, networks(p.Services["worker"]), networks(s))
}

func TestGrafana(t *testing.T) {
	t.Parallel()
	p := project(t)
	s := p.Services["grafana"]
	require.Equal(t, "false", *s.Environment["GF_AUTH_ANONYMOUS_ENABLED"])
	require.Equal(t, "false", *s.Environment["GF_USERS_ALLOW_SIGN_UP"])
	dir := inside(t, s)

	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool           `yaml:"isDefault"`
			Editable                     bool           `yaml:"editable"`
			JSONData                     map[string]any `yaml:"jsonData"`
		}
	}
	decode(t, dir+"/etc/grafana/provisioning/datasources/identitymesh.yml", &sources)
	require.Len(t, sources.Datasources, 1)
	require.Equal(t, "prometheus", sources.Datasources[0].Type)
	require.Equal(t, "http://prometheus:9090", sources.Datasources[0].URL)
	require.Contains(t, p.Services["prometheus"].Command, "--web.listen-address=0.0.0.0:9090")
	require.True(t, sources.Datasources[0].IsDefault, "the dashboard's variable takes it")

	var dashboards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type      string
			AllowUIUpdates  bool `yaml:"allowUiUpdates"`
			DisableDeletion bool `yaml:"disableDeletion"`
			Options         struct{ Path string }
		}
	}
	decode(t, dir+"/etc/grafana/provisioning/dashboards/identitymesh.yml", &dashboards)
	require.Len(t, dashboards.Providers, 1)
	found, err := os.ReadDir(filepath.Join(dir, dashboards.Providers[0].Options.Path))
	require.NoError(t, err)
	require.Len(t, found, 1)
	text, err := os.ReadFile(filepath.Join(dir, *s.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]))
	require.NoError(t, err)
	var board struct {
		UID, Title string
		Panels     []json.RawMessage
	}
	require.NoError(t, json.Unmarshal(text, &board))
	require.NotEmpty(t, board.UID)
	require.NotEmpty(t, board.Panels)
}
