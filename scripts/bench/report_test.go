package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		walls []int64
		want  spread[int64]
		text  string
	}{
		"one":          {[]int64{1500}, spread[int64]{1500, 1500, 1500}, "1.50 s"},
		"odd":          {[]int64{3000, 1000, 2000}, spread[int64]{2000, 1000, 3000}, "2.00 s<br>1.00 s–3.00 s"},
		"even":         {[]int64{4000, 1000, 3000, 2000}, spread[int64]{2000, 1000, 4000}, "2.00 s<br>1.00 s–4.00 s"},
		"same in text": {[]int64{1001, 1000, 1002}, spread[int64]{1001, 1000, 1002}, "1.00 s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r report
			for _, w := range tt.walls {
				r.add("full", "First full", middleOrg, sample{WallMs: w})
			}
			require.Nil(t, r.find("again"))
			s := of(r.find("full"), wall)
			require.Equal(t, tt.want, s)
			require.Equal(t, tt.text, show(s, seconds))
		})
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	good := sample{WallMs: 2400, Calls: 580, MaxInFlight: 10, PeakRSS: 90 << 20, Events: 900}
	for name, tt := range map[string]struct {
		result string
		sample sample
		missed []string
	}{
		"all met":          {"full", good, nil},
		"slow":             {"full", sample{WallMs: 2501, Calls: 580}, []string{"t: wall time"}},
		"large and greedy": {"again", sample{Calls: 586, PeakRSS: 101 << 20, MaxInFlight: 11}, []string{"t: calls", "t: worker's memory", "t: calls in flight"}},
		"delta":            {"delta", sample{Calls: 4, WallMs: 501}, []string{"t: calls", "t: wall time"}},
		"refused":          {"rate", sample{Status429: 1, Budget: 540, BudgetCalls: 532}, []string{"t: 429s"}},
		"too careful":      {"wait", sample{Budget: 270, BudgetCalls: 200}, []string{"t: use of the budget above the reserve"}},
		"into the reserve": {"wait", sample{Budget: 270, BudgetCalls: 271}, []string{"t: use of the budget above the reserve"}},
		"killed":           {"kill", sample{Calls: 595}, nil},
		"killed, again":    {"kill", sample{Calls: 596}, []string{"t: calls"}},
		"large": {"large-full", sample{Calls: 7020, WallMs: 29_000, PeakRSS: 131 << 20, Events: 60_000}, []string{
			"Ten times the org, first full: worker's memory", "Ten times the org, first full: events of one execution",
			"Ten times the org, first full: calls", "Ten times the org, first full: wall time",
		}},
		"large, as it should be": {"large-full", sample{Calls: 6000, WallMs: 28_000, PeakRSS: 129 << 20, Events: 12_000}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r report
			r.add("full", "First full", middleOrg, good)
			if tt.result == "full" {
				r.Results = nil
			}
			r.add(tt.result, "t", middleOrg, tt.sample)
			var missed []string
			for _, target := range r.targets() {
				if !target.Met {
					missed = append(missed, target.What)
				}
			}
			require.Equal(t, tt.missed, missed)
		})
	}
}

func TestRatios(t *testing.T) {
	t.Parallel()
	require.Zero(t, sample{WallMs: 5}.ratio(), "not measured")
	require.Zero(t, sample{BudgetCalls: 5}.budget(), "not limited")
	require.InDelta(t, 2.5, sample{WallMs: 3000, BareMs: 1200}.ratio(), 1e-9)
	require.InDelta(t, 0.9, sample{BudgetCalls: 486, Budget: 540}.budget(), 1e-9)
}
