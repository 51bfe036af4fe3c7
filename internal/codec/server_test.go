package codec_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	ui    = "http://127.0.0.1:8233"
	token = "0123456789abcdef0123456789abcdef"
)

// TestRemote reads and writes as Temporal's command line does, through the server.
func TestRemote(t *testing.T) {
	t.Parallel()
	path, _, _ := keyFile(t)
	c := open(t, path)
	server := httptest.NewServer(c.Handler([]string{ui}, token))
	t.Cleanup(server.Close)
	remote := converter.NewRemoteDataConverter(converter.GetDefaultDataConverter(), converter.RemoteDataConverterOptions{
		Endpoint: server.URL,
		ModifyRequest: func(r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("X-Namespace", "default")
			return nil
		},
	})
	var got string
	require.NoError(t, remote.FromPayload(payload(t, c), &got))
	require.Equal(t, secret, got)
	p, err := remote.ToPayload(secret)
	require.NoError(t, err)
	require.Equal(t, secret, read(t, c, p))
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	path, _, _ := keyFile(t)
	c := open(t, path)
	sealed, err := protojson.Marshal(payload(t, c))
	require.NoError(t, err)
	body := `{"payloads":[` + string(sealed) + `]}`
	for name, tc := range map[string]struct {
		method, path, origin, auth, body string
		token                            string
		code                             int
	}{
		"no browser":         {"POST", "/decode", "", "", body, "", 200},
		"the Web UI":         {"POST", "/decode", ui, "", body, "", 200},
		"another page":       {"POST", "/decode", "http://evil.example", "", body, "", 403},
		"another port":       {"POST", "/decode", "http://127.0.0.1:8080", "", body, "", 403},
		"no page":            {"POST", "/decode", "null", "", body, "", 403},
		"another's question": {"OPTIONS", "/decode", "http://evil.example", "", "", "", 403},
		"with the token":     {"POST", "/decode", "", "Bearer " + token, body, token, 200},
		"without the token":  {"POST", "/decode", "", "", body, token, 401},
		"half a token":       {"POST", "/decode", ui, "Bearer " + token[:16], body, token, 401},
		"read":               {"GET", "/decode", "", "", "", "", 404},
		"another path":       {"POST", "/x/decode", "", "", body, "", 404},
		"no JSON":            {"POST", "/decode", "", "", "x", "", 400},
		"a flood":            {"POST", "/encode", "", "", `{"payloads":[{"data":"` + strings.Repeat("A", 17<<20) + `"}]}`, "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, strings.NewReader(tc.body))
			if tc.origin != "" {
				r.Header.Set("Origin", tc.origin)
			}
			if tc.auth != "" {
				r.Header.Set("Authorization", tc.auth)
			}
			w := httptest.NewRecorder()
			c.Handler([]string{ui}, tc.token).ServeHTTP(w, r)
			require.Equal(t, tc.code, w.Code, w.Body)
			allowed := ""
			if tc.origin == ui {
				allowed = ui
			}
			require.Equal(t, allowed, w.Header().Get("Access-Control-Allow-Origin"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		})
	}
}

// TestPreflight is what a browser asks before it sends the Web UI's request.
func TestPreflight(t *testing.T) {
	t.Parallel()
	path, _, _ := keyFile(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/decode", http.NoBody)
	r.Header.Set("Origin", ui)
	r.Header.Set("Access-Control-Request-Headers", "content-type,x-namespace")
	r.Header.Set("Access-Control-Request-Private-Network", "true")
	w := httptest.NewRecorder()
	open(t, path).Handler([]string{ui}, token).ServeHTTP(w, r) // a preflight carries no token
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Equal(t, ui, w.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "Authorization, Content-Type, X-Namespace", w.Header().Get("Access-Control-Allow-Headers"))
	require.Equal(t, "true", w.Header().Get("Access-Control-Allow-Private-Network"))
}
