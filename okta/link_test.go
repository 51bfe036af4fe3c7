package okta

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNextLink(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		values []string
		want   string
		fails  bool
	}{
		"none":                     {nil, "", false},
		"empty value":              {[]string{""}, "", false},
		"quoted":                   {[]string{`<u>; rel="next"`}, "u", false},
		"unquoted":                 {[]string{`<u>; rel=next`}, "u", false},
		"no space":                 {[]string{`<u>;rel="next"`}, "u", false},
		"upper case":               {[]string{`<u>; REL="Next"`}, "u", false},
		"several rels":             {[]string{`<u>; rel="last  next"`}, "u", false},
		"rel that starts the same": {[]string{`<u>; rel="next-archive"`}, "", false},
		"other parameters":         {[]string{`<u>; title="a, b; rel=\"next\""; rel="next"; x`}, "u", false},
		"next in a title only":     {[]string{`<u>; title="x; rel=next, <v>; rel=next"; rel="self"`}, "", false},
		"flag parameter":           {[]string{`<u>; flag; rel=next`}, "u", false},
		"first rel counts":         {[]string{`<u>; rel="self"; rel="next"`}, "", false},
		"comma and semicolon":      {[]string{`<u?a=1,2;rel="next">; rel="self", <v?b=3,4;5>; rel="next"`}, "v?b=3,4;5", false},
		"two lines":                {[]string{`<u>; rel="self"`, `<v>; rel="next"`}, "v", false},
		"next first":               {[]string{`<v>; rel="next"`, `<u>; rel="self"`}, "v", false},
		"empty members":            {[]string{`, ,<v>; rel="next",,`}, "v", false},
		"spaces around the equals": {[]string{`<v> ; rel = "next" `}, "v", false},
		"no rel":                   {[]string{`<v>`}, "", false},
		"trailing semicolon":       {[]string{`<v>; rel="next";`}, "v", false},
		"no closing bracket":       {[]string{`<v; rel="next"`}, "", true},
		"no brackets":              {[]string{`v; rel="next"`}, "", true},
		"open quote":               {[]string{`<v>; rel="next`}, "", true},
		"text after the target":    {[]string{`<v> x; rel="next"`}, "", true},
		"cut in the second link":   {[]string{`<u>; rel="self", <v?after=`}, "", true},
		"two different nexts":      {[]string{`<u>; rel="next"`, `<v>; rel="next"`}, "", true},
		"empty target":             {[]string{`<>; rel="next"`}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := nextLink(tt.values)
			require.Equal(t, tt.fails, err != nil, "%v", err)
			require.Equal(t, tt.want, got)
		})
	}
}

// A broken Link header must not look like the end of a list.
func TestMalformedLinkIsAnError(t *testing.T) {
	t.Parallel()
	client, _ := setup(t, answer(200, `[]`, `Link: </api/v1/users?after=`))
	_, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
	e := requireKind(t, err, RetryLater)
	require.Contains(t, e.Error(), "Link header")
}

// FuzzNextLink: any header gives an answer, and a well-formed next link that is
// put before or after any other well-formed one is found.
func FuzzNextLink(f *testing.F) {
	f.Add(`<u>; rel="self"`, `https://contoso.okta.com/api/v1/users?after=0,1;2&limit=200`)
	f.Add(`<u>; title="a\"b, <x>; rel=next"`, `/x`)
	f.Add(`<<>>;;;,,,"`, `?`)
	f.Fuzz(func(t *testing.T, header, target string) {
		before, err := nextLink([]string{header})
		if strings.ContainsAny(target, "<>\r\n") || strings.TrimSpace(target) != target || target == "" {
			return
		}
		mine := "<" + target + `>; title="x, y; z"; rel="next"`
		got, errMine := nextLink([]string{mine})
		if errMine != nil || got != target {
			t.Fatalf("lost %q: %q %v", target, got, errMine)
		}
		if err != nil || before != "" {
			return
		}
		for _, values := range [][]string{{header, mine}, {mine, header}, {header + ", " + mine}, {mine + "," + header}} {
			if got, err := nextLink(values); err != nil || got != target {
				t.Fatalf("%q: got %q, %v", values, got, err)
			}
		}
	})
}
