package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	gmtext "github.com/yuin/goldmark/text"
)

// guidePage is one page of the operator's guide, as far as the test runs it.
type guidePage struct {
	file  string // as its reader knows it: docs/guide/watch.md
	steps []guideStep
	spans []guideStep // code within the text that may be a command
}

// guideStep is a block of commands with what they print, a directive, or a span of code.
type guideStep struct {
	where     string // file:line
	text      string
	directive bool // <!-- test: text -->
	code      int  // the exit code that the commands' last line names
	shown     bool // the block after it shows what it prints
	output    string
}

// guideDirective is how a page tells the test, and not its reader, what happens now.
var guideDirective = regexp.MustCompile(`^<!-- test: (.*?) -->\s*$`)

// guideExitCode ends a command that the guide says to fail.
var guideExitCode = regexp.MustCompile(`# exit code (\d+)$`)

// parseGuide reads a page. A block of code is sh, text (what the block before it prints), or
// a file that is only shown; whatever else the test would pass over is an error.
func parseGuide(file string, source []byte) (*guidePage, error) {
	p := &guidePage{file: file}
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(gmtext.NewReader(source))
	where := func(offset int) string {
		return fmt.Sprintf("%s:%d", file, 1+bytes.Count(source[:offset], []byte("\n")))
	}
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.FencedCodeBlock:
			if n.Lines().Len() == 0 {
				return ast.WalkStop, fmt.Errorf("%s: an empty block of code", file)
			}
			before := ""
			if fence, ok := n.PreviousSibling().(*ast.FencedCodeBlock); ok {
				before = string(fence.Language(source))
			}
			return ast.WalkContinue, p.block(where(n.Lines().At(0).Start), string(n.Language(source)), linesOf(n, source), before)
		case *ast.CodeBlock:
			return ast.WalkStop, fmt.Errorf("%s: a block of code without a fence says not what it is", where(n.Lines().At(0).Start))
		case *ast.HTMLBlock:
			at := where(n.Lines().At(0).Start)
			found := guideDirective.FindStringSubmatch(linesOf(n, source))
			if found == nil {
				return ast.WalkStop, fmt.Errorf("%s: the only HTML of the guide is <!-- test: … -->, each on a line of its own between empty ones", at)
			}
			p.steps = append(p.steps, guideStep{where: at, text: found[1], directive: true})
		case *ast.CodeSpan:
			var b strings.Builder
			offset := 0
			for c := n.FirstChild(); c != nil; c = c.NextSibling() {
				if t, ok := c.(*ast.Text); ok {
					offset = t.Segment.Start
					b.Write(t.Segment.Value(source))
				}
			}
			p.spans = append(p.spans, guideStep{where: where(offset), text: strings.Join(strings.Fields(b.String()), " ")})
		}
		return ast.WalkContinue, nil
	})
	return p, err
}

// block takes a fenced block of code; before is the language of one right before it.
func (p *guidePage) block(where, language, code, before string) error {
	switch language {
	case "sh":
		step := guideStep{where: where, text: code}
		lines := strings.Split(strings.TrimSpace(code), "\n")
		for i, line := range lines {
			found := guideExitCode.FindStringSubmatch(line)
			if found == nil {
				continue
			}
			// Where a failure is expected, the shell goes on after one: one that is not
			// would pass.
			if i != 0 || len(lines) != 1 {
				return fmt.Errorf("%s: a command with an exit code has a block of its own", where)
			}
			step.code, _ = strconv.Atoi(found[1])
		}
		p.steps = append(p.steps, step)
	case "text":
		last := len(p.steps) - 1
		if before != "sh" {
			return fmt.Errorf("%s: a block of text is what the block of commands before it prints, and follows at once", where)
		}
		p.steps[last].shown, p.steps[last].output = true, code
	case "json", "ini", "yaml": // a file
	default:
		return fmt.Errorf("%s: a block of %q: the guide knows sh, text, and files (json, ini, yaml)", where, language)
	}
	return nil
}

func linesOf(n ast.Node, source []byte) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		line := n.Lines().At(i)
		b.Write(line.Value(source))
	}
	return b.String()
}

// guidePages are the guide and the pages that it links in its folder, in that order.
func guidePages(root string) ([]*guidePage, error) {
	var pages []*guidePage
	read := func(file string) ([]byte, error) {
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return nil, err
		}
		page, err := parseGuide(file, source)
		pages = append(pages, page)
		return source, err
	}
	source, err := read("docs/guide.md")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, link := range regexp.MustCompile(`\]\((guide/[a-z-]+\.md)`).FindAllSubmatch(source, -1) {
		file := "docs/" + string(link[1])
		if seen[file] {
			continue
		}
		seen[file] = true
		if _, err := read(file); err != nil {
			return nil, err
		}
	}
	all, err := filepath.Glob(filepath.Join(root, "docs", "guide", "*.md"))
	if err != nil {
		return nil, err
	}
	if len(all) != len(seen) {
		return nil, fmt.Errorf("docs/guide has %d pages, and docs/guide.md links %d of them", len(all), len(seen))
	}
	return pages, nil
}
