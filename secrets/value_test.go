package secrets_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/identitymesh/okta-connector/secrets"
)

// holder has the value where methods are called and where fmt cannot call them.
type holder struct {
	Open   secrets.Value
	Ptr    *secrets.Value
	Any    any
	List   []secrets.Value
	hidden secrets.Value
}

func newHolder(v secrets.Value) holder {
	return holder{Open: v, Ptr: &v, Any: v, List: []secrets.Value{v}, hidden: v}
}

// forms are the shapes in which a formatter could show the canary.
func forms() []string {
	return []string{
		canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprintf("% x", canary),
		strings.Trim(fmt.Sprintf("%d", []byte(canary)), "[]"), strings.Trim(fmt.Sprintf("%#v", []byte(canary)[:4]), "}"),
		"MDBDYW5hcnk", // base64 of its beginning
	}
}

func requireNoCanary(t *testing.T, text, how string) {
	t.Helper()
	for _, form := range forms() {
		require.NotContains(t, text, form, how)
	}
}

func TestValueIsNeverPrinted(t *testing.T) {
	t.Parallel()
	v := secrets.NewValue([]byte(canary))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%c", "%U", "%b", "%o", "%08.3s", "%T", "%p", "%t"} {
		for _, arg := range []any{v, &v, newHolder(v), []any{v}, map[string]any{"k": v}, fmt.Errorf("wrapped: %v", v)} {
			requireNoCanary(t, fmt.Sprintf(verb, arg), verb)
		}
		if verb != "%T" && verb != "%p" {
			require.Equal(t, "[secret]", fmt.Sprintf(verb, v), verb)
		}
	}
	require.Equal(t, "[secret]", v.String())
	require.Equal(t, "[secret]", v.GoString())
	requireNoCanary(t, fmt.Sprint(v)+fmt.Sprintln(newHolder(v)), "Print")
}

func TestValueIsNeverMarshalled(t *testing.T) {
	t.Parallel()
	v := secrets.NewValue([]byte(canary))
	b, err := json.Marshal(map[string]any{"token": v, "holder": newHolder(v)})
	require.NoError(t, err)
	requireNoCanary(t, string(b), "json")
	require.Contains(t, string(b), `"token":"[secret]"`)
	b, err = json.Marshal(map[secrets.Ref]*secrets.Value{tokenRef: &v})
	require.NoError(t, err)
	require.JSONEq(t, `{"secret://okta/contoso/apitoken":"[secret]"}`, string(b))
	b, err = xml.Marshal(v)
	require.NoError(t, err)
	requireNoCanary(t, string(b), "xml")
	b, err = v.MarshalText()
	require.NoError(t, err)
	require.Equal(t, "[secret]", string(b))
}

func TestValueIsNeverLogged(t *testing.T) {
	t.Parallel()
	v := secrets.NewValue([]byte(canary))
	var b bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&b, nil), slog.NewTextHandler(&b, nil)} {
		slog.New(h).Info("x", "value", v, "ptr", &v, "holder", newHolder(v), slog.Group("g", "value", v))
	}
	core, logs := observer.New(zapcore.DebugLevel)
	zap.New(core).Info("x", zap.Any("value", v), zap.Stringer("s", v), zap.Reflect("holder", newHolder(v)))
	zap.New(core).Sugar().Infow("x", "value", v, "holder", newHolder(v))
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, entry := range logs.All() {
		line, err := encoder.EncodeEntry(entry.Entry, entry.Context)
		require.NoError(t, err)
		b.WriteString(line.String())
	}
	require.Contains(t, b.String(), "[secret]")
	requireNoCanary(t, b.String(), "logs")
}

// A failed comparison of a test library prints through pointers and past methods.
func TestValueIsNotInTestOutput(t *testing.T) {
	t.Parallel()
	var out recorder
	assert.Equal(&out, newHolder(secrets.NewValue([]byte(canary))), newHolder(secrets.NewValue([]byte("other"))))
	require.NotEmpty(t, out.text)
	requireNoCanary(t, out.text, "testify")
}

type recorder struct{ text string }

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }

func TestValueLifetime(t *testing.T) {
	t.Parallel()
	source := []byte(canary)
	v := secrets.NewValue(source)
	clear(source)
	require.Equal(t, canary, v.Reveal(), "a copy")
	require.False(t, v.IsZero())
	same := v
	v.Wipe()
	require.Equal(t, strings.Repeat("\x00", len(canary)), same.Reveal(), "wiped in every copy")

	var zero secrets.Value
	require.True(t, zero.IsZero())
	require.Empty(t, zero.Reveal())
	require.Equal(t, "[secret]", fmt.Sprint(zero))
	zero.Wipe()
}
