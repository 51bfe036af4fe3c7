package mesh_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

func TestParseWatermark(t *testing.T) {
	t.Parallel()
	stamp := func(s string) *mesh.Mark {
		at, err := time.Parse(time.RFC3339Nano, s)
		require.NoError(t, err)
		return &mesh.Mark{Time: at.UTC()}
	}
	for name, c := range map[string]struct {
		text string
		want mesh.Watermark
		out  string
	}{
		"runbook's": {
			`{ "u": "2026-04-22T08:15:30.000Z", "g": "2026-04-21T17:00:00.000Z" }`,
			mesh.Watermark{Users: stamp("2026-04-22T08:15:30Z"), Groups: stamp("2026-04-21T17:00:00Z")},
			`{"u":"2026-04-22T08:15:30.000Z","g":"2026-04-21T17:00:00.000Z"}`,
		},
		"one key":         {`{"g":"2026-04-21T17:00:00Z"}`, mesh.Watermark{Groups: stamp("2026-04-21T17:00:00Z")}, `{"g":"2026-04-21T17:00:00.000Z"}`},
		"hand-set null":   {`{"u":null,"g":"2026-04-21T17:00:00.5+02:00"}`, mesh.Watermark{Groups: stamp("2026-04-21T15:00:00.5Z")}, `{"g":"2026-04-21T15:00:00.500Z"}`},
		"null":            {"null", mesh.Watermark{}, ""},
		"empty":           {" \n", mesh.Watermark{}, ""},
		"empty object":    {"{}", mesh.Watermark{}, ""},
		"space around it": {" {\"u\":\"2026-04-22T08:15:30Z\"} \n", mesh.Watermark{Users: stamp("2026-04-22T08:15:30Z")}, `{"u":"2026-04-22T08:15:30.000Z"}`},
	} {
		got, err := mesh.ParseWatermark(c.text)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
		require.Equal(t, c.out, got.String(), name)
	}
}

func TestParseMalformedWatermark(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"yesterday", `"2026-04-22T08:15:30Z"`, "[]", "7", `{"u":7}`, `{"u":""}`, `{"u":"2026-04-22"}`, `{"u":"22.4.2026"}`,
		`{"users":"2026-04-22T08:15:30Z"}`, `{"u":"2026-04-22T08:15:30Z"`, `{} {}`, `{"u":"2026-04-22T08:15:30Z"}x`,
		`{"u":"9999-12-31T23:59:59-01:00"}`, `{"u":"0000-01-01T00:00:00+01:00"}`,
	} {
		got, err := mesh.ParseWatermark(text)
		require.ErrorContains(t, err, "malformed watermark", text)
		require.ErrorContains(t, err, "im_watermarks", text)
		require.Zero(t, got)
	}
}

func TestNewMark(t *testing.T) {
	t.Parallel()
	require.Nil(t, mesh.NewMark(time.Time{}))
	at := time.Date(2026, 4, 22, 10, 15, 30, 123_999_999, time.FixedZone("", 2*60*60))
	b, err := json.Marshal(mesh.Watermark{Users: mesh.NewMark(at)})
	require.NoError(t, err)
	require.Equal(t, `{"u":"2026-04-22T08:15:30.123Z"}`, string(b), "cut, not rounded: a mark is never late")
}

func FuzzParseWatermark(f *testing.F) {
	for _, s := range []string{
		"", "null", "{}", `{"u":"2026-04-22T08:15:30.000Z","g":"2026-04-21T17:00:00.000Z"}`, `{"g":null}`, `{"u":"x"}`, "[1]",
		`{"u":"9999-12-31T23:59:59-23:00"}`, `{"u":"0000-01-01T00:00:00+23:00"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := mesh.ParseWatermark(text)
		if err != nil {
			require.Zero(t, w)
			return
		}
		again, err := mesh.ParseWatermark(w.String())
		require.NoError(t, err)
		require.Equal(t, w.String(), again.String(), "what is stored is read back")
	})
}
