package secrets

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
)

// KeyText is a [KeyStore] that this program cannot change: the keyset itself, as an
// environment variable holds it. The text is Tink's JSON, or its base64.
type KeyText struct {
	name string
	text Value
}

var _ KeyStore = (*KeyText)(nil)

// NewKeyText returns the keyset text of the variable name. An empty text is a missing key.
func NewKeyText(name, text string) *KeyText {
	return &KeyText{name: name, text: NewValue([]byte(text))}
}

func (k *KeyText) String() string { return "key in the variable " + k.name }

// Read implements [KeyStore].
func (k *KeyText) Read() ([]byte, error) {
	text := bytes.TrimSpace(k.text.bytes())
	if len(text) == 0 {
		return nil, &KeyError{Key: k.String(), Message: "is missing", Err: fs.ErrNotExist}
	}
	if text[0] == '{' {
		return bytes.Clone(text), nil
	}
	plain := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(plain, text)
	if err != nil { // not wrapped: it may quote the text
		return nil, &KeyError{Key: k.String(), Message: "is damaged: it is neither the JSON of a Tink keyset nor its base64"}
	}
	return plain[:n], nil
}

// Create implements [KeyStore].
func (k *KeyText) Create([]byte) error { return k.fixed() }

// Replace implements [KeyStore].
func (k *KeyText) Replace([]byte) error { return k.fixed() }

func (k *KeyText) fixed() error {
	return &KeyError{
		Key:     k.String(),
		Message: "cannot be changed by this program: make the new one with `starter secret rekey --key-out FILE` and set the variable yourself",
		Err:     fmt.Errorf("changing an environment variable: %w", errors.ErrUnsupported),
	}
}

// Lock implements [KeyStore]; nothing can change it.
func (*KeyText) Lock(context.Context) (unlock func(), err error) { return func() {}, nil }
