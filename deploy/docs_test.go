package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// starterLine finds what the docs have the starter do: in Compose, or in a shell.
var starterLine = regexp.MustCompile(`(?m)^(?:#   )?(?:docker compose run [^\n]*\bstarter|out="docker compose run [^\n]*\bstarter|starter) ([^\n<>|#"]+)`)

// The commands of the starter that the docs show exist, with the flags that they show.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	starter := filepath.Join(image(t), "starter")
	seen := map[string]bool{}
	for _, file := range []string{"docker-compose.yml", "docs/deploy.md"} {
		text, err := os.ReadFile(root(t) + "/" + file)
		require.NoError(t, err)
		for _, found := range starterLine.FindAllStringSubmatch(string(text), -1) {
			args := strings.Fields(found[1])
			if args[len(args)-1] == "--key-out" || args[len(args)-1] == "--reconcile" { // the value is beyond the match
				args = append(args, "Sun 02:00")
			}
			seen[args[0]+" "+args[1]] = true
			out, err := exec.CommandContext(t.Context(), starter, append(args, "--help")...).CombinedOutput()
			require.NoError(t, err, "%s: %q\n%s", file, args, out)
			require.Contains(t, string(out), "Usage:\n  starter "+args[0], "%q", args)
		}
	}
	for _, command := range []string{"connector init", "connector apply", "connector check", "run contoso", "schedule apply", "status contoso", "secret rekey", "secret keygen"} {
		require.True(t, seen[command], "%s is not found in the docs any more: %v", command, seen)
	}
}

// Every folder of Kubernetes is in the table, and the other way round.
func TestDocumentedFolders(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "deploy.md"))
	require.NoError(t, err)
	folders, err := os.ReadDir("kubernetes")
	require.NoError(t, err)
	for _, f := range folders {
		require.Contains(t, string(text), "\n| `"+f.Name()+"` | ")
	}
	for name, published := range map[string]string{"temporal-ui": "8233", "grafana": "3000", "prometheus": "9090"} {
		require.Equal(t, published, project(t).Services[name].Ports[0].Published)
		require.Contains(t, string(text), "http://127.0.0.1:"+published)
	}
}
