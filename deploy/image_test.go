package deploy

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/stretchr/testify/require"
)

// stages parses the Dockerfile as BuildKit does.
func stages(t testing.TB) []instructions.Stage {
	t.Helper()
	f, err := os.Open(filepath.Join(root(t), "Dockerfile"))
	require.NoError(t, err)
	defer f.Close() //nolint:errcheck // only read
	parsed, err := parser.Parse(f)
	require.NoError(t, err)
	require.Empty(t, parsed.Warnings)
	all, args, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{}))
	require.NoError(t, err)
	require.Empty(t, args)
	return all
}

// find is the one instruction of a kind in a stage.
func find[T instructions.Command](t testing.TB, s instructions.Stage) T {
	t.Helper()
	var found []T
	for _, c := range s.Commands {
		if c, ok := c.(T); ok {
			found = append(found, c)
		}
	}
	require.NotEmpty(t, found)
	return found[len(found)-1]
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	all := stages(t)
	require.Len(t, all, 2)

	// Go's images keep the Go that they come with (GOTOOLCHAIN=local): it must be the one
	// that go.mod wants.
	mod, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	require.NoError(t, err)
	toolchain := regexp.MustCompile(`(?m)^toolchain go(\S+)$`).FindSubmatch(mod)
	require.NotNil(t, toolchain)
	require.Equal(t, "golang:"+string(toolchain[1])+"-bookworm", all[0].BaseName)

	image := all[1]
	require.Equal(t, "gcr.io/distroless/static-debian12:nonroot", image.BaseName)
	require.Equal(t, "65532:65532", find[*instructions.UserCommand](t, image).User)
	require.Equal(t, "worker", strings.Join(find[*instructions.CmdCommand](t, image).CmdLine, " "))
	copied := find[*instructions.CopyCommand](t, image)
	require.Equal(t, all[0].Name, copied.From)
	require.Equal(t, []string{"/out/worker", "/out/starter"}, copied.SourcePaths)
	require.Equal(t, "/usr/local/bin/", copied.DestPath, "it is in PATH")
	for _, c := range image.Commands {
		require.NotContains(t, []string{"run", "expose", "volume"}, c.Name(), "nothing but two files is added")
	}
}

// ignored is .dockerignore.
func ignored(t testing.TB) *patternmatcher.PatternMatcher {
	t.Helper()
	f, err := os.Open(filepath.Join(root(t), ".dockerignore"))
	require.NoError(t, err)
	defer f.Close() //nolint:errcheck // only read
	patterns, err := ignorefile.ReadAll(f)
	require.NoError(t, err)
	m, err := patternmatcher.New(patterns)
	require.NoError(t, err)
	return m
}

func TestDockerignore(t *testing.T) {
	t.Parallel()
	m := ignored(t)
	for path, out := range map[string]bool{
		".env": true, "deploy/compose/secrets/secrets_key": true, "deploy/compose/site.env": true, ".git/config": true,
		"bin/temporal-dev": true, ".up/mesh.db": true, ".demo/x": true, ".tools/golangci-lint": true,
		"go.mod": false, "go.sum": false, "worker/main.go": false, "mesh/migrations/postgres/0001.sql": false,
		"workflows/testdata/replay/x.json": true, "worker/main_test.go": true,
	} {
		match, err := m.MatchesOrParentMatches(path)
		require.NoError(t, err)
		require.Equal(t, out, match, path)
	}
}

// built are the programs of the image, made once for all tests.
var built struct {
	once sync.Once
	dir  string
	err  error
	out  []byte
}

// image builds our programs as the Dockerfile does: its command, its environment, and the
// files that .dockerignore lets through. It returns the folder that they are in.
func image(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		var dir string
		if dir, built.err = os.MkdirTemp("", "identitymesh-image-"); built.err != nil {
			return
		}
		temporary = append(temporary, dir)
		src := filepath.Join(dir, "src")
		send(t, src)
		stage := stages(t)[0]
		env := append(os.Environ(), "VERSION=v9.8.7", "GOTOOLCHAIN=auto") // a machine for tests may have another Go than the image
		for _, kv := range find[*instructions.EnvCommand](t, stage).Env {
			value, _, err := shell.NewLex('\\').ProcessWord(kv.Value, shell.EnvsFromSlice(nil)) // takes off the quotes
			require.NoError(t, err)
			env = append(env, kv.Key+"="+value)
		}
		built.dir = filepath.Join(dir, "out")
		line := strings.Join(find[*instructions.RunCommand](t, stage).CmdLine, " ")
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", strings.ReplaceAll(line, "/out/", built.dir+"/"))
		cmd.Dir, cmd.Env = src, env
		built.out, built.err = cmd.CombinedOutput()
	})
	require.NoError(t, built.err, "%s", built.out)
	return built.dir
}

// send copies what the builder gets.
func send(t testing.TB, to string) {
	t.Helper()
	m := ignored(t)
	from := root(t)
	require.NoError(t, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == from {
			return err
		}
		name, err := filepath.Rel(from, path)
		require.NoError(t, err)
		out, err := m.MatchesOrParentMatches(name)
		require.NoError(t, err)
		switch {
		case out && d.IsDir():
			return filepath.SkipDir
		case out || !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path) //nolint:gosec // of the repository
		require.NoError(t, err)
		target := filepath.Join(to, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(target), 0o755))
		return os.WriteFile(target, text, 0o644)
	}))
}

// The build needs nothing that is not sent, and its programs need no libraries, which the
// image has none of.
func TestImageBuilds(t *testing.T) {
	t.Parallel()
	dir := image(t)
	for _, name := range []string{"worker", "starter"} {
		f, err := elf.Open(filepath.Join(dir, name))
		require.NoError(t, err)
		for _, p := range f.Progs {
			require.NotEqual(t, elf.PT_INTERP, p.Type, "%s is linked with libraries", name)
		}
		require.NoError(t, f.Close())
		out, err := exec.CommandContext(t.Context(), filepath.Join(dir, name), "--version").Output()
		require.NoError(t, err)
		require.Contains(t, string(out), "v9.8.7")
	}
}
