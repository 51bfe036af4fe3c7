package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// lineEvery is how often progress is a line where there is no terminal.
const lineEvery = 10 * time.Second

// view shows the progress of a run on standard error.
type view interface {
	show(p workflows.Progress)
	note(text string)
	// close leaves the last picture behind; done says that the run completed.
	close(done bool)
}

// newView returns the view that fits standard error.
func (c *cli) newView(o followOptions) view {
	switch width := c.tty.StderrWidth(); {
	case o.quiet:
		return &quietView{w: c.stderr}
	case width > 0:
		return newBarView(c.stderr, width, o.expected)
	default:
		return &lineView{w: c.stderr, printed: time.Now()}
	}
}

// quietView shows no progress; a note is not progress.
type quietView struct{ w io.Writer }

func (v *quietView) show(workflows.Progress) {}
func (v *quietView) note(text string)        { printLine(v.w, text) }
func (v *quietView) close(bool)              {}

// lineView writes a line now and then, for logs.
type lineView struct {
	w       io.Writer
	printed time.Time
	phase   workflows.Phase
}

func (v *lineView) show(p workflows.Progress) {
	began := p.Phase == workflows.Waiting && v.phase != workflows.Waiting
	v.phase = p.Phase
	if time.Since(v.printed) < lineEvery && !began {
		return
	}
	v.printed = time.Now()
	printLine(v.w, strings.Join(progressParts(p), ", "))
}

func (v *lineView) note(text string) { printLine(v.w, text) }
func (v *lineView) close(bool)       {}

// barView draws a bar, or a spinner while nothing says how much there is to do.
type barView struct {
	w        io.Writer
	width    int // of the terminal
	expected map[mesh.ObjectType]int
	bar      *progressbar.ProgressBar
	sized    bool   // the bar has a length
	text     string // in front of the bar
}

// The room on the line that the bar itself needs, apart from its description:
// percentage, frame, elapsed time.
const barFrame = 21

func newBarView(w io.Writer, width int, expected map[mesh.ObjectType]int) *barView {
	v := &barView{w: w, width: width, expected: expected}
	v.bar = progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(v.barWidth()),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSpinnerType(14),
		// The spinner turns when it is drawn, by us: no goroutine draws behind our back.
		progressbar.OptionSetSpinnerChangeInterval(0),
	)
	v.describe("Starting")
	return v
}

func (v *barView) barWidth() int { return min(max(v.width/8, 10), 30) }

// describe sets the text in front of the bar and draws both.
func (v *barView) describe(text string) {
	v.text = text
	v.bar.Describe(text)
}

func (v *barView) show(p workflows.Progress) {
	percent, known := fraction(p, v.expected)
	if known && !v.sized {
		v.sized = true
		v.bar.ChangeMax64(100)
	}
	if known {
		// A bar cannot fail but by running over, which fraction prevents.
		_ = v.bar.Set(percent)
	}
	v.describe(fit(progressParts(p), v.width-v.barWidth()-barFrame))
}

func (v *barView) note(text string) {
	_ = v.bar.Clear() // as above
	printLine(v.w, text)
	v.describe(v.text)
}

func (v *barView) close(done bool) {
	if done {
		if !v.sized {
			v.bar.ChangeMax64(100)
		}
		_ = v.bar.Finish() // as above
	}
	printLine(v.w, "")
}

// fit joins as many parts as a width takes.
func fit(parts []string, width int) string {
	text := parts[0]
	for _, p := range parts[1:] {
		if len([]rune(text))+2+len([]rune(p)) > width {
			break
		}
		text += "  " + p
	}
	return truncate(text, max(width, 10))
}

// fraction estimates how much of a run is done, in percent and below 100. The
// measure is what the mesh held before; on a first import it is the member lists
// known so far, and before those there is none.
func fraction(p workflows.Progress, expected map[mesh.ObjectType]int) (percent int, known bool) {
	var total, seen int
	for _, s := range []struct {
		typ     mesh.ObjectType
		enabled bool
		seen    int
	}{
		{mesh.User, p.Users.Enabled, p.Users.Seen},
		{mesh.Group, p.Groups.Enabled, p.Groups.Seen},
		{mesh.GroupMember, p.Members.Enabled, p.Members.Seen},
	} {
		if s.enabled {
			total += max(expected[s.typ], s.seen)
			seen += s.seen
		}
	}
	before := expected[mesh.User] + expected[mesh.Group] + expected[mesh.GroupMember]
	switch {
	case before == 0 && p.Members.Enabled:
		seen, total = p.Members.Read, p.Members.Groups
	case before == 0:
		return 0, false
	}
	if total == 0 {
		return 0, false
	}
	return min(seen*100/total, 99), true
}

// progressParts says in words how far a run is, the most telling first.
func progressParts(p workflows.Progress) []string {
	parts := []string{phaseText(p)}
	if p.WaitUntil != nil && p.Phase != workflows.Ended {
		parts = append(parts, "waits for the rate limit until "+p.WaitUntil.UTC().Format("15:04:05Z"))
	}
	if p.Users.Enabled {
		parts = append(parts, fmt.Sprintf("users %d%s", p.Users.Seen, mark(p.Users.Done)))
	}
	if p.Groups.Enabled {
		parts = append(parts, fmt.Sprintf("groups %d%s", p.Groups.Seen, mark(p.Groups.Done)))
	}
	if p.Members.Enabled {
		parts = append(parts, fmt.Sprintf("members %d%s", p.Members.Seen, mark(p.Members.Done)))
	}
	if n := total(p.Held); n > 0 {
		parts = append(parts, fmt.Sprintf("deletes held %d", n))
	}
	if b := budget(p.Rates); b != "" {
		parts = append(parts, b)
	}
	if p.Members.Enabled {
		parts = append(parts, fmt.Sprintf("member lists %d/%d", p.Members.Read, p.Members.Groups))
	}
	parts = append(parts, fmt.Sprintf("calls %d", p.APICalls))
	if p.Waits > 0 {
		parts = append(parts, fmt.Sprintf("rate-limit waits %d", p.Waits))
	}
	return parts
}

func phaseText(p workflows.Progress) string {
	switch p.Phase {
	case workflows.Beginning, "":
		return "Starting"
	case workflows.Waiting:
		return "Waiting for run " + p.HeldBy
	case workflows.Reading:
		return "Reading"
	case workflows.LookingUp:
		return fmt.Sprintf("Looking up %d/%d", p.LookedUp, p.Missing)
	case workflows.Settling:
		return "Settling"
	case workflows.Reconciling:
		return "Walking the whole org"
	case workflows.Ended:
		if p.Outcome != "" {
			return p.Outcome
		}
		return "Ended"
	default:
		return string(p.Phase)
	}
}

// total sums the counts of all types.
func total(counts map[mesh.ObjectType]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

func mark(done bool) string {
	if done {
		return "✓"
	}
	return ""
}

// budget is the rate-limit bucket with the smallest share left; "" when Okta has
// not said.
func budget(rates []activities.Rate) string {
	var tight activities.Rate
	share := 2.0
	for _, r := range rates {
		if !r.Known || r.Limit <= 0 {
			continue
		}
		if s := float64(r.Remaining) / float64(r.Limit); s < share {
			tight, share = r, s
		}
	}
	if share > 1.5 {
		return ""
	}
	return fmt.Sprintf("budget %d/%d", tight.Remaining, tight.Limit)
}
