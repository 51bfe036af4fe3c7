// Package codec encrypts what the connector sends to Temporal: the payloads of
// workflows, activities, schedules, queries and updates, and the texts of failures.
//
// It is optional. No profile data and no secret travels through Temporal either way;
// connector names, Okta ids, counts, watermarks and error texts do, and whoever can
// read a history can read them. Without keys payloads stay as they are, and encrypted
// ones are refused with an error that says what is missing; with keys plain ones are
// still read, so that encryption can be turned on while runs and holds are open.
package codec

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/identitymesh/okta-connector/internal/private"
)

// The metadata of an encrypted payload, named as in Temporal's own samples.
const (
	// Encoding is the value of [converter.MetadataEncoding].
	Encoding = "binary/encrypted"
	// MetadataKeyID names the key, in decimal.
	MetadataKeyID = "encryption-key-id"
)

// associated binds a ciphertext to its use: a secret of im_secrets that was sealed under
// the same key would not open as a payload.
const associated = "identitymesh/temporal-payload/v1"

// The environment variables that name the keys.
const (
	// EnvKeyFile is the path of the key file.
	EnvKeyFile = "IDENTITYMESH_CODEC_KEY_FILE"
	// EnvKeys is the text of a key file.
	EnvKeys = "IDENTITYMESH_CODEC_KEYS"
)

// Codec is a [converter.PayloadCodec]. It is safe for concurrent use. Make one with
// [New] or [FromEnvironment]; nil is one without keys.
type Codec struct {
	file string // "" when the keys come from a text, or there are none

	mu    sync.Mutex
	keys  *keys // nil: none
	state os.FileInfo
}

var _ converter.PayloadCodec = (*Codec)(nil)

// FromEnvironment returns the codec that [EnvKeyFile] or [EnvKeys] describes: one
// without keys when neither is set. An error names the variable, never a key.
func FromEnvironment() (*Codec, error) {
	file, text := os.Getenv(EnvKeyFile), os.Getenv(EnvKeys)
	if file != "" && text != "" {
		return nil, fmt.Errorf("both %s and %s are set: keep one", EnvKeyFile, EnvKeys)
	}
	c, err := New(file, text)
	switch {
	case err == nil:
		return c, nil
	case file != "":
		return nil, fmt.Errorf("%s: %w; 'starter codec key add' makes a key file", EnvKeyFile, err)
	default:
		return nil, fmt.Errorf("%s: %w", EnvKeys, err)
	}
}

// New returns a codec with the keys of a file, or else of a text; with neither it has
// none. A file is read now, and again when it has changed.
func New(file, text string) (*Codec, error) {
	c := &Codec{file: file}
	if file != "" {
		err := c.reload()
		return c, err
	}
	if text == "" {
		return c, nil
	}
	var err error
	c.keys, err = parseKeys([]byte(text))
	return c, err
}

// KeyID is the id of the key that encrypts, "" when nothing is encrypted.
func (c *Codec) KeyID() string {
	k := c.current()
	if k == nil {
		return ""
	}
	return id(k.active)
}

// KeyOf is the id of the key that a payload is encrypted with, "" when it is plain.
func KeyOf(p *commonpb.Payload) string {
	if string(p.GetMetadata()[converter.MetadataEncoding]) != Encoding {
		return ""
	}
	return string(p.GetMetadata()[MetadataKeyID])
}

// Encode encrypts payloads with the active key. What is encrypted already stays as it is.
func (c *Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	k := c.current()
	if k == nil {
		return payloads, nil
	}
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if KeyOf(p) != "" {
			out[i] = p
			continue
		}
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encrypt a payload: %w", err)
		}
		sealed, err := k.aead.Encrypt(plain, []byte(associated))
		if err != nil {
			return nil, fmt.Errorf("encrypt a payload with key %s: %w", id(k.active), err)
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(Encoding), MetadataKeyID: []byte(id(k.active))},
			Data:     sealed,
		}
	}
	return out, nil
}

// Decode decrypts what is encrypted and leaves the rest as it is. A payload that does
// not open is a [*KeyError].
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	if !slices.ContainsFunc(payloads, func(p *commonpb.Payload) bool { return KeyOf(p) != "" }) {
		return payloads, nil
	}
	k := c.current()
	file := ""
	if c != nil {
		file = c.file
	}
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		name := KeyOf(p)
		if name == "" {
			out[i] = p
			continue
		}
		if !k.has(name) {
			return nil, &KeyError{KeyID: name, File: file, Has: k.ids(), Missing: true}
		}
		plain, err := k.aead.Decrypt(p.GetData(), []byte(associated))
		if err != nil { // says nothing more
			return nil, &KeyError{KeyID: name, File: file, Has: k.ids()}
		}
		out[i] = &commonpb.Payload{}
		if err := proto.Unmarshal(plain, out[i]); err != nil {
			return nil, &KeyError{KeyID: name, File: file, Has: k.ids()}
		}
	}
	return out, nil
}

// current returns the keys, those of the file as it is now. A file that has gone or does
// not parse any more leaves the keys as they were: whoever replaces it does so step by
// step.
func (c *Codec) current() *keys {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != "" {
		_ = c.reload()
	}
	return c.keys
}

// reload reads the file when it is another than last time.
func (c *Codec) reload() error {
	info, err := os.Stat(c.file)
	if err == nil && c.state != nil && os.SameFile(info, c.state) && info.ModTime().Equal(c.state.ModTime()) && info.Size() == c.state.Size() {
		return nil
	}
	text, err := private.Read(c.file)
	if err != nil {
		return err
	}
	defer clear(text)
	k, err := parseKeys(text)
	if err != nil {
		return fmt.Errorf("%s %w", c.file, err)
	}
	c.keys, c.state = k, info
	return nil
}

func id(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// KeyError says that a payload cannot be decrypted.
type KeyError struct {
	KeyID   string   // of the payload
	File    string   // the key file of this process, "" without one
	Has     []string // the keys of this process
	Missing bool     // the key is not one of them; otherwise the payload was changed
}

func (e *KeyError) Error() string {
	switch {
	case !e.Missing:
		return fmt.Sprintf("a payload of Temporal is not what key %s encrypted: it was changed, or the key is another of the same number", e.KeyID)
	case len(e.Has) == 0:
		return fmt.Sprintf("a payload of Temporal is encrypted with key %s, and this process has no key: set %s (or %s) as it is set where the payload was written",
			e.KeyID, EnvKeyFile, EnvKeys)
	default:
		where := e.File
		if where == "" {
			where = EnvKeys
		}
		return fmt.Sprintf("a payload of Temporal is encrypted with key %s, which %s does not hold (it has %v): bring the key file up to date",
			e.KeyID, where, e.Has)
	}
}

// IsKeyError says whether an error comes from a payload that cannot be decrypted.
func IsKeyError(err error) bool {
	_, ok := errors.AsType[*KeyError](err)
	return ok
}
