package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// guideTools are the programs whose commands within a text are looked at. Ours are
// compared with their --help; the others must have been run.
var guideTools = map[string]bool{
	"starter": true, "worker": true, "temporal-dev": true, "oktasim": true,
	"make": false, "psql": false, "createdb": false, "pg_dump": false, "pg_restore": false, "curl": false, "promtool": false,
}

// known says that a span of code is no command, one that the guide has run, or one that our
// programs know.
func (g *guide) known(span string, ran map[string]bool) error {
	words := wordsOf(span)
	if len(words) < 2 {
		return nil
	}
	ours, command := guideTools[words[0]]
	if !command {
		return nil
	}
	for text := range ran {
		if strings.Contains(strings.Join(wordsOf(text), " "), strings.Join(words, " ")) {
			return nil
		}
	}
	switch {
	case words[0] == "make":
		text, err := os.ReadFile("../Makefile")
		if err == nil && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(words[1])+`:`).Match(text) {
			err = fmt.Errorf("`%s`: the Makefile has no such target", span)
		}
		return err
	case !ours:
		return fmt.Errorf("`%s` is in the text, and no block of the guide runs it", span)
	}
	if err := g.knownTo(words); err != nil {
		return fmt.Errorf("`%s`: %w", span, err)
	}
	return nil
}

// wordsOf are the words of a command; what is quoted is one.
func wordsOf(text string) []string {
	return strings.Fields(regexp.MustCompile(`"[^"\n]*"`).ReplaceAllString(text, `""`))
}

// guideUsage is the first line of a cobra command's usage.
var guideUsage = regexp.MustCompile(`(?m)^Usage:\n  (.*)$`)

// knownTo compares a command of ours with the help of its sub-command.
func (g *guide) knownTo(words []string) error {
	path := words[:1]
	for _, w := range words[1:] {
		if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(w) {
			break
		}
		path = append(path, w)
	}
	help, err := g.helpOf(path)
	if err != nil {
		return err
	}
	usage := guideUsage.FindStringSubmatch(help)
	if usage == nil {
		return errors.New("its help shows no usage")
	}
	// "starter runs show RUN [flags]" against "starter runs show 0199f3a2 -o json"
	for i, w := range strings.Fields(usage[1]) {
		if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(w) {
			if i < len(path) && strings.Contains(help, "Available Commands:") && strings.HasPrefix(w, "[") {
				return fmt.Errorf("%s has no command %s", strings.Join(path[:i], " "), path[i])
			}
			break
		}
		if i >= len(path) || path[i] != w {
			return fmt.Errorf("there is no such command: its help is that of %s", usage[1])
		}
	}
	for _, w := range words {
		flag, _, _ := strings.Cut(w, "=")
		if !strings.HasPrefix(flag, "-") || flag == "-" {
			continue
		}
		if !regexp.MustCompile(`(?m)(^ +|, )` + regexp.QuoteMeta(flag) + `([ ,]|$)`).MatchString(help) {
			return fmt.Errorf("%s knows no %s", strings.Join(path, " "), flag)
		}
	}
	return nil
}

// helpOf is what a command prints with --help.
func (g *guide) helpOf(path []string) (string, error) {
	key := strings.Join(path, " ")
	if help, ok := g.help[key]; ok {
		return help, nil
	}
	help, err := g.command(g.Context(), path[0], append(append([]string{}, path[1:]...), "--help")...)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, help)
	}
	g.help[key] = help
	return help, nil
}

// TestDocumentedCommands looks at the commands of ours that the other documents name, in
// their text and in their blocks: each must be one that its --help knows.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	g := &guide{T: t, bin: temporal.Bin, help: map[string]string{}}
	found := 0
	for _, pattern := range []string{"../README.md", "../SECURITY.md", "../docs/*.md"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, command := range documented(string(source)) {
				found++
				assert.NoError(t, g.knownTo(command), "%s: %s", file, strings.Join(command, " "))
			}
		}
	}
	require.Greater(t, found, 50)
}

// ourCommand begins a command of ours, behind a prompt, a variable or a folder.
var ourCommand = regexp.MustCompile(`^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:bin/)?((?:starter|worker|temporal-dev) .*)`)

// documented are the words of the commands of ours in a document.
func documented(source string) (commands [][]string) {
	add := func(text string) {
		if m := ourCommand.FindStringSubmatch(text); m != nil {
			text, _, _ := strings.Cut(m[1], " #")
			for _, end := range []string{" > ", " < ", " | ", " & ", " && "} {
				text, _, _ = strings.Cut(text+" ", end)
			}
			commands = append(commands, wordsOf(text))
		}
	}
	fenced := false
	for line := range strings.Lines(source) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced:
			add(line)
		default:
			for i, span := range strings.Split(line, "`") {
				if i%2 == 1 {
					add(span)
				}
			}
		}
	}
	return commands
}
