package codec

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"

	"go.temporal.io/sdk/converter"
)

// maxBody is the largest request: a history page's payloads fit, a flood does not.
const maxBody = 16 << 20

// Handler serves /encode and /decode as Temporal's Web UI and command line ask for
// them, with CORS for the given origins alone. A request that names another origin is
// refused, so that no other web page of the operator's browser can have payloads
// decrypted. token, when not "", is wanted as a bearer token of every request.
func (c *Codec) Handler(origins []string, token string) http.Handler {
	payloads := http.MaxBytesHandler(converter.NewPayloadCodecHTTPHandler(c), maxBody)
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" {
			if !slices.Contains(origins, origin) {
				http.Error(w, "this origin may not use the codec server: name it with --origin", http.StatusForbidden)
				return
			}
			h.Set("Access-Control-Allow-Origin", origin)
		}
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "POST")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace")
			if r.Header.Get("Access-Control-Request-Private-Network") == "true" { // a page of the internet, such as Temporal Cloud's
				h.Set("Access-Control-Allow-Private-Network", "true")
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(given))
		if token != "" && subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			h.Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a bearer token is wanted", http.StatusUnauthorized)
			return
		}
		if r.URL.Path != "/encode" && r.URL.Path != "/decode" {
			http.NotFound(w, r)
			return
		}
		payloads.ServeHTTP(w, r)
	})
}
