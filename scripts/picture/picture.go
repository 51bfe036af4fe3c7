package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/url"
	"os"
	"path/filepath"

	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/mesh"
)

// picture is one file: parts of pages of the Web UI, one below the other.
type picture struct {
	file  string
	parts []part
}

// part is a part of a page, as wide as the page without its menu.
type part struct {
	url   string
	shows []string // texts to wait for
	// top and bottom are JavaScript expressions of the part's edges.
	top, bottom string
}

// The edges of parts. The Web UI names what it is made of in data-testid, for its own
// tests.
const (
	belowHeader = `document.querySelector('[data-testid=timeline-tab]').getBoundingClientRect().bottom + 2`
	titleTop    = `document.querySelector('[data-testid=workflow-id-heading]').getBoundingClientRect().top - 8`
	chartTop    = `[...document.querySelectorAll('h2')].find(e => e.textContent.trim().startsWith('Timeline')).getBoundingClientRect().top - 12`
	chartBottom = chartTop + ` + 250`
	listTop     = `document.querySelector('[data-testid=top-nav]').getBoundingClientRect().bottom + 4`
	listBottom  = `[...document.querySelectorAll('tbody tr')].pop().getBoundingClientRect().bottom + 4`
	// textBottom is where the last text that can be seen ends. Markdown is in frames.
	textBottom = `Math.max(...[...document.querySelectorAll('iframe, body *')]
		.filter(e => e.tagName == 'IFRAME' || e.childElementCount == 0 && e.textContent.trim())
		.map(e => ({e, r: e.getBoundingClientRect()}))
		.filter(({e, r}) => r.left > 256 && r.height > 4 && e.contains(document.elementFromPoint(r.left + 2, r.top + 2)))
		.map(({r}) => r.bottom)) + 24`
	// holdPage is the address of the hold's page, on the list.
	holdPage = `[...document.querySelectorAll('a')].map(a => a.href).find(h => h.includes('/hold-` + stack.DemoName + `/')).replace('/timeline', '')`
)

// menuWidth is the Web UI's menu, which is left out.
const menuWidth = 256

// pictures are a run that holds deletes back, its hold, and the list of all runs.
func pictures(ctx context.Context, b *browser, ui string, held *mesh.Run) ([]picture, error) {
	all := ui + "/namespaces/default/workflows"
	run := all + "/" + url.PathEscape(held.WorkflowID) + "/" + held.RunID
	if err := b.open(ctx, all, "hold-"+stack.DemoName); err != nil {
		return nil, err
	}
	var hold string
	if err := b.eval(ctx, holdPage, &hold); err != nil {
		return nil, fmt.Errorf("find the hold on %s: %w", all, err)
	}
	if err := showColumns(ctx, b); err != nil {
		return nil, err
	}
	return []picture{
		{"web-ui-run.png", []part{
			{run + "/timeline", []string{held.WorkflowID, "Timeline"}, titleTop, belowHeader},
			{run + "/timeline", []string{held.WorkflowID, "Timeline"}, chartTop, chartBottom},
			{run + "/user-metadata", []string{"Current Details", "Full import of demo", "deletes held back"}, belowHeader, textBottom},
			{run + "/search-attributes", []string{"IdentityMeshOutcome", string(mesh.HeldDeletes)}, belowHeader, textBottom},
		}},
		{"web-ui-hold.png", []part{
			{hold + "/user-metadata", []string{"HoldWorkflow"}, titleTop, belowHeader},
			{hold + "/user-metadata", []string{"Current Details", "deletes are held back", "starter approve"}, belowHeader, textBottom},
		}},
		{"web-ui-list.png", []part{
			{all, []string{held.WorkflowID, "hold-" + stack.DemoName, "IdentityMeshOutcome", string(mesh.HeldDeletes)}, listTop, listBottom},
		}},
	}, nil
}

// columns are the list's, with the search attributes, which a person adds in the list
// itself.
var columns = []string{"Status", "Workflow ID", "Type", "IdentityMeshConnector", "IdentityMeshMode", "IdentityMeshOutcome"}

// showColumns chooses the columns for the pages to come, on a page of the Web UI.
func showColumns(ctx context.Context, b *browser) error {
	type column struct {
		Label string `json:"label"`
	}
	chosen := make([]column, len(columns))
	for i, label := range columns {
		chosen[i] = column{label}
	}
	raw, err := json.Marshal(map[string]any{"default": chosen}) // by namespace
	if err != nil {
		return err // it always marshals
	}
	return b.eval(ctx, fmt.Sprintf("localStorage.setItem('namespace-workflow-table-columns', %q)", raw), nil)
}

// take takes the picture and returns the size of its file.
func (p picture) take(ctx context.Context, b *browser, file string) (int, error) {
	var parts []image.Image
	for _, part := range p.parts {
		img, err := part.take(ctx, b)
		if err != nil {
			return 0, err
		}
		parts = append(parts, img)
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, stacked(parts)); err != nil {
		return 0, fmt.Errorf("encode the picture: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // a folder of the repository
		return 0, fmt.Errorf("make the folder of the picture: %w", err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil { //nolint:gosec // a file of the repository
		return 0, fmt.Errorf("write the picture: %w", err)
	}
	return out.Len(), nil
}

// take opens the page and takes the part.
func (p part) take(ctx context.Context, b *browser) (image.Image, error) {
	if err := b.open(ctx, p.url, p.shows...); err != nil {
		return nil, err
	}
	if _, err := b.image(ctx, nil); err != nil { // it stands still now
		return nil, err
	}
	a := area{X: menuWidth, Width: tabWidth - menuWidth, Scale: 0.95}
	var bottom float64
	for _, edge := range []struct {
		js  string
		out *float64
	}{{p.top, &a.Y}, {p.bottom, &bottom}} {
		if err := b.eval(ctx, edge.js, edge.out); err != nil {
			return nil, fmt.Errorf("find the edges on %s: %w", p.url, err)
		}
	}
	a.Height = bottom - a.Y
	raw, err := b.image(ctx, &a)
	if err != nil {
		return nil, err
	}
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("decode the picture of %s: %w", p.url, err)
	}
	return img, nil
}

// stacked puts pictures one below the other, on white.
func stacked(parts []image.Image) image.Image {
	var size image.Point
	for _, p := range parts {
		size.X = max(size.X, p.Bounds().Dx())
		size.Y += p.Bounds().Dy()
	}
	all := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(all, all.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	y := 0
	for _, p := range parts {
		r := image.Rect(0, y, p.Bounds().Dx(), y+p.Bounds().Dy())
		draw.Draw(all, r, p, p.Bounds().Min, draw.Src)
		y = r.Max.Y
	}
	return all
}
