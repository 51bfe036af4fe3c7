package secrets

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what the caller should do about an [Error].
type Kind int

// The kinds. Only Unavailable passes without somebody's help.
const (
	Missing       Kind = iota + 1 // the backend holds no such secret: store it
	Denied                        // the backend refuses this process: correct its credentials or its rights
	Unusable                      // the secret is there and cannot be used: deleted, disabled, damaged, no text
	Misconfigured                 // the backend cannot be asked under its configuration, or cannot name the reference
	Unavailable                   // sealed, slow, overloaded, not reached: try again later
)

// Error says which secret could not be had, where it should be, why, and what to
// check. It never holds a value.
type Error struct {
	Ref    Ref
	Place  Place
	Kind   Kind
	Cause  string // such as "cannot be read: permission denied"; not used when Missing
	Remedy string
	// RetryAfter is how long the backend asked to wait; 0: it did not say.
	RetryAfter time.Duration
	Err        error // what the backend or the system said, nil when Cause says it all
}

func (e *Error) Error() string {
	text := fmt.Sprintf("secret %s in %s %s", e.Ref, e.Place, e.Cause)
	if e.Kind == Missing {
		text = fmt.Sprintf("secret %s is not in %s", e.Ref, e.Place)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

// Unwrap returns what the backend said.
func (e *Error) Unwrap() error { return e.Err }

// IsMissing says whether err means that there is no such secret.
func IsMissing(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == Missing
}

// RetryLater says whether err may pass by itself, and how long the backend asked to
// wait, 0 when it did not say. Every other error needs somebody's help.
func RetryLater(err error) (after time.Duration, ok bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Unavailable {
		return 0, false
	}
	return e.RetryAfter, true
}

// SealError says that a row of the table does not open: it was sealed with another
// key, moved from another reference, or damaged.
type SealError struct {
	Ref     Ref
	Backend string
	Key     string // the key that was tried, such as "key file /var/lib/…/secrets.key"
	// KeyMissing says that there is no key at all.
	KeyMissing bool
}

func (e *SealError) Error() string {
	if e.KeyMissing {
		return fmt.Sprintf("secret %s in %s cannot be opened: its %s does not exist; "+
			"restore it, or store the secret again with: starter secret set %s", e.Ref, e.Backend, e.Key, e.Ref)
	}
	return fmt.Sprintf("secret %s in %s cannot be opened with the %s: it was sealed with another key "+
		"or the row was changed; restore the right key, or store the secret again with: starter secret set %s",
		e.Ref, e.Backend, e.Key, e.Ref)
}

// KeyError says that the key of the table cannot be used.
type KeyError struct {
	Key     string // such as "key file /var/lib/…/secrets.key"
	Message string // the cause and the remedy
	Err     error  // what the system said, nil when it said nothing
}

func (e *KeyError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s %s: %v", e.Key, e.Message, e.Err)
	}
	return e.Key + " " + e.Message
}

// Unwrap returns what the system said.
func (e *KeyError) Unwrap() error { return e.Err }

// ValueError says why a value cannot be stored. It does not hold the value.
type ValueError struct {
	Ref     Ref
	Message string
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("the value of secret %s %s", e.Ref, e.Message)
}
