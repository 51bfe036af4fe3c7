package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

func TestWatermark(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	require.Regexp(t, `(?m)^Watermark +-$`, b.ok("watermark", "get", "contoso"))
	require.Regexp(t, `(?m)^Watermark set +-$`, b.out.String())
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	require.Regexp(t, `(?m)^Watermark set +\d{4}-.* by run `+someRun+`$`, b.ok("watermark", "get", "contoso"))

	get := func() watermarkView {
		var v watermarkView
		require.NoError(t, json.Unmarshal([]byte(b.ok("watermark", "get", "contoso", "-o", "json")), &v))
		return v
	}
	require.Equal(t, `{"u":"2026-04-22T08:15:30.000Z","g":"2026-04-22T08:15:30.000Z"}`, get().Text)
	require.Equal(t, someRun, get().UpdatedBy)

	text := b.ok("watermark", "set", "contoso", `{"u": "2026-04-20T10:00:00+02:00"}`)
	require.Regexp(t, `(?m)^Watermark +\{"u":"2026-04-20T08:00:00.000Z"\}$`, text)
	require.Regexp(t, `(?m)^Watermark set +\d{4}-.* by ada@desk$`, text)
	require.Nil(t, get().Watermark.Groups)

	b.ok("watermark", "set", "contoso", "--groups", "2026-04-21T00:00:00Z")
	require.Equal(t, `{"u":"2026-04-20T08:00:00.000Z","g":"2026-04-21T00:00:00.000Z"}`, get().Text)
	b.ok("watermark", "set", "contoso", "--users", "2026-04-22T09:00:00Z")
	require.Contains(t, b.err.String(), "2026-04-22 09:00:00Z is still to come")
	require.Equal(t, `{"u":"2026-04-22T09:00:00.000Z","g":"2026-04-21T00:00:00.000Z"}`, get().Text)
	b.fails(exitUsage, `--users: "noon" is no ISO 8601 stamp`, "watermark", "set", "contoso", "--users", "noon")

	b.ok("watermark", "set", "contoso", "--clear")
	v := get()
	require.Nil(t, v.Watermark)
	require.Empty(t, v.Text)
	require.Equal(t, "ada@desk", v.UpdatedBy)

	b.begin("contoso", otherRun)
	b.fails(exitError, "is being imported by run "+otherRun, "watermark", "set", "contoso", "--clear")
	b.fails(exitError, `connector "nobody" does not exist`, "watermark", "set", "nobody", "--clear")
	b.fails(exitError, `connector "nobody" does not exist`, "watermark", "get", "nobody")
}
