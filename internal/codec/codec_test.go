package codec_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/internal/codec"
)

// secret is in a payload and must not show in its encrypted form.
const secret = "contoso 2026-04-22T00:00:00.000Z"

// keyFile makes a key file with one key and returns it with the key's id.
func keyFile(t *testing.T) (path string, file *codec.KeyFile, id string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "state", "codec.key")
	file = codec.OpenKeyFile(path)
	id, err := file.Add()
	require.NoError(t, err)
	return path, file, id
}

func open(t *testing.T, path string) *codec.Codec {
	t.Helper()
	c, err := codec.New(path, "")
	require.NoError(t, err)
	return c
}

func payload(t *testing.T, c *codec.Codec) *commonpb.Payload {
	t.Helper()
	p, err := c.DataConverter().ToPayload(secret)
	require.NoError(t, err)
	return p
}

func read(t *testing.T, c *codec.Codec, p *commonpb.Payload) string {
	t.Helper()
	var got string
	require.NoError(t, c.DataConverter().FromPayload(p, &got))
	return got
}

func TestEncrypts(t *testing.T) {
	t.Parallel()
	path, _, id := keyFile(t)
	c := open(t, path)
	require.Equal(t, id, c.KeyID())
	p := payload(t, c)
	require.Equal(t, "binary/encrypted", string(p.GetMetadata()[converter.MetadataEncoding]))
	require.Equal(t, id, string(p.GetMetadata()["encryption-key-id"]))
	require.Equal(t, id, codec.KeyOf(p))
	require.NotContains(t, p.String(), "contoso")
	require.Equal(t, secret, read(t, c, p))
	require.NotEqual(t, p.GetData(), payload(t, c).GetData(), "a nonce of its own")

	again, err := c.Encode([]*commonpb.Payload{p})
	require.NoError(t, err)
	require.Same(t, p, again[0], "not twice")
}

// TestMixed has a codec read what was written before it was turned on, and one without
// keys write as if there were none.
func TestMixed(t *testing.T) {
	t.Parallel()
	path, _, _ := keyFile(t)
	plain, err := converter.GetDefaultDataConverter().ToPayload(secret)
	require.NoError(t, err)
	require.Equal(t, secret, read(t, open(t, path), plain))
	for name, none := range map[string]*codec.Codec{"nil": nil, "zero": {}, "without keys": open(t, "")} {
		require.Empty(t, none.KeyID(), name)
		require.Equal(t, plain.String(), payload(t, none).String(), name)
		require.Equal(t, secret, read(t, none, plain), name)
	}
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	path, file, first := keyFile(t)
	c := open(t, path) // one process through all of it
	old := payload(t, c)

	second, err := file.Add()
	require.NoError(t, err)
	require.Equal(t, first, c.KeyID(), "the new key only decrypts")
	require.NoError(t, file.Use(second))
	require.Equal(t, second, c.KeyID())
	require.Equal(t, secret, read(t, c, old))
	fresh := payload(t, c)
	require.Equal(t, second, codec.KeyOf(fresh))
	all, err := file.List()
	require.NoError(t, err)
	require.ElementsMatch(t, []codec.Key{{ID: first}, {ID: second, Active: true}}, all)

	require.ErrorContains(t, file.Remove(second), "active")
	require.NoError(t, file.Remove(first))
	var s string
	err = c.DataConverter().FromPayload(old, &s)
	var e *codec.KeyError
	require.ErrorAs(t, err, &e)
	require.Equal(t, &codec.KeyError{KeyID: first, File: path, Has: []string{second}, Missing: true}, e)
	require.ErrorContains(t, err, "key "+first)
	require.ErrorContains(t, err, path)
	for _, change := range []func(string) error{file.Use, file.Remove} {
		require.ErrorContains(t, change(first), "has no key "+first)
		require.EqualError(t, change("00Canary"), "a key's id is a number: 'starter codec key list' shows the keys")
	}
}

func TestWithoutTheKey(t *testing.T) {
	t.Parallel()
	path, _, id := keyFile(t)
	p := payload(t, open(t, path))
	var s string
	for name, none := range map[string]*codec.Codec{"nil": nil, "without keys": open(t, "")} {
		err := none.DataConverter().FromPayload(p, &s)
		require.True(t, codec.IsKeyError(err), name)
		require.ErrorContains(t, err, "encrypted with key "+id)
		require.ErrorContains(t, err, "IDENTITYMESH_CODEC_KEY_FILE")
	}
	other, _, _ := keyFile(t)
	require.ErrorContains(t, open(t, other).DataConverter().FromPayload(p, &s), other)
}

// TestChangedPayload flips each byte of a payload, and passes it off as of another key.
func TestChangedPayload(t *testing.T) {
	t.Parallel()
	path, file, _ := keyFile(t)
	second, err := file.Add()
	require.NoError(t, err)
	c := open(t, path)
	p := payload(t, c)
	var s string
	for i := range p.GetData() {
		p.Data[i] ^= 1
		err := c.DataConverter().FromPayload(p, &s)
		require.True(t, codec.IsKeyError(err), "byte %d", i)
		require.ErrorContains(t, err, "changed")
		p.Data[i] ^= 1
	}
	p.Metadata["encryption-key-id"] = []byte("7")
	require.ErrorContains(t, c.DataConverter().FromPayload(p, &s), "key 7")
	p.Metadata["encryption-key-id"] = []byte(second) // a label only: the ciphertext names its key
	require.NoError(t, c.DataConverter().FromPayload(p, &s))
}

// TestFileGoesAway keeps the keys that were read while the file is replaced.
func TestFileGoesAway(t *testing.T) {
	t.Parallel()
	path, _, id := keyFile(t)
	c := open(t, path)
	p := payload(t, c)
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	require.NoError(t, os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)))
	require.Equal(t, id, c.KeyID())
	require.NoError(t, os.Remove(path))
	require.Equal(t, id, c.KeyID())
	require.Equal(t, secret, read(t, c, p))
}

func TestBadKeyFile(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"no keys":       {"{}", 0o600, "holds no keys"},
		"canary":        {"00CanaryOfAKey", 0o600, "holds no keys"},
		"empty":         {"", 0o600, "holds no keys"},
		"readable":      {"{}", 0o604, "chmod 600"},
		"group writes":  {"{}", 0o620, "chmod 600"},
		"too large":     {strings.Repeat(" ", 1<<20+1), 0o600, "larger"},
		"another thing": {`{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.HmacKey","value":"EgQIAxAgGiDZsgJZ","keyMaterialType":"SYMMETRIC"},"status":"ENABLED","keyId":1,"outputPrefixType":"TINK"}]}`, 0o600, "holds no keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "codec.key")
			require.NoError(t, os.WriteFile(path, []byte(tc.text), 0o600))
			require.NoError(t, os.Chmod(path, tc.mode)) // whatever the umask
			_, err := codec.New(path, "")
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), "Canary")
			_, err = codec.OpenKeyFile(path).Add()
			require.ErrorContains(t, err, tc.want, "a damaged file is not replaced")
			kept, rerr := os.ReadFile(path)
			require.NoError(t, rerr)
			require.Equal(t, tc.text, string(kept))
		})
	}
	_, err := codec.New(filepath.Join(t.TempDir(), "none"), "")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = codec.New("", "00CanaryOfAKey")
	require.ErrorContains(t, err, "holds no keys")
}

func TestFromEnvironment(t *testing.T) { //nolint:paralleltest // sets environment variables
	path, _, id := keyFile(t)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, tc := range []struct{ file, text, id, want string }{
		{"", "", "", ""},
		{path, "", id, ""},
		{"", string(text), id, ""},
		{path, string(text), "", "both"},
		{path + "x", "", "", "codec key add"},
		{"", "00CanaryOfAKey", "", codec.EnvKeys},
	} {
		t.Setenv(codec.EnvKeyFile, tc.file)
		t.Setenv(codec.EnvKeys, tc.text)
		c, err := codec.FromEnvironment()
		if tc.want != "" {
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "Canary")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tc.id, c.KeyID())
	}
}

// TestOneKeyFileIsMade has many processes make the same new file.
func TestOneKeyFileIsMade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "codec.key")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = codec.OpenKeyFile(path).Add() })
	}
	wg.Wait()
	_, err := codec.OpenKeyFile(path).List()
	require.NoError(t, err)
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else {
			require.ErrorIs(t, err, os.ErrExist)
		}
	}
	require.Positive(t, made)
	left, err := filepath.Glob(path + ".new-*")
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestFailures encrypts the texts of failures, and reads plain ones.
func TestFailures(t *testing.T) {
	t.Parallel()
	path, _, _ := keyFile(t)
	var with, without client.Options
	open(t, path).Apply(&with)
	open(t, "").Apply(&without)
	cause := temporal.NewApplicationErrorWithCause("user 00u1 of contoso", "BadData", errors.New("at page 7"), "details of contoso")

	f := with.FailureConverter.ErrorToFailure(cause)
	text, err := json.Marshal(f)
	require.NoError(t, err)
	for _, part := range []string{"contoso", "00u1", "page 7"} {
		require.NotContains(t, string(text)+f.String(), part)
	}
	require.Equal(t, "BadData", f.GetApplicationFailureInfo().GetType(), "retry policies need it")
	require.ErrorContains(t, with.FailureConverter.FailureToError(f), "user 00u1 of contoso")

	plain := without.FailureConverter.ErrorToFailure(cause)
	require.Contains(t, plain.String(), "user 00u1 of contoso")
	require.ErrorContains(t, with.FailureConverter.FailureToError(plain), "user 00u1 of contoso")
}

// TestBlocksWorkflows has a workflow's converter panic where another returns an error.
func TestBlocksWorkflows(t *testing.T) {
	t.Parallel()
	path, _, _ := keyFile(t)
	p := payload(t, open(t, path))
	aware, ok := open(t, "").DataConverter().(workflow.ContextAware)
	require.True(t, ok)
	inside := aware.WithWorkflowContext(nil)
	var s string
	var n int
	require.Panics(t, func() { _ = inside.FromPayload(p, &s) })
	require.Panics(t, func() { _ = inside.FromPayloads(&commonpb.Payloads{Payloads: []*commonpb.Payload{p}}, &s) })
	require.Error(t, inside.FromPayload(payload(t, open(t, "")), &n), "another error is returned")
	require.Error(t, aware.WithContext(t.Context()).FromPayload(p, &s))
}
