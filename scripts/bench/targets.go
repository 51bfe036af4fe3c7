package main

import (
	"fmt"
)

// target is what a figure should be, and what it is.
type target struct {
	What  string `json:"what"`
	Limit string `json:"limit"`
	Found string `json:"found"`
	Met   bool   `json:"met"`
}

// The targets, on a machine with two cores.
const (
	maxCalls      = 585
	maxWallMs     = 2500
	maxDeltaCalls = 3
	maxDeltaMs    = 500
	maxRSS        = 100 << 20
	maxLargeRSS   = 130 << 20
	maxGrowth     = 12 // times the calls and the time for ten times the org
	minBudget     = 0.95
	// maxEvents is where Temporal ends a workflow; it suggests to continue as new long
	// before.
	maxEvents = 51_200
)

// The figures of a sample.
func wall(s sample) int64         { return s.WallMs }
func calls(s sample) int          { return s.Calls }
func rss(s sample) int64          { return s.PeakRSS }
func limited(s sample) int        { return s.Status429 }
func open(s sample) int           { return s.MaxInFlight }
func longest(s sample) int64      { return s.Events }
func budgetUsed(s sample) float64 { return s.budget() }

// atMost judges the median of times and the worst of everything else.
func atMost[T int | int64](what string, found, limit T, format func(T) string) target {
	return target{what, "≤ " + format(limit), format(found), found <= limit}
}

func plain[T int | int64](n T) string { return thousands(int64(n)) }
func seconds(ms int64) string         { return fmt.Sprintf("%.2f s", float64(ms)/1000) }
func megabytes(n int64) string        { return fmt.Sprintf("%.0f MB", float64(n)/(1<<20)) }
func percent(f float64) string        { return fmt.Sprintf("%.1f %%", 100*f) }

// targets judges what has been measured.
func (r *report) targets() []target {
	var all []target
	full := r.find("full")
	for _, name := range []string{"full", "again"} {
		if s := r.find(name); s != nil {
			all = append(all,
				atMost(s.Title+": calls", of(s, calls).most, maxCalls, plain),
				atMost(s.Title+": wall time", of(s, wall).median, maxWallMs, seconds),
				atMost(s.Title+": worker's memory", of(s, rss).most, maxRSS, megabytes),
				atMost(s.Title+": calls in flight", of(s, open).most, inFlight, plain))
		}
	}
	if s := r.find("delta"); s != nil {
		all = append(all,
			atMost(s.Title+": calls", of(s, calls).most, maxDeltaCalls, plain),
			atMost(s.Title+": wall time", of(s, wall).median, maxDeltaMs, seconds))
	}
	for _, name := range []string{"rate", "wait"} {
		if s := r.find(name); s != nil {
			used := of(s, budgetUsed)
			all = append(all,
				atMost(s.Title+": 429s", of(s, limited).most, 0, plain),
				target{
					s.Title + ": use of the budget above the reserve", percent(minBudget) + " to 100 %", show(used, percent),
					used.least >= minBudget && used.most <= 1, // more would be the reserve
				})
		}
	}
	if s := r.find("kill"); s != nil {
		all = append(all, atMost(s.Title+": calls", of(s, calls).most, maxCalls+inFlight, plain))
	}
	if s := r.find("large-full"); s != nil {
		all = append(all, r.growthTargets(s, full)...)
	}
	return all
}

// growthTargets judges ten times the org beside the org itself, when that has been
// measured.
func (r *report) growthTargets(large, full *result) []target {
	const ten = "Ten times the org, first full: "
	all := []target{
		atMost(ten+"worker's memory", of(large, rss).most, maxLargeRSS, megabytes),
		atMost(ten+"events of one execution", of(large, longest).most, maxEvents, plain),
	}
	if full == nil {
		return all
	}
	return append(all,
		atMost(ten+"calls", of(large, calls).most, maxGrowth*of(full, calls).median, plain),
		atMost(ten+"wall time", of(large, wall).median, maxGrowth*of(full, wall).median, seconds))
}
