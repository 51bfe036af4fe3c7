package activities

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // slots are the same on a machine without zone files
)

// Cadence is how often a schedule imports a connector and when its reconcile is due.
// It travels in the schedule's input. The zero value has neither.
type Cadence struct {
	// Every is the time between two imports, such as "15m".
	Every string `json:"every,omitempty"`
	// Reconcile is the weekly slot of the full walk, such as "Sun 02:00"; "" means none.
	Reconcile string `json:"reconcile,omitempty"`
	// Timezone is the IANA zone of Reconcile; "" means UTC.
	Timezone string `json:"timezone,omitempty"`
}

// MinEvery is the shortest time between two scheduled imports.
const MinEvery = time.Second

// Interval returns Every, zero when it is not set.
func (c Cadence) Interval() (time.Duration, error) {
	if c.Every == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(c.Every)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration such as 15m or 1h", c.Every)
	}
	if d < MinEvery {
		return 0, fmt.Errorf("%q is too short: at least %s", c.Every, MinEvery)
	}
	return d, nil
}

var slotForm = regexp.MustCompile(`^(?i)(Sun|Mon|Tue|Wed|Thu|Fri|Sat)[a-z]* ([01]?\d|2[0-3]):([0-5]\d)$`)

// Slot is a weekly point of time.
type Slot struct {
	Day          time.Weekday
	Hour, Minute int
	Zone         *time.Location
}

// Slot returns the weekly slot, nil when there is none.
func (c Cadence) Slot() (*Slot, error) {
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil || strings.EqualFold(c.Timezone, "local") {
		return nil, fmt.Errorf("%q is no time zone such as Europe/Berlin", c.Timezone)
	}
	if c.Reconcile == "" {
		return nil, nil
	}
	m := slotForm.FindStringSubmatch(c.Reconcile)
	if m == nil {
		return nil, fmt.Errorf("%q is no weekly slot such as \"Sun 02:00\"", c.Reconcile)
	}
	s := &Slot{Zone: zone}
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(d.String()[:3], m[1]) {
			s.Day = d
		}
	}
	s.Hour, _ = strconv.Atoi(m[2])   // the pattern
	s.Minute, _ = strconv.Atoi(m[3]) // made sure
	return s, nil
}

// Last returns the newest occurrence of the slot that is not after now.
func (s Slot) Last(now time.Time) time.Time {
	now = now.In(s.Zone)
	back := (int(now.Weekday()) - int(s.Day) + 7) % 7
	t := time.Date(now.Year(), now.Month(), now.Day()-back, s.Hour, s.Minute, 0, 0, s.Zone)
	if t.After(now) {
		t = time.Date(now.Year(), now.Month(), now.Day()-back-7, s.Hour, s.Minute, 0, 0, s.Zone)
	}
	return t
}
