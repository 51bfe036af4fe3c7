package main

import (
	"cmp"
	"slices"
	"time"
)

// report is what has been measured.
type report struct {
	Machine  machine   `json:"machine"`
	Command  string    `json:"command"`
	Database string    `json:"database"`
	Results  []*result `json:"results"`
	Shares   []shares  `json:"shares,omitempty"`
}

// result is one kind of import, measured once or several times.
type result struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Org     orgSize  `json:"org"`
	Samples []sample `json:"samples"`
}

// orgSize says which org is generated.
type orgSize struct {
	Users       int `json:"users"`
	Groups      int `json:"groups"`
	Memberships int `json:"memberships"`
}

// The orgs that are measured; the middle one is that of the targets.
var (
	smallOrg  = orgSize{1_000, 50, 8_996}
	middleOrg = orgSize{10_000, 500, 89_960}
	largeOrg  = orgSize{100_000, 5_000, 1_000_000}
)

// sample is one import, measured.
type sample struct {
	// WallMs is how long `starter run --wait` took, with its own start; RunMs is the run
	// row's duration.
	WallMs int64 `json:"wallMs"`
	RunMs  int64 `json:"runMs"`
	// BareMs is how long a bare fetch loop took for the same calls, 0 when not measured.
	BareMs int64 `json:"bareMs,omitempty"`

	Calls       int `json:"calls"`
	Status429   int `json:"status429"`
	MaxInFlight int `json:"maxInFlight"`
	// BudgetCalls were made in the first window of the groups' bucket, which has Budget
	// above its reserve; 0 when calls are not limited.
	BudgetCalls int `json:"budgetCalls,omitempty"`
	Budget      int `json:"budget,omitempty"`

	PeakRSS     int64 `json:"peakRss"` // of the worker, bytes
	WorkerMs    int64 `json:"workerCpuMs"`
	TemporalMs  int64 `json:"temporalCpuMs"`
	SimulatorMs int64 `json:"simulatorCpuMs"`

	Feed         int   `json:"feed"`         // rows written to the change feed
	Events       int64 `json:"events"`       // of the longest history of one execution
	Executions   int   `json:"executions"`   // of the reading workflow: 1, or more after a continue-as-new
	HistoryBytes int64 `json:"historyBytes"` // of all executions
	DBBytes      int64 `json:"dbBytes"`
}

// find returns the result of a name, nil when it was not measured.
func (r *report) find(name string) *result {
	i := slices.IndexFunc(r.Results, func(s *result) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return r.Results[i]
}

// add puts a sample to the result of a name, which it makes when missing.
func (r *report) add(name, title string, org orgSize, s sample) {
	found := r.find(name)
	if found == nil {
		found = &result{Name: name, Title: title, Org: org}
		r.Results = append(r.Results, found)
	}
	found.Samples = append(found.Samples, s)
}

// spread is the median of some measurements and their range.
type spread[T cmp.Ordered] struct{ median, least, most T }

// of takes one figure of each sample.
func of[T cmp.Ordered](r *result, figure func(sample) T) spread[T] {
	all := make([]T, len(r.Samples))
	for i, s := range r.Samples {
		all[i] = figure(s)
	}
	slices.Sort(all)
	return spread[T]{all[(len(all)-1)/2], all[0], all[len(all)-1]}
}

// ratio is how many times longer the import took than the bare loop; 0 when that was
// not measured.
func (s sample) ratio() float64 {
	if s.BareMs == 0 {
		return 0
	}
	return float64(s.WallMs) / float64(s.BareMs)
}

// budget is the share of the calls allowed in a minute that were made, 0 to 1.
func (s sample) budget() float64 {
	if s.Budget == 0 {
		return 0
	}
	return float64(s.BudgetCalls) / float64(s.Budget)
}

func milliseconds(d time.Duration) int64 { return d.Round(time.Millisecond).Milliseconds() }
