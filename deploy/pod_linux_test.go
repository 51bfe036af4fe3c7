package deploy

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
)

// asPod runs the worker as its Deployment says: command, user, groups, read-only root folder,
// and secrets as the kubelet lays them, on the database and the Temporal of an engine. Its
// probes are answered, and it drains in the time that it is given.
func asPod(t *testing.T, e *engine) {
	t.Helper()
	template := one[*apps.Deployment](render(t, "base")).Spec.Template
	pod, c := template.Spec, template.Spec.Containers[0]
	compose := e.project.Services["worker"]
	s := compose // our image; everything else is the pod's
	s.Command, s.ReadOnly, s.Secrets = c.Command, *c.SecurityContext.ReadOnlyRootFilesystem, nil
	s.User = strconv.FormatInt(*pod.SecurityContext.RunAsUser, 10) + ":" + strconv.FormatInt(*pod.SecurityContext.RunAsGroup, 10)
	s.GroupAdd = []string{strconv.FormatInt(*pod.SecurityContext.FSGroup, 10)}
	// Where they are is the site's to say, and a database with TLS is not at hand.
	s.Environment = types.MappingWithEquals{"IDENTITYMESH_DB": compose.Environment["IDENTITYMESH_DB"], "TEMPORAL_ADDRESS": compose.Environment["TEMPORAL_ADDRESS"]}
	for _, v := range c.Env {
		s.Environment[v.Name] = &v.Value
	}
	keys := map[string]string{"pgpass": "mesh_worker_pgpass", "secrets.key": "secrets_key"}
	for _, m := range c.VolumeMounts {
		for _, v := range pod.Volumes {
			if v.Name == m.Name && v.Secret != nil {
				s.Volumes = append(s.Volumes, types.ServiceVolumeConfig{
					Type: types.VolumeTypeBind, Target: m.MountPath, ReadOnly: true,
					Source: kubeletSecret(t, e, v.Secret, int(*pod.SecurityContext.FSGroup), keys),
				})
			}
		}
	}
	require.Len(t, s.Volumes, 1)
	worker := e.startIn(e.root(s), s, nil, nil)
	address := "http://127.0.0.1:" + strconv.Itoa(int(c.Ports[0].ContainerPort))
	for _, probe := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		await(t, e, worker, func() bool { return status(t, address+probe.HTTPGet.Path) == http.StatusOK })
	}
	// It reads the key: a run needs the token that it seals.
	require.Contains(t, e.run("starter", "", "starter", "run", "contoso", "--mode", "delta", "--wait"), "Completed")
	began := time.Now()
	require.NoError(t, worker.cmd.Process.Signal(syscall.SIGTERM))
	<-worker.done
	require.NoError(t, worker.err)
	require.Less(t, time.Since(began), time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second)
}

// kubeletSecret is a secret's volume as the kubelet makes it: the group of the pod, the mode
// of the volume, and links through a folder that a change replaces.
func kubeletSecret(t *testing.T, e *engine, v *core.SecretVolumeSource, group int, keys map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), v.SecretName)
	const version = "..2026_11_29_00_00_00.1234567890"
	require.NoError(t, os.MkdirAll(filepath.Join(dir, version), 0o755))
	require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data")))
	for _, item := range v.Items {
		text, err := os.ReadFile(e.project.Secrets[keys[item.Key]].File)
		require.NoError(t, err)
		file := filepath.Join(dir, version, item.Path)
		require.NoError(t, os.WriteFile(file, text, os.FileMode(*v.DefaultMode))) //nolint:gosec // nine bits
		require.NoError(t, os.Chmod(file, os.FileMode(*v.DefaultMode)))           //nolint:gosec // nine bits
		require.NoError(t, os.Chown(file, 0, group))
		require.NoError(t, os.Symlink(filepath.Join("..data", item.Path), filepath.Join(dir, item.Path)))
	}
	return dir
}

// status is what a URL answers, 0 when nobody does.
func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		require.True(t, strings.Contains(err.Error(), "refused"), err)
		return 0
	}
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

func await(t *testing.T, e *engine, c *container, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Millisecond) {
		select {
		case <-c.done:
			t.Fatalf("%s ended: %v\n%s", c.name, c.err, e.tail())
		default:
		}
		require.True(t, time.Now().Before(deadline), e.tail())
	}
}
