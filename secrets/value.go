package secrets

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
)

// redacted stands for a value wherever one is printed.
const redacted = "[secret]"

// Value is a secret in memory. However it is printed, logged or marshalled, it
// shows as [secret]; only [Value.Reveal] gives it away. The zero value is empty.
type Value struct {
	// A closure, because reflection cannot look into one: fmt does not call the
	// methods of an unexported field, and test libraries print through pointers.
	get func() []byte
}

// NewValue copies b into a Value; the caller may clear b afterwards.
func NewValue(b []byte) Value {
	own := bytes.Clone(b)
	return Value{get: func() []byte { return own }}
}

// Reveal returns the secret. The string is a copy that [Value.Wipe] does not
// reach: keep it no longer than the call that needs it.
func (v Value) Reveal() string { return string(v.bytes()) }

// IsZero says whether the value is empty.
func (v Value) IsZero() bool { return len(v.bytes()) == 0 }

// Wipe overwrites the secret, in every copy of the Value.
func (v Value) Wipe() { clear(v.bytes()) }

func (v Value) bytes() []byte {
	if v.get == nil {
		return nil
	}
	return v.get()
}

// String returns "[secret]".
func (Value) String() string { return redacted }

// GoString returns "[secret]".
func (Value) GoString() string { return redacted }

// Format writes "[secret]" for every verb and flag.
func (Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalJSON returns the JSON string "[secret]".
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[secret]".
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "[secret]".
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }
