package mapping_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/okta"
)

// profileRows are the users' profile attributes.
func profileRows() []string {
	var names []string
	for _, r := range mapping.UserRows() {
		if name, ok := strings.CutPrefix(r[0], "profile."); ok {
			names = append(names, name)
		}
	}
	return names
}

var (
	anyText = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"", "a\u2028b", "\u2029", "<b>&", `\"`, "\x00\x1f\x7f", "\xff\xfe", "李", "👩🏽", "é", "’",
	}))
	anyValue = rapid.OneOf(
		rapid.Just[any](nil),
		rapid.Map(anyText, func(s string) any { return s }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.Int64(), func(i int64) any { b, _ := json.Marshal(i); return json.Number(b) }),
		rapid.Map(rapid.SliceOf(anyText), func(l []string) any { return l }),
		rapid.Map(rapid.MapOf(anyText, anyText), func(m map[string]string) any { return m }),
	)
	anyUser = rapid.Custom(func(t *rapid.T) *okta.User {
		names := append(profileRows(), "custom1", "custom2", "nickName")
		profile := rapid.MapOf(rapid.SampledFrom(names), anyValue).Draw(t, "profile")
		profile["login"] = rapid.StringMatching(`[a-z]{1,8}@example\.com`).Draw(t, "login")
		stamp := rapid.SampledFrom([]string{"2024-01-02T03:04:05.000Z", "2025-01-02T03:04:05.000Z"})
		return &okta.User{
			ID:          rapid.StringMatching(`00u[a-zA-Z0-9]{17}`).Draw(t, "id"),
			Status:      rapid.SampledFrom([]string{"ACTIVE", "STAGED", "DEPROVISIONED", "NEW ONE"}).Draw(t, "status"),
			Created:     rapid.Ptr(stamp, true).Draw(t, "created"),
			LastLogin:   rapid.Ptr(stamp, true).Draw(t, "lastLogin"),
			LastUpdated: rapid.Ptr(stamp, true).Draw(t, "lastUpdated"),
			Profile:     profile,
		}
	})
	anyOptions = rapid.Custom(func(t *rapid.T) mapping.Options {
		return mapping.Options{
			ExternalID: rapid.SampledFrom([]mapping.ExternalID{mapping.ByID, mapping.ByLogin}).Draw(t, "mode"),
			Ignore:     rapid.SliceOfNDistinct(rapid.SampledFrom(mapping.UserAttributes()), 0, 5, rapid.ID).Draw(t, "ignore"),
		}
	})
)

// Equal input gives equal bytes, whatever the order of the fields.
func TestPropertyDeterministic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u, o := anyUser.Draw(t, "user"), anyOptions.Draw(t, "options")
		again := *u
		again.Profile = map[string]any{}
		for _, name := range rapid.Permutation(append(profileRows(), "custom1", "custom2", "nickName")).Draw(t, "order") {
			if v, ok := u.Profile[name]; ok {
				again.Profile[name] = v
			}
		}
		a, err := mapping.User(u, o)
		require.NoError(t, err)
		b, err := mapping.User(&again, o)
		require.NoError(t, err)
		require.Equal(t, a, b)
		require.True(t, json.Valid(a.Attributes))
	})
}

// The bytes are those that encoding/json writes for the same attributes.
func TestPropertyEncoding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u := anyUser.Draw(t, "user")
		got, err := mapping.User(u, mapping.Options{})
		require.NoError(t, err)
		want := map[string]any{
			"status": nil, "accountEnabled": u.Status == "ACTIVE", "type": nil,
			"created": u.Created, "activated": nil, "statusChanged": nil,
			"lastLogin": u.LastLogin, "lastUpdated": u.LastUpdated, "passwordChanged": nil,
		}
		if u.Status != "" {
			want["status"] = u.Status
		}
		for _, name := range profileRows() {
			want[name] = u.Profile[name]
		}
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		require.NoError(t, enc.Encode(want))
		require.Equal(t, strings.TrimSuffix(b.String(), "\n"), string(got.Attributes))
	})
}

func TestPropertyText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := anyText.Draw(t, "text")
		want, err := mapping.AppendAny([]byte("x"), s)
		require.NoError(t, err)
		require.Equal(t, string(want), string(mapping.AppendText([]byte("x"), s)))
	})
}

// Every byte at every place of a text of several words.
func TestAppendTextBytes(t *testing.T) {
	t.Parallel()
	for length := range 18 {
		for at := range length {
			for c := range 256 {
				text := bytes.Repeat([]byte("a"), length)
				text[at] = byte(c)
				want, err := mapping.AppendAny(nil, string(text))
				require.NoError(t, err)
				if got := mapping.AppendText(nil, string(text)); !bytes.Equal(want, got) {
					require.Equal(t, string(want), string(got))
				}
			}
		}
	}
}

// A type object gives the same text however it is spaced and ordered.
func TestPropertyType(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		valid := rapid.Map(anyText, func(s string) string { return strings.ToValidUTF8(s, "") })
		object := rapid.MapOfN(valid, valid, 0, 3).Draw(t, "type")
		compact, err := json.Marshal(object) // sorts keys, escapes <, > and &
		require.NoError(t, err)
		spaced, err := json.MarshalIndent(object, " ", "\t")
		require.NoError(t, err)
		plain, err := mapping.AppendAny(nil, object)
		require.NoError(t, err)
		for _, raw := range [][]byte{compact, spaced, plain} {
			got, err := mapping.User(&okta.User{ID: "00u1", Status: "ACTIVE", Type: raw, Profile: map[string]any{}}, mapping.Options{})
			require.NoError(t, err)
			require.Equal(t, string(plain), decode[map[string]any](t, got.Attributes)["type"])
		}
	})
}

// The hash ignores the attributes of Ignore and those that are not imported, and
// nothing else.
func TestPropertyHash(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u, o := anyUser.Draw(t, "user"), anyOptions.Draw(t, "options")
		before, err := mapping.User(u, o)
		require.NoError(t, err)

		name := rapid.SampledFrom(append(profileRows(), "custom1")).Draw(t, "changed")
		changed := *u
		changed.Profile = maps.Clone(u.Profile)
		changed.Profile[name] = "changed to this"
		after, err := mapping.User(&changed, o)
		require.NoError(t, err)

		silent := name == "custom1"
		for _, ignored := range o.Ignore {
			silent = silent || ignored == name
		}
		if name == "login" && o.ExternalID == mapping.ByLogin {
			silent = false // another external id
		}
		if silent {
			require.Equal(t, before.Hash, after.Hash)
		} else {
			require.NotEqual(t, before.Hash, after.Hash)
		}
		require.Equal(t, name == "custom1", bytes.Equal(before.Attributes, after.Attributes),
			"what is ignored is mapped all the same")
	})
}

// Type and external id are part of the hash.
func TestHashCoversIdentity(t *testing.T) {
	t.Parallel()
	a, err := mapping.Group(&okta.Group{ID: "00g1", Profile: map[string]any{}}, mapping.Options{})
	require.NoError(t, err)
	b, err := mapping.Group(&okta.Group{ID: "00g2", Profile: map[string]any{}}, mapping.Options{})
	require.NoError(t, err)
	require.Equal(t, a.Attributes, b.Attributes)
	require.NotEqual(t, a.Hash, b.Hash)
}
