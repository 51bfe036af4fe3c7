package main

import (
	"context"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	promapi "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/identitymesh/okta-connector/internal/board"
)

// rateInterval is what the picture takes for Grafana's: five scrapes.
const rateInterval = "5s"

// columns of the picture, and the size of a panel.
const (
	columns     = 3
	panelWidth  = 11 * vg.Centimeter
	panelHeight = 6 * vg.Centimeter
)

// drawPicture runs imports, has Prometheus scrape them, and draws what it answers to the
// dashboard's expressions.
func drawPicture(ctx context.Context, bin, file string) error {
	dir, err := os.MkdirTemp("", "identitymesh-dashboard-")
	if err != nil {
		return fmt.Errorf("make a state folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	s, err := openScene(ctx, bin, dir)
	if s != nil {
		defer s.close()
	}
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.play(ctx); err != nil {
		return err
	}
	span := promapi.Range{Start: began, End: time.Now(), Step: time.Second}
	var plots []*plot.Plot
	for _, p := range board.Panels(rateInterval) {
		one, err := drawPanel(ctx, s.prometheus, p, span)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Title, err)
		}
		plots = append(plots, one)
	}
	return save(plots, file)
}

// drawPanel asks the panel's expressions and draws a line for each answer.
func drawPanel(ctx context.Context, api promapi.API, p board.Panel, span promapi.Range) (*plot.Plot, error) {
	out := plot.New()
	out.Title.Text = p.Title
	out.Title.TextStyle.Font.Size = 10
	out.Title.Padding = 4
	out.BackgroundColor = color.White
	out.Legend.Top = true
	out.Legend.TextStyle.Font.Size = 6
	out.Legend.ThumbnailWidth = 8
	out.Legend.YPosition = draw.PosBottom
	out.X.Tick.Marker = seconds{}
	out.X.Label.Text = "seconds"
	out.X.Label.TextStyle.Font.Size = 7
	out.Y.Tick.Marker = units(p.Unit)
	for _, a := range []*plot.Axis{&out.X, &out.Y} {
		a.Tick.Label.Font.Size = 7
		a.Color = color.Gray{160}
		a.Tick.Color = color.Gray{160}
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color = color.Gray{225}
	out.Add(grid)
	drawn := 0
	for _, q := range p.Queries {
		v, _, _, err := api.QueryRange(ctx, q.Expr, span)
		if err != nil {
			return nil, err
		}
		matrix, ok := v.(model.Matrix)
		if !ok {
			return nil, fmt.Errorf("the answer of Prometheus is %T", v)
		}
		slices.SortFunc(matrix, func(a, b *model.SampleStream) int { return strings.Compare(a.Metric.String(), b.Metric.String()) })
		for _, series := range matrix {
			n, err := addLines(out, series, span.Start, called(q.Legend, series.Metric), drawn)
			if err != nil {
				return nil, err
			}
			drawn += n
		}
	}
	if drawn == 0 {
		return nil, fmt.Errorf("no answer of Prometheus to %s", p.Queries[0].Expr)
	}
	out.X.Min, out.X.Max = 0, span.End.Sub(span.Start).Seconds()
	out.Y.Min = min(out.Y.Min, 0)
	if out.Y.Max <= 0 {
		out.Y.Max = 1
	}
	out.Y.Max *= 1 + 0.12*float64(min(drawn, 6)) // room for the legend
	return out, nil
}

// addLines draws one series, a line for each stretch without a gap. It returns 1, or 0 for
// a series without a number.
func addLines(out *plot.Plot, series *model.SampleStream, start time.Time, name string, nth int) (drawn int, _ error) {
	var stretches []plotter.XYs
	last := math.Inf(-1)
	for _, s := range series.Values {
		at, v := s.Timestamp.Time().Sub(start).Seconds(), float64(s.Value)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		if at-last > 1.5 {
			stretches = append(stretches, nil)
		}
		i := len(stretches) - 1
		stretches[i] = append(stretches[i], plotter.XY{X: at, Y: v})
		last = at
	}
	for i, xys := range stretches {
		l, err := plotter.NewLine(xys)
		if err != nil {
			return 0, err
		}
		l.Color = plotutil.Color(nth)
		l.Width = vg.Points(1.4)
		out.Add(l)
		if i == 0 {
			out.Legend.Add(name, l)
			drawn = 1
		}
	}
	return drawn, nil
}

var braces = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

// called fills the labels into a legend.
func called(legend string, labels model.Metric) string {
	return braces.ReplaceAllStringFunc(legend, func(m string) string {
		return string(labels[model.LabelName(braces.FindStringSubmatch(m)[1])])
	})
}

// seconds are the ticks of the time axis.
type seconds struct{}

// Ticks implements [plot.Ticker].
func (seconds) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for at := math.Ceil(low/10) * 10; at <= high; at += 10 {
		ticks = append(ticks, plot.Tick{Value: at, Label: fmt.Sprint(int(at))})
	}
	return ticks
}

// units are the ticks of an axis with one of Grafana's units.
type units string

// Ticks implements [plot.Ticker].
func (u units) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = u.text(t.Value)
		}
	}
	return ticks
}

func (u units) text(v float64) string {
	switch u {
	case "s":
		return time.Duration(v * float64(time.Second)).Round(100 * time.Microsecond).String()
	case "percentunit":
		return fmt.Sprintf("%.3g %%", 100*v)
	case "bytes":
		return fmt.Sprintf("%.3g MiB", v/(1<<20))
	case "reqps", "cps":
		return fmt.Sprintf("%.4g/s", v)
	default:
		return fmt.Sprintf("%.4g", v)
	}
}

// save draws all plots into one PNG.
func save(plots []*plot.Plot, file string) error {
	rows := (len(plots) + columns - 1) / columns
	c := vgimg.NewWith(vgimg.UseWH(columns*panelWidth, vg.Length(rows)*panelHeight), vgimg.UseDPI(110), vgimg.UseBackgroundColor(color.White))
	tiles := draw.Tiles{Rows: rows, Cols: columns, PadX: 4 * vg.Millimeter, PadY: 4 * vg.Millimeter, PadTop: 3 * vg.Millimeter, PadLeft: 2 * vg.Millimeter, PadRight: 4 * vg.Millimeter}
	canvas := draw.New(c)
	for i, p := range plots {
		p.Draw(tiles.At(canvas, i%columns, i/columns))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // a folder of the repository
		return fmt.Errorf("make the folder: %w", err)
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(f); err != nil {
		_ = f.Close() // the first error counts
		return fmt.Errorf("write the picture: %w", err)
	}
	return f.Close()
}

// The fonts come with gonum; no machine needs them installed.
func init() { plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"} } //nolint:gochecknoinits // gonum knows no other way
