package deploy

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The services whose image is ours.
var ours = []string{"migrate", "starter", "worker"}

// once are the services that end by themselves.
var once = []string{"database", "migrate", "rights", "starter", "temporal-namespace", "temporal-schema"}

// root is the repository.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	require.NoError(t, err)
	return dir
}

// project loads docker-compose.yml as Compose does, with all its profiles, and with the
// environment given alone.
func project(t testing.TB, env ...string) *types.Project {
	t.Helper()
	return projectIn(t, root(t), env...)
}

func projectIn(t testing.TB, dir string, env ...string) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(dir, "docker-compose.yml")},
		cli.WithEnv(env), cli.WithWorkingDirectory(dir), cli.WithEnvFiles(), cli.WithDotEnv, cli.WithProfiles([]string{"*"}), cli.WithResolvedPaths(true), cli.WithInterpolation(true))
	require.NoError(t, err)
	p, err := o.LoadProject(context.Background())
	require.NoError(t, err)
	return p
}

func each(t *testing.T, check func(t *testing.T, s types.ServiceConfig)) {
	t.Helper()
	p := project(t)
	for _, name := range p.ServiceNames() {
		t.Run(name, func(t *testing.T) { check(t, p.Services[name]) })
	}
}

func TestComposeHasTheServices(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"database", "grafana", "migrate", "postgres", "prometheus", "rights", "starter",
		"temporal", "temporal-namespace", "temporal-schema", "temporal-ui", "worker",
	}, project(t).ServiceNames())
}

// exact is a tag of one release: with a patch level, or a major and minor that never move.
var exact = regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?(-[a-z]+)?$`)

func TestComposeImagesArePinned(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s types.ServiceConfig) {
		if slices.Contains(ours, s.Name) {
			require.Equal(t, "identitymesh/okta-connector:local", s.Image)
			require.NotNil(t, s.Build)
			require.Equal(t, root(t), s.Build.Context)
			require.Contains(t, s.Build.Args, "VERSION")
			return
		}
		require.Nil(t, s.Build)
		require.Regexp(t, exact, s.Image)
	})
	// Temporal's two images are one release.
	p := project(t)
	_, server, _ := strings.Cut(p.Services["temporal"].Image, ":")
	for _, tools := range []string{"temporal-schema", "temporal-namespace"} {
		require.Equal(t, "temporalio/admin-tools:"+server, p.Services[tools].Image)
	}
	require.Equal(t, "identitymesh/okta-connector:v1.2.3", project(t, "IDENTITYMESH_VERSION=v1.2.3").Services["worker"].Image)
}

func TestComposeGivesNoRights(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s types.ServiceConfig) {
		require.Equal(t, []string{"ALL"}, s.CapDrop)
		require.Empty(t, s.CapAdd)
		require.Equal(t, []string{"no-new-privileges:true"}, s.SecurityOpt)
		require.False(t, s.Privileged)
		require.Empty(t, s.NetworkMode)
		require.Empty(t, s.Pid)
		require.Empty(t, s.Devices)
		require.Equal(t, s.Name != "grafana", s.ReadOnly, "Grafana alone writes beside its volume")
		require.NotRegexp(t, `^(0|root)\b`, s.User)
		if slices.Contains(ours, s.Name) {
			require.Equal(t, "65532:65532", s.User)
			require.Empty(t, s.Tmpfs, "our programs write nothing")
			require.Empty(t, s.Volumes)
		}
	})
}

func TestComposePublishesOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	published := map[string]string{}
	each(t, func(t *testing.T, s types.ServiceConfig) {
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP)
			require.Empty(t, published[port.Published], "each port once")
			published[port.Published] = s.Name
		}
	})
	require.Equal(t, map[string]string{"8233": "temporal-ui", "9090": "prometheus", "3000": "grafana"}, published)
	p := project(t)
	require.True(t, p.Networks["database"].Internal)
	require.Equal(t, []string{"database"}, networks(p.Services["postgres"]))
	require.Contains(t, networks(p.Services["worker"]), "default", "Okta is out there")
}

// Workers are told apart by nothing that only one of them could have.
func TestComposeWorkersScale(t *testing.T) {
	t.Parallel()
	w := project(t).Services["worker"]
	require.Empty(t, w.ContainerName)
	require.Empty(t, w.Hostname)
	require.Empty(t, w.Ports)
	require.Empty(t, w.Volumes)
}

// secretWord finds the names of settings that hold a secret itself. PGPASSFILE and the like
// name a file.
var secretWord = regexp.MustCompile(`(?i)(password|passwd|pwd|secret|token|api_?key|credential|private)`)

func TestComposeSecretsAreFiles(t *testing.T) {
	t.Parallel()
	p := project(t)
	used := map[string]bool{}
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		mounted := map[string]bool{}
		for _, secret := range s.Secrets {
			used[secret.Source] = true
			mounted["/run/secrets/"+secret.Source] = true
			require.Empty(t, secret.UID+secret.GID, "Compose ignores owner and mode of a secret that is a file")
			require.Nil(t, secret.Mode)
		}
		if len(s.Secrets) > 0 {
			require.Equal(t, []string{"65532"}, s.GroupAdd, "%s joins the group of the secrets", name)
		}
		for key, value := range s.Environment {
			require.NotNil(t, value, "%s takes %s from the shell that starts Compose", name, key)
			if strings.HasPrefix(*value, "/run/secrets/") {
				require.True(t, mounted[*value], "%s of %s names a secret that is not mounted", key, name)
				continue
			}
			require.NotRegexp(t, secretWord, key, name)
			require.NotRegexp(t, `://[^/@]*:[^/@]*@`, *value, "%s of %s has a password", key, name)
		}
		for _, arg := range append(append([]string{}, s.Command...), s.Entrypoint...) {
			require.NotRegexp(t, secretWord, arg)
		}
	}
	ignore, err := os.ReadFile(filepath.Join(root(t), ".gitignore"))
	require.NoError(t, err)
	for name, secret := range p.Secrets {
		require.True(t, used[name], "nobody uses %s", name)
		require.Equal(t, filepath.Join(root(t), "deploy", "compose", "secrets", name), secret.File)
		require.Empty(t, secret.Environment+secret.Content)
	}
	require.Contains(t, string(ignore), "/deploy/compose/secrets/\n")
	require.Equal(t, []string{"70"}, project(t, "IDENTITYMESH_SECRETS_GID=70").Services["worker"].GroupAdd)
}

func TestComposeMountsWhatIsThere(t *testing.T) {
	t.Parallel()
	p := project(t)
	each(t, func(t *testing.T, s types.ServiceConfig) {
		for _, v := range s.Volumes {
			switch v.Type {
			case types.VolumeTypeBind:
				require.True(t, v.ReadOnly, v.Source)
				info, err := os.Stat(v.Source)
				require.NoError(t, err)
				require.True(t, info.Mode().IsRegular(), v.Source)
				require.EqualValues(t, 0o044, info.Mode().Perm()&0o044, "%s is read by other users of the host", v.Source)
			default:
				require.Equal(t, types.VolumeTypeVolume, v.Type)
				require.Contains(t, p.Volumes, v.Source)
			}
		}
	})
}

// workerStop is the default of worker --stop-timeout and what follows it: notices and traces
// on their way get 5 s each.
const workerStop = (30 + 5 + 5) * time.Second

func TestComposeStartsAndStopsInOrder(t *testing.T) {
	t.Parallel()
	p := project(t)
	each(t, func(t *testing.T, s types.ServiceConfig) {
		ends := slices.Contains(once, s.Name)
		require.Equal(t, ends, s.Restart == "no", s.Restart)
		require.Equal(t, ends, s.HealthCheck == nil)
		require.NotZero(t, s.MemLimit)
		for name, on := range s.DependsOn {
			want := types.ServiceConditionHealthy
			if slices.Contains(once, name) {
				want = types.ServiceConditionCompletedSuccessfully
			}
			require.Equal(t, want, on.Condition, name)
			require.True(t, on.Required)
		}
	})
	after := func(name string) (all []string) {
		for on := range p.Services[name].DependsOn {
			all = append(all, on)
		}
		slices.Sort(all)
		return all
	}
	require.Equal(t, []string{"rights", "temporal-namespace"}, after("worker"))
	require.Equal(t, []string{"migrate"}, after("rights"))
	require.Equal(t, []string{"database"}, after("migrate"))
	require.Equal(t, []string{"postgres"}, after("database"))
	require.Equal(t, []string{"database"}, after("temporal-schema"))
	require.Equal(t, []string{"temporal-schema"}, after("temporal"))
	require.Equal(t, []string{"temporal"}, after("temporal-namespace"))
	require.Greater(t, time.Duration(*p.Services["worker"].StopGracePeriod), workerStop)
	require.Equal(t, []string{"tools"}, p.Services["starter"].Profiles)
	require.Empty(t, p.Services["worker"].Profiles)
}

func networks(s types.ServiceConfig) []string { return s.NetworksByPriority() }

// TestComposeTemporalListens reads Temporal's own settings, which no container of a test does:
// only the frontend is for others, where TEMPORAL_ADDRESS of the others says, and the password
// is in the secret's file.
func TestComposeTemporalListens(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("compose", "temporal.yaml"))
	require.NoError(t, err)
	type rpc struct {
		GRPCPort int    `yaml:"grpcPort"`
		BindOnIP string `yaml:"bindOnIP"`
	}
	var conf struct {
		Persistence struct {
			Datastores map[string]any `yaml:"datastores"`
		} `yaml:"persistence"`
		Services map[string]struct {
			RPC rpc `yaml:"rpc"`
		} `yaml:"services"`
	}
	require.NoError(t, yaml.Unmarshal(text, &conf))
	require.Len(t, conf.Services, 4)
	for name, s := range conf.Services {
		if name == "frontend" {
			require.Equal(t, rpc{7233, "0.0.0.0"}, s.RPC)
			continue
		}
		require.Equal(t, "127.0.0.1", s.RPC.BindOnIP, name)
	}
	p := project(t)
	for _, name := range []string{"worker", "starter", "temporal-ui", "temporal-namespace"} {
		require.Equal(t, "temporal:7233", *p.Services[name].Environment["TEMPORAL_ADDRESS"], name)
	}
	databases := map[string]string{}
	for name, store := range conf.Persistence.Datastores {
		sql, ok := store.(map[string]any)["sql"].(map[string]any)
		require.True(t, ok, name)
		require.Equal(t, []any{"postgres12_pgx", "postgres:5432", "temporal"}, []any{sql["pluginName"], sql["connectAddr"], sql["user"]}, name)
		require.NotContains(t, sql, "password", name)
		command, ok := sql["passwordCommand"].(map[string]any)
		require.True(t, ok, name)
		require.Contains(t, command["args"], "/run/secrets/temporal_pgpass", name)
		databases[name], _ = sql["databaseName"].(string)
	}
	require.Equal(t, map[string]string{"default": "temporal", "visibility": "temporal_visibility"}, databases)
}
