package integration

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
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
	words := strings.Fields(span)
	if len(words) < 2 {
		return nil
	}
	ours, command := guideTools[words[0]]
	if !command {
		return nil
	}
	for text := range ran {
		if strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(words, " ")) {
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
		if !regexp.MustCompile(`(?m)^ +(-\w, )?` + regexp.QuoteMeta(flag) + `\b`).MatchString(help) {
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
