package integration

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGuideHarness shows that a page with a mistake fails.
func TestGuideHarness(t *testing.T) {
	t.Parallel()
	t.Run("parse", func(t *testing.T) {
		t.Parallel()
		for page, want := range map[string]string{
			"```bash\ntrue\n```":   `a block of "bash"`,
			"```\ntrue\n```":       `a block of ""`,
			"    starter status\n": "a block of code without a fence",
			"```sh\n```":           "an empty block",
			"```text\nout\n```":    "what the block of commands before it prints",
			"```sh\ntrue\n```\n\nThen\n\n```text\nout\n```":           "what the block of commands before it prints",
			"```sh\ntrue\n```\n```text\na\n```\n```text\nb\n```":      "what the block of commands before it prints",
			"```sh\ntrue\nfalse # exit code 1\n```":                   "a block of its own",
			"<!-- tset: revoke-token -->":                             "the only HTML",
			"<div>starter status</div>":                               "the only HTML",
			"```sh\nfalse # exit code 1\n```\n```text\n…\n```":        "",
			"<!-- test: revoke-token -->\n\n```json\n{}\n```":         "",
			"Run `starter\nstatus`.\n\n| a |\n|---|\n| `psql -l` |\n": "",
		} {
			p, err := parseGuide("page.md", []byte(page))
			if want != "" {
				require.ErrorContains(t, err, want, page)
				require.ErrorContains(t, err, "page.md", page)
				continue
			}
			require.NoError(t, err, page)
			require.True(t, len(p.steps) == 1 || len(p.spans) == 2, "%+v", p)
		}
		p, err := parseGuide("page.md", []byte("One\n\n```sh\nfalse # exit code 3\n```\n\n```text\nout\n```\n\nThen `starter\nstatus`.\n"))
		require.NoError(t, err)
		require.Equal(t, []guideStep{{where: "page.md:4", text: "false # exit code 3\n", code: 3, shown: true, output: "out\n"}}, p.steps)
		require.Equal(t, []guideStep{{where: "page.md:12", text: "starter status"}}, p.spans)
	})
	t.Run("output", func(t *testing.T) {
		t.Parallel()
		const printed = "Started import-contoso-full-20261129T012129Z-cb6lpk, run 01a224e2-bcf1-7b4f-8dca-2647b28e59f6\nDuration  0.3 s\n\nUser  380  0\nGroup   12  0\n"
		for shown, ok := range map[string]bool{
			printed: true,
			"Started import-contoso-full-20260101T000000Z-aaaaaa, run 00000000-bcf1-7b4f-8dca-2647b28e59f6\nDuration 10 s\n\nUser 380 0\nGroup 12 0\n": true,
			"…\nUser  380  0\n…":                   true,
			"Started …\n…\nUser  …  0\nGroup 12 0": true,
			"…":                                     true,
			"…\nUser  381  0\n…":                    false,
			"…\nUser  380  0":                       false,
			"User  380  0\n…":                       false,
			"…\nGroup 12 0\nUser 380 0":             false,
			"Started …\nUser 380 0\n…":              false,
			"…\nUser\n…":                            false,
			"…\nUser  380  0\nGroup   12  0\nmore…": false,
		} {
			err := matchOutput(shown, printed)
			require.Equal(t, ok, err == nil, "%s\n%v", shown, err)
		}
	})
	t.Run("directive", func(t *testing.T) {
		t.Parallel()
		require.ErrorContains(t, (&guide{T: t}).direct("make-coffee now"), `unknown directive "make-coffee now"`)
	})
	t.Run("shell", func(t *testing.T) {
		t.Parallel()
		run := func(code int, text string) (string, error) {
			s, err := newGuideShell(t.TempDir(), t.TempDir(), []string{"PATH=" + os.Getenv("PATH")})
			require.NoError(t, err)
			defer func() { require.NoError(t, s.close()) }()
			if out, err := s.run(t.Context(), guideStep{text: "A=1; f() { echo $A; }\ncd /; sleep 600 &\n"}); err != nil {
				return out, err
			}
			return s.run(t.Context(), guideStep{text: text, code: code})
		}
		out, err := run(0, "f; pwd; kill %1; echo oops >&2")
		require.NoError(t, err)
		require.Equal(t, "1\n/\noops\n", out, "one shell for all blocks")
		_, err = run(3, "(exit 3)")
		require.NoError(t, err)
		for text, code := range map[string]int{"false\ntrue": 0, "false | cat": 0, "echo $UNKNOWN": 0, "no-such-command": 0, "true": 1, "(exit 2)": 1} {
			_, err := run(code, text)
			require.Error(t, err, text)
		}
	})
	t.Run("span", func(t *testing.T) {
		t.Parallel()
		g := &guide{T: t, bin: temporal.Bin, help: map[string]string{}}
		ran := map[string]bool{"psql -d mesh \\\n  -f roles.sql\n": true}
		for span, ok := range map[string]bool{
			"starter": true, "im_objects": true, "starter status NAME": true, "starter status NAME -o json": true,
			"starter run NAME --mode full --dry-run": true, "starter secret": true, "starter runs show RUN": true,
			"worker --metrics-addr 127.0.0.1:9465": true, "temporal-dev --db temporal.db": true, "make build": true, "psql -d mesh": true,
			"starter statsu NAME": false, "starter run NAME --mod full": false, "starter secret get REF": false,
			"starter schedule apply NAME --dry-run": false, "worker --metrics 1": false, "temporal-dev --database x": false,
			"make nothing": false, "psql -d other": false, "curl localhost": false,
		} {
			err := g.known(span, ran)
			require.Equal(t, ok, err == nil, "%s: %v", span, err)
		}
	})
}
