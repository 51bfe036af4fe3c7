package mapping_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// FuzzUser: a user of any JSON is an error that shows nothing of him, or an object whose
// attributes say what Okta said.
func FuzzUser(f *testing.F) {
	f.Add(janeJSON)
	f.Add(`{"id":"00u1","status":"ACTIVE","profile":{}}`)
	f.Add(`{"id":"00u1","status":"DEPROVISIONED","type":[1,{"b":2,"a":1}],"lastUpdated":"2026-04-22T08:15:30.000Z","profile":{"login":"a\u0000\ud800","city":[null,{"x":1e999}]}}`)
	f.Add(`{"id":"00u1","status":"x","lastUpdated":"yesterday","profile":{"login":7}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var u okta.User
		dec := json.NewDecoder(bytes.NewReader([]byte(text)))
		dec.UseNumber()
		if dec.Decode(&u) != nil {
			return
		}
		for _, by := range []mapping.ExternalID{mapping.ByID, mapping.ByLogin} {
			o, err := mapping.User(&u, mapping.Options{ExternalID: by})
			if err != nil {
				var e *mapping.Error
				require.ErrorAs(t, err, &e)
				continue
			}
			again, err := mapping.User(&u, mapping.Options{ExternalID: by})
			require.NoError(t, err)
			require.Equal(t, o, again)
			sameUser(t, &u, o, by)
		}
	})
}

func sameUser(t *testing.T, u *okta.User, o mesh.Object, by mapping.ExternalID) {
	t.Helper()
	require.Equal(t, u.ID, o.OktaID)
	require.NotEmpty(t, o.ExternalID)
	require.True(t, utf8.Valid(o.Attributes))
	require.NotContains(t, string(o.Attributes), "\x00")
	var attributes map[string]any
	dec := json.NewDecoder(bytes.NewReader(o.Attributes))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&attributes))
	for _, name := range mapping.UserAttributes() {
		got, held := attributes[name]
		require.True(t, held, name)
		if want, ok := u.Profile[name]; ok && name != "status" {
			require.Equal(t, want, got, name)
		}
	}
	require.Equal(t, u.Status == "ACTIVE", attributes["accountEnabled"])
	require.Equal(t, u.Status == "DEPROVISIONED", o.Delete == mesh.Deprovisioned)
	if by == mapping.ByLogin {
		require.Equal(t, u.Profile["login"], o.ExternalID)
		require.Equal(t, u.ID, attributes[mapping.OktaIDAttribute])
	}
}
