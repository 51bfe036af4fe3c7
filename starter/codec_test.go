package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/identitymesh/okta-connector/internal/codec"
)

func TestCodecKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	path := filepath.Join(b.dir, "codec.key")
	keys := func() (all []codec.Key) {
		require.NoError(t, json.Unmarshal([]byte(b.ok("codec", "key", "list", "--file", path, "-o", "json")), &all))
		return all
	}
	require.Regexp(t, `^key \d+ added to .*codec\.key\n$`, b.ok("codec", "key", "add", "--file", path))
	require.Contains(t, b.err.String(), "IDENTITYMESH_CODEC_KEY_FILE="+path)
	first := keys()[0].ID
	b.ok("codec", "key", "add", "--file", path)
	require.Contains(t, b.err.String(), "only decrypts as yet")
	second := keys()[1].ID
	require.Equal(t, []codec.Key{{ID: first, Active: true}, {ID: second}}, keys())
	b.fails(exitError, "active", "codec", "key", "remove", first, "--file", path)
	require.Equal(t, "key "+second+" active\n", b.ok("codec", "key", "use", second, "--file", path))
	require.Regexp(t, second+` +active`, b.ok("codec", "key", "list", "--file", path))
	require.Equal(t, "key "+first+" removed\n", b.ok("codec", "key", "remove", first, "--file", path))
	b.fails(exitError, "has no key", "codec", "key", "use", first, "--file", path)
	b.fails(exitUsage, "--file", "codec", "key", "list")
	b.fails(exitError, "cannot be opened", "codec", "key", "list", "--file", path+"x")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var set struct {
		Key []struct{ KeyData struct{ Value string } }
	}
	require.NoError(t, json.Unmarshal(text, &set))
	require.NotContains(t, b.out.String()+b.err.String(), set.Key[0].KeyData.Value)
}

// withCodec gives the bench a codec with a new key.
func withCodec(b *bench) (file *codec.KeyFile) {
	b.t.Helper()
	path := filepath.Join(b.dir, "codec.key")
	file = codec.OpenKeyFile(path)
	_, err := file.Add()
	require.NoError(b.t, err)
	b.payloads, err = codec.New(path, "")
	require.NoError(b.t, err)
	return file
}

// TestScheduleIsEncrypted applies a schedule without a codec, with one, and with the
// next key.
func TestScheduleIsEncrypted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	apply := func() string { return b.ok("schedule", "apply", "contoso", "--every", "15m") }
	require.Contains(t, apply(), "created")
	file := withCodec(b)
	require.Contains(t, apply(), "payloads: plain → encrypted with key "+b.payloads.KeyID())
	require.Contains(t, apply(), "unchanged")
	require.Contains(t, b.ok("schedule", "show", "contoso"), "every 15m", "it is read again")
	old := b.payloads.KeyID()
	next, err := file.Add()
	require.NoError(t, err)
	require.NoError(t, file.Use(next))
	require.Contains(t, apply(), "payloads: encrypted with key "+old+" → encrypted with key "+next)

	b.payloads = nil
	b.fails(exitError, "encrypted with key "+next, "run", "contoso", "--mode", "auto")
}

func TestCodecServerFlags(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fails(exitError, "codec key add", "codec", "serve")
	withCodec(b)
	token := filepath.Join(b.dir, "token")
	require.NoError(t, os.WriteFile(token, []byte("short\n"), 0o600))
	for want, args := range map[string][]string{
		"HOST:PORT":       {"--addr", "8234"},
		"not loopback":    {"--addr", "0.0.0.0:0"},
		"is not loopback": {"--addr", ":0", "--token-file", token},
		"both or neither": {"--tls-cert", "x"},
		"SCHEME://HOST":   {"--origin", "https://cloud.temporal.io/"},
		"--origin":        {"--origin", "*"},
	} {
		b.fails(exitUsage, want, append([]string{"codec", "serve"}, args...)...)
	}
	b.fails(exitError, "fewer than 16", "codec", "serve", "--token-file", token)
}

// TestCodecServer decrypts what the Web UI would ask for, over HTTP.
func TestCodecServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	withCodec(b)
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	c := b.cli()
	c.stderr = in
	done := make(chan int, 1)
	go func() { done <- c.run(ctx, []string{"codec", "serve", "--addr", "127.0.0.1:0"}) }()
	buf := make([]byte, 1000)
	n, err := out.Read(buf)
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(string(buf[:n]))

	sealed, err := b.payloads.DataConverter().ToPayload("contoso")
	require.NoError(t, err)
	text, err := protojson.Marshal(sealed)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/decode", strings.NewReader(`{"payloads":[`+string(text)+`]}`))
	require.NoError(t, err)
	req.Header.Set("Origin", "http://127.0.0.1:8233")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.True(t, bytes.Contains(body, []byte("ImNvbnRvc28i")), "%s", body) // "contoso" in base64
	cancel()
	require.Zero(t, <-done)
}
