package secrets

import "fmt"

// MissingError says that the backend holds no such secret.
type MissingError struct {
	Ref     Ref
	Backend string // such as "im_secrets table"
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("secret %s is not in the %s; store it with: starter secret set %s", e.Ref, e.Backend, e.Ref)
}

// SealError says that a stored secret does not open: it was sealed with another
// key, moved from another reference, or damaged.
type SealError struct {
	Ref     Ref
	Backend string
	KeyFile string // the key that was tried
	// KeyMissing says that there is no key file at all.
	KeyMissing bool
}

func (e *SealError) Error() string {
	if e.KeyMissing {
		return fmt.Sprintf("secret %s in the %s cannot be opened: its key file %s does not exist; "+
			"restore the file, or store the secret again with: starter secret set %s", e.Ref, e.Backend, e.KeyFile, e.Ref)
	}
	return fmt.Sprintf("secret %s in the %s cannot be opened with the key file %s: it was sealed with another key "+
		"or the row was changed; restore the right key file, or store the secret again with: starter secret set %s",
		e.Ref, e.Backend, e.KeyFile, e.Ref)
}

// KeyFileError says that the key file cannot be used.
type KeyFileError struct {
	Path    string
	Message string // the cause and the remedy
	Err     error  // what the system said, nil when it said nothing
}

func (e *KeyFileError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("key file %s %s: %v", e.Path, e.Message, e.Err)
	}
	return fmt.Sprintf("key file %s %s", e.Path, e.Message)
}

// Unwrap returns what the system said.
func (e *KeyFileError) Unwrap() error { return e.Err }

// ValueError says why a value cannot be stored. It does not hold the value.
type ValueError struct {
	Ref     Ref
	Message string
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("the value of secret %s %s", e.Ref, e.Message)
}
