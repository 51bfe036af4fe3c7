package deploy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// engine stands in for Docker, as far as that goes without its images: it runs the services
// of docker-compose.yml with their commands, environment, users, groups, secrets, mounts and
// read-only root folders, each under a root folder of its own. All share one network, in
// which there is nothing but a loopback interface that answers to every service's name. It
// runs in name spaces of its own (see [isolated]), which take everything with them.
type engine struct {
	t       *testing.T
	project *types.Project
	dir     string // of the root folders, in memory
	// images are what the stand-ins of other people's images have in /usr/local/bin: on top
	// of a copy of this machine's files.
	images map[string]string
	// static is the folder with our programs, alone in their root folder.
	static string

	mu  sync.Mutex
	log bytes.Buffer // what all services wrote
}

// container is a running service.
type container struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // after done
}

// newEngine makes an engine. It wants to be inside of [isolated].
func newEngine(t *testing.T, p *types.Project, static string, images map[string]string) *engine {
	t.Helper()
	e := &engine{t: t, project: p, static: static, images: images, dir: t.TempDir()}
	e.mount("tmpfs", e.dir, "tmpfs", 0, "mode=0755")
	t.Cleanup(func() { require.NoError(t, unix.Unmount(e.dir, unix.MNT_DETACH)) })
	for _, dir := range []string{"roots", "volumes"} {
		require.NoError(t, os.Mkdir(filepath.Join(e.dir, dir), 0o755))
	}
	return e
}

func (e *engine) mount(source, target, kind string, flags uintptr, data string) {
	e.t.Helper()
	require.NoError(e.t, unix.Mount(source, target, kind, flags, data), "mount %s on %s", source, target)
}

// bind makes a file or folder appear inside of a root folder.
func (e *engine) bind(source, target string, readOnly bool) {
	e.t.Helper()
	info, err := os.Stat(source)
	require.NoError(e.t, err)
	if info.IsDir() {
		require.NoError(e.t, os.MkdirAll(target, 0o755))
	} else {
		require.NoError(e.t, os.MkdirAll(filepath.Dir(target), 0o755))
		f, err := os.OpenFile(target, os.O_CREATE, 0o644) //nolint:gosec // an empty file, which is covered at once
		require.NoError(e.t, err)
		require.NoError(e.t, f.Close())
	}
	e.mount(source, target, "", unix.MS_BIND|unix.MS_REC, "")
	if readOnly {
		e.mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
}

// users are those of the images.
const users = "root:x:0:0::/:\npostgres:x:999:999::/tmp:/bin/sh\ntemporal:x:1000:1000::/tmp:/bin/sh\nnonroot:x:65532:65532::/home/nonroot:\n"

// root makes the root folder of a service.
func (e *engine) root(s types.ServiceConfig) string {
	e.t.Helper()
	dir, err := os.MkdirTemp(filepath.Join(e.dir, "roots"), s.Name+"-")
	require.NoError(e.t, err)
	bin := e.static
	own := s.Build != nil
	if own {
		e.mount("tmpfs", dir, "tmpfs", 0, "mode=0755")
	} else {
		bin = e.images[strings.Split(s.Image, ":")[0]]
		up := dir + ".changes"
		for _, layer := range []string{"upper", "work"} {
			require.NoError(e.t, os.MkdirAll(filepath.Join(up, layer), 0o755))
		}
		e.mount("overlay", dir, "overlay", 0, fmt.Sprintf("lowerdir=/,upperdir=%s/upper,workdir=%s/work", up, up))
		e.mount("/dev", filepath.Join(dir, "dev"), "", unix.MS_BIND|unix.MS_REC, "")
	}
	require.NoError(e.t, os.MkdirAll(filepath.Join(dir, "proc"), 0o755))
	e.mount("proc", filepath.Join(dir, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	hosts := "127.0.0.1 localhost " + strings.Join(e.project.ServiceNames(), " ") + "\n"
	require.NoError(e.t, os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	require.NoError(e.t, os.WriteFile(filepath.Join(dir, "etc", "hosts"), []byte(hosts), 0o644))
	require.NoError(e.t, os.WriteFile(filepath.Join(dir, "etc", "passwd"), []byte(users), 0o644))
	if bin != "" {
		e.bind(bin, filepath.Join(dir, "usr", "local", "bin"), true)
	}
	for _, path := range s.Tmpfs {
		require.NoError(e.t, os.MkdirAll(filepath.Join(dir, path), 0o755))
		e.mount("tmpfs", filepath.Join(dir, path), "tmpfs", 0, "mode=1777")
	}
	uid, gid := identity(e.t, s)
	for _, v := range s.Volumes {
		source := v.Source
		if v.Type == types.VolumeTypeVolume { // a new one has the owner that the image gives it
			source = filepath.Join(e.dir, "volumes", v.Source)
			if err := os.Mkdir(source, 0o700); err == nil {
				require.NoError(e.t, os.Chown(source, int(uid), int(gid)))
			}
		}
		e.bind(source, filepath.Join(dir, v.Target), v.ReadOnly)
	}
	for _, secret := range s.Secrets {
		e.bind(e.project.Secrets[secret.Source].File, filepath.Join(dir, "run", "secrets", secret.Source), true)
	}
	if s.ReadOnly {
		e.mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return dir
}

// identity is the user of a service: the file's, or the one that Temporal's images have.
func identity(t *testing.T, s types.ServiceConfig) (uid, gid uint32) {
	t.Helper()
	if s.User == "" {
		require.True(t, strings.HasPrefix(s.Image, "temporalio/"), s.Name)
		return 1000, 1000
	}
	u, g, ok := strings.Cut(s.User, ":")
	require.True(t, ok)
	return number(t, u), number(t, g)
}

func number(t *testing.T, text string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 32)
	require.NoError(t, err)
	return uint32(n)
}

// start runs a service, with other arguments when there are any.
func (e *engine) start(name string, stdin io.Reader, stdout io.Writer, argv ...string) *container {
	e.t.Helper()
	s := e.project.Services[name]
	return e.startIn(e.root(s), s, stdin, stdout, argv...)
}

func (e *engine) startIn(dir string, s types.ServiceConfig, stdin io.Reader, stdout io.Writer, argv ...string) *container {
	e.t.Helper()
	if len(argv) == 0 {
		argv = append(append(argv, s.Entrypoint...), s.Command...)
	}
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for k, v := range s.Environment {
		env = append(env, k+"="+*v)
	}
	uid, gid := identity(e.t, s)
	groups := []uint32{}
	for _, g := range s.GroupAdd {
		groups = append(groups, number(e.t, g))
	}
	c := &container{name: s.Name, done: make(chan struct{})}
	program := argv[0]
	if !strings.Contains(program, "/") {
		for _, folder := range strings.Split(strings.TrimPrefix(env[0], "PATH="), ":") {
			if _, err := os.Stat(filepath.Join(dir, folder, program)); err == nil {
				program = filepath.Join(folder, program)
				break
			}
		}
	}
	c.cmd = &exec.Cmd{
		Path: program, Args: argv, Env: env, Dir: "/", Stdin: stdin, Stdout: stdout, Stderr: e,
		SysProcAttr: &syscall.SysProcAttr{
			Chroot:     dir,
			Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups},
			Pdeathsig:  syscall.SIGKILL,
		},
	}
	if stdout == nil {
		c.cmd.Stdout = e
	}
	require.NoError(e.t, c.cmd.Start(), "%s: %v", s.Name, argv)
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c
}

// Write collects what services write.
func (e *engine) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.Write(b)
}

func (e *engine) logged() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.String()
}

// patience is how long anything may take here.
const patience = 2 * time.Minute

// run runs a service, or a command in its place, to its end, which must be a good one.
func (e *engine) run(name, stdin string, argv ...string) string {
	e.t.Helper()
	out, err := e.try(name, stdin, argv...)
	require.NoError(e.t, err, "%s %v\n%s", name, argv, e.tail())
	return out
}

func (e *engine) try(name, stdin string, argv ...string) (string, error) {
	e.t.Helper()
	var out bytes.Buffer
	c := e.start(name, strings.NewReader(stdin), &out, argv...)
	select {
	case <-c.done:
		return out.String(), c.err
	case <-time.After(patience):
		return out.String(), fmt.Errorf("%s did not end", name)
	}
}

func (e *engine) tail() string {
	text := e.logged()
	return text[max(0, len(text)-6000):]
}

// healthy waits until the health check of a running service says so.
func (e *engine) healthy(name string, c *container) {
	e.t.Helper()
	began := time.Now()
	defer func() { e.t.Logf("%s is healthy after %s", name, time.Since(began).Round(time.Millisecond)) }()
	check := e.project.Services[name].HealthCheck.Test
	require.Equal(e.t, "CMD", check[0])
	await(e.t, e, c, func() bool {
		_, err := e.try(name, "", check[1:]...)
		return err == nil
	})
}

// isolated runs the rest of a test in network, mount and process name spaces of its own. It
// returns true inside of them; outside the test has been run by then, and it returns false.
func isolated(t *testing.T, env ...string) bool {
	t.Helper()
	const inside = "IDENTITYMESH_TEST_INSIDE"
	if os.Getenv(inside) == t.Name() {
		require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		loopbackUp(t)
		return true
	}
	if os.Geteuid() != 0 {
		const why = "it makes name spaces, chroots and processes of other users, which needs root"
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip("SKIPPED: ", why)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=10m")
	cmd.Env = append(append(os.Environ(), env...), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("inside:\n%s", out)
	require.NoError(t, err)
	return false
}

// loopbackUp turns on the loopback interface of a new network.
func loopbackUp(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	require.NoError(t, err)
	defer unix.Close(fd) //nolint:errcheck // only asked
	lo, err := unix.NewIfreq("lo")
	require.NoError(t, err)
	lo.SetUint16(unix.IFF_UP)
	require.NoError(t, unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo))
}
