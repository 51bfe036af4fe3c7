package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	}
	for in, want := range tests {
		require.Equal(t, want, printable(in))
	}
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
