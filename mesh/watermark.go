package mesh

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// WatermarkLayout is ISO 8601 in UTC with milliseconds (runbook, "Watermark behaviour").
const WatermarkLayout = "2006-01-02T15:04:05.000Z"

// Watermark is the runbook's wrapper {"u": …, "g": …}: one high-water stamp per
// object type. A nil mark means that type has none, so its next run is a Full.
type Watermark struct {
	Users  *Mark `json:"u,omitempty"`
	Groups *Mark `json:"g,omitempty"`
}

// Mark is a point on Okta's clock.
type Mark struct{ time.Time }

// NewMark returns the mark of t, nil for the zero time.
func NewMark(t time.Time) *Mark {
	if t.IsZero() {
		return nil
	}
	return &Mark{t.UTC().Truncate(time.Millisecond)}
}

// MarshalJSON writes the mark as the runbook does.
func (m Mark) MarshalJSON() ([]byte, error) {
	return json.Marshal(m.UTC().Format(WatermarkLayout))
}

// UnmarshalJSON reads any RFC 3339 stamp.
func (m *Mark) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a watermark stamp is a string such as %q, not %s", WatermarkLayout, b)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("%q is no ISO 8601 stamp such as %q", s, WatermarkLayout)
	}
	if t = t.UTC(); t.Year() < 0 || t.Year() > 9999 {
		return fmt.Errorf("%q is out of range in UTC", s) // it could not be written back
	}
	m.Time = t
	return nil
}

// String returns the wrapper as it is stored; "" when both marks are missing.
func (w Watermark) String() string {
	if w.Users == nil && w.Groups == nil {
		return ""
	}
	b, err := json.Marshal(w)
	if err != nil {
		return "" // marks always marshal
	}
	return string(b)
}

// ParseWatermark reads the stored text. Text that is empty or null is the zero
// Watermark; malformed text is an error that quotes it and names the remedy.
func ParseWatermark(text string) (Watermark, error) {
	var w Watermark
	if t := bytes.TrimSpace([]byte(text)); len(t) == 0 {
		return w, nil
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	err := dec.Decode(&w)
	if err == nil {
		if _, extra := dec.Token(); extra != io.EOF {
			err = fmt.Errorf("text follows the JSON object")
		}
	}
	if err != nil {
		return Watermark{}, fmt.Errorf("malformed watermark %q: %w; correct it with `starter watermark set` or in im_watermarks, or start a Full run, which replaces it", text, err)
	}
	return w, nil
}
