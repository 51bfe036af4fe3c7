package integration

import (
	"fmt"
	"regexp"
	"strings"
)

// guideVolatile is what differs from one run to the next: the guide shows an example of it.
var guideVolatile = []struct {
	is    *regexp.Regexp
	shown string
}{
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "<run>"},
	{regexp.MustCompile(`\d{8}t\d{6}z-[0-9a-z]{6}|\d{8}T\d{6}Z-[0-9a-z]{6}`), "<workflow>"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "<request>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?`), "<time>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), "<date>"},
	{regexp.MustCompile(`\b\d+(\.\d+)? (ms|s|min|h|d|days|seconds|minutes)\b`), "<span>"},
	{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+(\.\d+)?(ms|s|m|h)\b`), "<span>"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:<port>"},
	{regexp.MustCompile(`\b(key|use) \d{6,10}\b`), "$1 <key>"},
	{regexp.MustCompile(`(?m)^\d{6,10} `), "<key> "},
	{regexp.MustCompile(`\bby [\w.-]+@[\w-]+`), "by <operator>"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// settled is a text without what differs from one run to the next.
func settled(s string) string {
	for _, v := range guideVolatile {
		s = v.is.ReplaceAllString(s, v.shown)
	}
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}

// matchOutput compares what a block printed with what the guide shows of it. There "…" is
// anything within a line, and alone on a line any lines.
func matchOutput(shown, printed string) error {
	want := "^"
	got := settled(printed)
	for line := range strings.Lines(settled(shown)) {
		want += linePattern(strings.TrimSuffix(line, "\n"))
		if !regexp.MustCompile(want).MatchString(got) {
			return fmt.Errorf("the guide shows the line %q, and what came is\n%s", line, printed)
		}
	}
	if !regexp.MustCompile(want + "$").MatchString(got) {
		return fmt.Errorf("after what the guide shows, more came:\n%s", printed)
	}
	return nil
}

// linePattern is a regular expression for a line that the guide shows.
func linePattern(line string) string {
	if line == "…" {
		return `(?:[^\n]*\n)*?`
	}
	parts := strings.Split(line, "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return strings.Join(parts, `[^\n]*?`) + `\n`
}
