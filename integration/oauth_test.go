package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestAServiceApp imports with a private key and DPoP, in real processes, while the token
// ends, is revoked, and the nonces change: the mesh is that of an API token's import, and
// all activities together made no more token requests than that takes.
func TestAServiceApp(t *testing.T) {
	t.Parallel()
	const client = "0oaapp1d7"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k1"})
	require.NoError(t, err)
	clock := new(oktasim.Clock)
	cfg := map[string]any{"PageSize": 50}
	w := newWorld(t, oktasim.Config{Org: generated(t, 900, 40), Clock: clock, Apps: []oktasim.App{{
		ClientID: client, Scopes: []string{"okta.users.read", "okta.groups.read"},
		Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1"}}},
	}}}, cfg)
	token := w.sibling(oktasim.Config{Org: generated(t, 900, 40)}, cfg)
	w.ok(w.starter(string(jwk), "secret", "set", "secret://okta/contoso/privatekey"))
	w.auth = map[string]any{"Mode": "OAuth", "ClientId": client, "PrivateKey": "secret://okta/contoso/privatekey"}
	w.define(nil)
	worker := w.worker("--turn", "1ms", "--log-level", "debug") // an activity reads a page

	const tokens = "POST /oauth2/v1/token"
	var calls atomic.Int64
	w.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/api/") {
			return false
		}
		switch calls.Add(1) { // of those that were let in
		case 12:
			w.sim.RotateNonce(true)
			w.sim.RevokeTokens()
		case 20:
			w.sim.RequireNonce(true)
		case 28:
			w.sim.RotateNonce(true)
		}
		return false
	})
	row := w.completed()
	require.Greater(t, calls.Load(), int64(40))
	require.Equal(t, w.sim.Stats().Total, row.APICalls, "token requests and refused calls are in the run's count")
	require.Equal(t, 2+2, w.sim.Stats().ByEndpoint[tokens], "without a nonce and with one; after the revocation, with the old nonce and the new one")
	token.completed()
	requireSame(t, token.objects(), w.objects())
	texts := []string{string(history(w, row.RunID))}

	// The token ends; one call at a time, so that no answer of before overtakes the first
	// one that tells the new time.
	w.define(map[string]any{"MaxInFlight": 1})
	calls.Store(1000)
	w.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/api/") && calls.Add(1) == 1008 {
			clock.Advance(61 * time.Minute)
		}
		return false
	})
	w.sim.ResetStats()
	row = w.completed()
	require.Greater(t, calls.Load(), int64(1040))
	require.Equal(t, 2, w.sim.Stats().ByEndpoint[tokens], "with the nonce of before the last change, and with the new one")
	require.Equal(t, w.sim.Stats().Total, row.APICalls)
	w.completedMode("delta")
	require.Equal(t, 2, w.sim.Stats().ByEndpoint[tokens], "the next run has the token still")
	requireSame(t, token.objects(), w.objects())

	texts = append(texts, string(history(w, row.RunID)), worker.Output())
	require.NoError(t, worker.Stop())
	requireNoSecret(w, string(jwk), texts...)
}

// jwtText is a JWT: an assertion, a proof or an access token.
var jwtText = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{16,}\.`)

// requireNoSecret looks through what a run left behind: its world's files, of which the
// database is one, and the given texts.
func requireNoSecret(w *world, jwk string, texts ...string) {
	w.Helper()
	var key struct{ D string }
	require.NoError(w, json.Unmarshal([]byte(jwk), &key))
	require.NotEmpty(w, key.D)
	files, err := filepath.Glob(filepath.Join(w.stack.Dir, "mesh.db*"))
	require.NoError(w, err)
	require.NotEmpty(w, files)
	for _, f := range files {
		text, err := os.ReadFile(f) // #nosec G304 -- of this test
		require.NoError(w, err)
		texts = append(texts, string(text))
	}
	require.Greater(w, len(strings.Join(texts, "")), 100_000)
	for i, text := range texts {
		require.False(w, strings.Contains(text, key.D), "text %d holds the key", i)
		require.False(w, jwtText.MatchString(text), "text %d holds a JWT", i)
	}
}
