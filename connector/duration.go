package connector

import (
	"strings"
	"time"
)

// Duration is a time.Duration that is written as Go duration text, such as "5m" or
// "72h", in a definition. The zero value is "0s".
type Duration struct{ time.Duration }

// String returns the canonical text: Go's without zero parts at its end, "5m" and
// not "5m0s".
func (d Duration) String() string {
	text := d.Duration.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText returns String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	d.Duration = v
	return nil
}
