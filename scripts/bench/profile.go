package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// shares says where the time of one import went.
type shares struct {
	Title       string   `json:"title"`
	Families    []family `json:"families"` // of the worker's CPU time
	TemporalMs  int64    `json:"temporalCpuMs"`
	SimulatorMs int64    `json:"simulatorCpuMs"`
	Timers      []timer  `json:"timers,omitempty"`
}

// family is the CPU time of some packages.
type family struct {
	Name string `json:"name"`
	Ms   int64  `json:"ms"`
}

// The families, in the order of the table.
const (
	famOkta    = "Okta: client, net/http, JSON decode"
	famMapping = "mapping"
	famStore   = "store: mesh, database"
	famSDK     = "Temporal: SDK, gRPC, workflows"
	famOwn     = "activities"
	famGC      = "garbage collection"
	famRest    = "the rest: Go scheduler, metrics"
)

var families = []string{famOkta, famMapping, famStore, famSDK, famOwn, famGC, famRest}

const module = "github.com/identitymesh/okta-connector/"

// owners are the packages whose frames own what they call: the innermost one on the
// stack gets the sample. Libraries that several use are not here.
var owners = []struct{ prefix, family string }{
	{module + "okta", famOkta},
	{"net/http", famOkta}, // the connections have goroutines of their own; gRPC has its own HTTP
	{module + "mapping", famMapping},
	{module + "mesh", famStore},
	{"modernc.org/", famStore},
	{"database/sql", famStore},
	{"github.com/jackc/pgx/", famStore},
	{"go.temporal.io/", famSDK},
	{"google.golang.org/", famSDK},
	{module + "workflows", famSDK},
	{module + "activities", famOwn},
}

// gcFrames are of the collector's own goroutines. What an allocation has to help the
// collector is its caller's.
var gcFrames = []string{"runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart"}

// familyOf says to whom a stack belongs, its innermost frame first.
func familyOf(stack []string) string {
	for _, frame := range stack {
		for _, o := range owners {
			if strings.HasPrefix(frame, o.prefix) {
				return o.family
			}
		}
	}
	for _, frame := range stack {
		switch {
		case slices.ContainsFunc(gcFrames, func(gc string) bool { return strings.HasPrefix(frame, gc) }):
			return famGC
		case strings.HasPrefix(frame, "encoding/json"):
			return famOkta
		}
	}
	return famRest
}

// readProfile adds up the samples of a CPU profile.
func readProfile(path string) ([]family, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the worker's CPU profile: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	p, err := profile.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("read the worker's CPU profile: %w", err)
	}
	return attribute(p)
}

func attribute(p *profile.Profile) ([]family, error) {
	cpu := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" && t.Unit == "nanoseconds" })
	if cpu < 0 {
		return nil, fmt.Errorf("the profile counts no CPU time: %v", p.SampleType)
	}
	sums := map[string]int64{}
	for _, s := range p.Sample {
		sums[familyOf(frames(s))] += s.Value[cpu]
	}
	out := make([]family, len(families))
	for i, name := range families {
		out[i] = family{name, milliseconds(time.Duration(sums[name]))}
	}
	return out, nil
}

// frames are the functions of a sample's stack, the innermost first.
func frames(s *profile.Sample) []string {
	var names []string
	for _, location := range s.Location {
		for _, line := range location.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}
