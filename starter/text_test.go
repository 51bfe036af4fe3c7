package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"Zoë 佐藤 👩‍💻":    "Zoë 佐藤 👩‍💻",
		"می\u200cخواهم": "می\u200cخواهم", // the joiner belongs to the word
		"a\x1b[2Jb":     `a\u001b[2Jb`,
		"a\nb\tc":       `a\u000ab\u0009c`,
		"a\u009bb":      `a\u009bb`,
		"abc\u202etxt":  `abc\u202etxt`,
		"a\u2028b":      `a\u2028b`,
		"ad\u200bmin":   `ad\u200bmin`,
		"a\u200fb":      `a\u200fb`,
		"a\ufeffb":      `a\ufeffb`,
		"a\U000e0041b":  `a\U000e0041b`,
		"a\x9b2Jb\xffc": `a\x9b2Jb\xffc`,
		"a\ufffdb":      "a\ufffdb",
		"a\x00\x7fb":    `a\u0000\u007fb`,
		"\U0001f600 𝔘":  "\U0001f600 𝔘",
	}
	for in, want := range tests {
		require.Equal(t, want, printable(in))
	}
}

// TestPrintableNeverDrivesATerminal, whatever the text, in tables and in JSON, which
// still says the same.
func TestPrintableNeverDrivesATerminal(t *testing.T) {
	t.Parallel()
	obeyed := func(r rune) bool {
		return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x61c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.Map(rapid.SliceOf(rapid.SampledFrom([]rune("a\"\\\x1b\u009b\u202e\u2066\u200f\ufeff\U000e0041\u061c\u2029😀"))), func(r []rune) string { return string(r) })).Draw(t, "text")
		shown := printable(text)
		require.True(t, utf8.ValidString(shown))
		require.False(t, strings.ContainsFunc(shown, obeyed), "%q", shown)
		require.Equal(t, shown, printable(shown))

		var want, got bytes.Buffer
		value := map[string]any{"text": text, "list": []string{text, ""}}
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		require.NoError(t, enc.Encode(value))
		require.NoError(t, encoder(&got).Encode(value))
		require.JSONEq(t, want.String(), got.String())
		require.False(t, strings.ContainsFunc(strings.TrimRight(got.String(), "\n"), obeyed), "%q", got.String())
	})
}

func TestTruncateAndPad(t *testing.T) {
	t.Parallel()
	require.Equal(t, "abc", truncate("abc", 3))
	require.Equal(t, "ab…", truncate("abcd", 3))
	require.Equal(t, "abcd", truncate("abcd", 0))
	require.Equal(t, "佐…", truncate("佐藤太郎", 4), "a wide character takes two columns")
	require.Equal(t, "ab  ", pad("ab", 4))
	require.Equal(t, "佐藤 ", pad("佐藤", 5))
	require.Equal(t, "abcdef", pad("abcdef", 4))
}

func TestSpan(t *testing.T) {
	t.Parallel()
	tests := map[time.Duration]string{
		0:                              "0.0 s",
		1250 * time.Millisecond:        "1.2 s",
		42 * time.Second:               "42 s",
		3*time.Minute + 7*time.Second:  "3 min 07 s",
		26*time.Hour + 5*time.Minute:   "26 h 05 min",
		95 * 24 * time.Hour:            "95 days",
		time.Minute - time.Millisecond: "60 s",
	}
	for d, want := range tests {
		require.Equal(t, want, span(d))
	}
}

func TestPrintLineKeepsLinesApart(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	printLine(&b, "one\ntwo\x1b[31m")
	require.Equal(t, "one\ntwo\\u001b[31m\n", b.String())
	require.Equal(t, "one two", oneLine("one\n  two"))
}

func TestStamp(t *testing.T) {
	t.Parallel()
	require.Equal(t, "-", stamp(time.Time{}))
	require.Equal(t, "2026-04-22 08:15:30Z", stamp(fixedNow.In(time.FixedZone("", 7200))))
}
