package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// printable makes text safe for a terminal: names in a directory may hold line
// breaks, escape sequences, marks that reverse the writing direction, or letters that
// nobody sees. Bytes that are no UTF-8 are escaped, too: some terminals obey them.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, harmful) {
		return s
	}
	var b strings.Builder
	for at, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[at:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[at])
		case harmful(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		case harmful(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func harmful(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d' // belong to words and emoji
	return unicode.IsControl(r) ||               // C0 and C1
		unicode.Is(unicode.Cf, r) && r != nonJoiner && r != joiner || // writing direction, and what has no width
		unicode.In(r, unicode.Zl, unicode.Zp) // line and paragraph separators
}

// oneLine makes a message of several lines one, for a cell of a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// printLine writes text, which may be several lines, to standard error. Messages
// quote Okta and the operator's files, hence the care.
func printLine(w io.Writer, text string) {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = printable(l)
	}
	_, _ = fmt.Fprintln(w, strings.Join(lines, "\n")) // nothing can be done about a broken standard error
}

// pad fills s with blanks to a display width; text that is wider stays as it is.
func pad(s string, width int) string {
	if n := width - uniseg.StringWidth(s); n > 0 {
		return s + strings.Repeat(" ", n)
	}
	return s
}

// truncate cuts s to a display width, marking the cut with an ellipsis. A width
// below 1 means no limit.
func truncate(s string, width int) string {
	if width < 1 || uniseg.StringWidth(s) <= width {
		return s
	}
	var b strings.Builder
	used := 0
	for g := uniseg.NewGraphemes(s); g.Next(); {
		if used += g.Width(); used > width-1 {
			break
		}
		b.WriteString(g.Str())
	}
	return b.String() + "…"
}

// stamp is a time for people: UTC, to the second; "-" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// span is a duration for people.
func span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
