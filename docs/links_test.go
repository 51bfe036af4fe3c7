// Package docs has no code: this is the test of the documents.
package docs

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// project is the folder that the documents' links are in.
var project = os.DirFS("..")

// page is a Markdown document: where it leads, and what can be led to.
type page struct {
	links   []string
	anchors map[string]bool
}

// TestLinks follows every relative link of the project's Markdown, and the alerts' links
// into it: the file must be there, and the heading.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages := map[string]*page{} // by path
	err := fs.WalkDir(project, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(file) != ".md":
			return nil
		}
		source, err := fs.ReadFile(project, file)
		if err == nil {
			pages[file] = read(source)
		}
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, pages["docs/guide.md"].links)
	var wrong []string
	for from, p := range pages {
		for _, link := range p.links {
			if err := follow(pages, from, link); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %s: %v", from, link, err))
			}
		}
	}
	rules, err := fs.ReadFile(project, "deploy/prometheus/rules.yml")
	require.NoError(t, err)
	alerts := regexp.MustCompile(`(?s)- alert: (\w+).*?runbook: (\S+)`).FindAllStringSubmatch(string(rules), -1)
	require.Len(t, alerts, strings.Count(string(rules), "- alert: "))
	guide, err := fs.ReadFile(project, "docs/guide/alerts.md")
	require.NoError(t, err)
	for _, a := range alerts {
		if err := follow(pages, "rules.yml", a[2]); err != nil {
			wrong = append(wrong, fmt.Sprintf("rules.yml: %s: %v", a[2], err))
		}
		_, section, _ := strings.Cut(a[2], "#")
		if !strings.Contains(part(string(guide), section), "`"+a[1]+"`") {
			wrong = append(wrong, fmt.Sprintf("rules.yml: %s leads to %s, which does not name it", a[1], a[2]))
		}
	}
	require.Empty(t, wrong, "%s", strings.Join(wrong, "\n"))
}

// part is the text of a section, by its heading's anchor.
func part(text, section string) string {
	for s := range strings.SplitSeq(text, "\n## ") {
		if heading, _, _ := strings.Cut(s, "\n"); anchor(heading) == section {
			return s
		}
	}
	return ""
}

// follow says what is wrong with a link.
func follow(pages map[string]*page, from, link string) error {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "" || u.Host != "" {
		return err
	}
	to := from
	if u.Path != "" {
		to = path.Join(path.Dir(from), u.Path)
	}
	if _, err := fs.Stat(project, to); err != nil {
		return err
	}
	p := pages[to]
	switch {
	case u.Fragment == "":
		return nil
	case p == nil:
		return fmt.Errorf("%s is no Markdown, so it has no heading", to)
	case !p.anchors[u.Fragment]:
		return fmt.Errorf("%s has no heading #%s", to, u.Fragment)
	}
	return nil
}

// read finds the links and the headings of a document.
func read(source []byte) *page {
	p := &page{anchors: map[string]bool{}}
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the walker never fails
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			p.links = append(p.links, string(n.Destination))
		case *ast.Image:
			p.links = append(p.links, string(n.Destination))
		case *ast.Heading:
			name := anchor(plain(n, source))
			unique := name
			for i := 1; p.anchors[unique]; i++ {
				unique = fmt.Sprintf("%s-%d", name, i)
			}
			p.anchors[unique] = true
		}
		return ast.WalkContinue, nil
	})
	return p
}

// plain is the text of a heading without its marks.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if t, ok := c.(*ast.Text); ok {
			b.Write(t.Segment.Value(source))
		} else {
			b.WriteString(plain(c, source))
		}
	}
	return b.String()
}

// anchor is the name that GitHub gives a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsNumber(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// TestFollow finds what it is for.
func TestFollow(t *testing.T) {
	t.Parallel()
	const self = "docs/links_test.go"
	pages := map[string]*page{self: read([]byte("# One `two`: three, 4\n\n## Again\n\n## Again\n\n[a](#again-1) ![b](gone.png)\n"))}
	require.Equal(t, []string{"#again-1", "gone.png"}, pages[self].links)
	for link, want := range map[string]string{
		"":                         "",
		"https://example.com/gone": "",
		"#one-two-three-4":         "",
		"#again-1":                 "",
		"#again-2":                 "no heading #again-2",
		"gone.png":                 "no such file",
		"../go.mod":                "",
		"../go.mod#again":          "no Markdown",
	} {
		err := follow(pages, self, link)
		if want == "" {
			require.NoError(t, err, link)
		} else {
			require.ErrorContains(t, err, want, link)
		}
	}
}
