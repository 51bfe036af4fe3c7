package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
)

// part is one line of the plan: what --only names.
type part struct {
	name    string
	long    bool // --quick leaves it out
	measure func(context.Context, *bench) error
}

// plan is what is measured, in this order.
var plan = []part{
	{"import", false, func(ctx context.Context, b *bench) error {
		return b.times(ctx, b.repeat, "", middleOrg, nil, (*lab).threeImports)
	}},
	{"rate", false, func(ctx context.Context, b *bench) error { return b.limited(ctx, b.repeat, "rate", 600) }},
	{"wait", true, func(ctx context.Context, b *bench) error { return b.limited(ctx, 1, "wait", 300) }},
	{"kill", false, func(ctx context.Context, b *bench) error {
		return b.times(ctx, b.repeat, "", middleOrg, nil, (*lab).killed)
	}},
	{"small", false, func(ctx context.Context, b *bench) error {
		return b.times(ctx, b.repeat, "small-", smallOrg, nil, (*lab).threeImports)
	}},
	{"large", true, func(ctx context.Context, b *bench) error {
		return b.times(ctx, 1, "large-", largeOrg, nil, (*lab).threeImports)
	}},
	{"profile", false, func(ctx context.Context, b *bench) error {
		return b.times(ctx, 1, "", middleOrg, nil, (*lab).profiled)
	}},
}

func names() []string {
	all := make([]string, len(plan))
	for i, p := range plan {
		all[i] = p.name
	}
	return all
}

// bench is one execution of the command.
type bench struct {
	options

	bin, dir string
	progress io.Writer
	labs     int
	report   report
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

// times measures something several times, each with fresh state. The names of its
// results begin with prefix; sim are more flags of the simulator.
func (b *bench) times(ctx context.Context, n int, prefix string, org orgSize, sim []string, measure func(*lab, context.Context) error) error {
	for i := range n {
		b.labs++
		l := &lab{bench: b, prefix: prefix, size: org, dir: filepath.Join(b.dir, fmt.Sprint(b.labs))}
		b.say("%d users, %d groups, %d memberships %v: %d of %d", org.Users, org.Groups, org.Memberships, sim, i+1, n)
		err := l.open(ctx, sim)
		if err == nil {
			err = measure(l, ctx)
		}
		if closed := l.close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// limited measures the full import under a limit of calls a minute.
func (b *bench) limited(ctx context.Context, n int, name string, rate int) error {
	return b.times(ctx, n, "", middleOrg, []string{"--rate", fmt.Sprint(rate)}, func(l *lab, ctx context.Context) error {
		s, err := l.imported(ctx, imports{mode: "full", rate: rate})
		if err != nil {
			return err
		}
		l.add(name, fmt.Sprintf("Full at %d calls a minute", rate), s)
		return nil
	})
}

// threeImports measures the first full, and then a full and a delta that find nothing.
func (l *lab) threeImports(ctx context.Context) error {
	bare, err := l.bareFetch(ctx)
	if err != nil {
		return err
	}
	for _, m := range []struct {
		name, title, mode string
		bare              int64
	}{
		{"full", "First full", "full", bare},
		{"again", "Full, nothing changed", "full", bare},
		{"delta", "Delta, nothing changed", "delta", 0},
	} {
		s, err := l.imported(ctx, imports{mode: m.mode})
		if err != nil {
			return err
		}
		s.BareMs = m.bare
		l.add(m.name, m.title, s)
	}
	return nil
}

// killed measures a first full whose worker is killed half-way.
func (l *lab) killed(ctx context.Context) error {
	s, err := l.imported(ctx, imports{mode: "full", kill: true})
	if err != nil {
		return err
	}
	l.add("kill", "Full, worker killed half-way", s)
	return nil
}

// profiled takes CPU profiles and timers of a first full and one that finds nothing.
func (l *lab) profiled(ctx context.Context) error {
	for _, title := range []string{"First full", "Full, nothing changed"} {
		var sh shares
		if _, err := l.imported(ctx, imports{mode: "full", shares: &sh}); err != nil {
			return err
		}
		sh.Title = title
		l.report.Shares = append(l.report.Shares, sh)
	}
	return nil
}

// add reports a sample.
func (l *lab) add(name, title string, s sample) {
	l.report.add(l.prefix+name, title, l.size, s)
	l.say("  %-28s %6d ms  %5d calls  %3d MB", title, s.WallMs, s.Calls, s.PeakRSS>>20)
}
