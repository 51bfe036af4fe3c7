package secretstest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Vault is a stand-in of HashiCorp Vault: tokens, AppRole and Kubernetes logins, and one
// KV version 2 mount. It is written after the documentation of the HTTP API of Vault 1.21
// (developer.hashicorp.com/vault/api-docs: secret/kv/kv-v2, auth/approle,
// auth/kubernetes, auth/token, system/internal-ui-mounts), and was not compared with a
// running Vault.
type Vault struct {
	*httptest.Server

	mu      sync.Mutex
	secrets map[string][]vaultVersion
	tokens  map[string]*vaultToken
	count   int
	calls   map[string]int // by method and path

	// What a test may set before it asks, under Change.
	Mount     string // "secret"
	KVVersion string // "2"
	Namespace string // that requests must name; "" for none
	Field     string // "value"
	RoleID    string
	SecretID  string
	JWT       string // of the pod
	Role      string
	TTL       time.Duration // of the tokens of a login
	Renewable bool
	Sealed    bool
	Forbidden bool // the policies allow no secret
	NoPeeking bool // nor a look at the mount
	Busy      bool // a rate limit quota is used up
	Failing   bool // an error inside
	Slow      bool // no answer until the caller gives up
	Strange   bool // an answer that is none of Vault
	Huge      bool // an answer without an end

	// Renewed gets a token each time one is renewed. Nobody has to read it.
	Renewed chan string
}

type vaultVersion struct {
	value              string
	created            time.Time
	deleted, destroyed bool
}

type vaultToken struct {
	renewable bool
	ttl       time.Duration
}

// NewVault starts a stand-in with one token, "root-token", which does not end.
func NewVault(t testing.TB) *Vault {
	v := &Vault{
		secrets: map[string][]vaultVersion{}, tokens: map[string]*vaultToken{"root-token": {}}, calls: map[string]int{},
		Mount: "secret", KVVersion: "2", Field: "value", RoleID: "role-id", SecretID: "secret-id", JWT: "pod.jwt.sig", Role: "identitymesh",
		TTL: time.Hour, Renewable: true, Renewed: make(chan string, 1000),
	}
	v.Server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	return v
}

// Change changes the stand-in.
func (v *Vault) Change(f func(v *Vault)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(v)
}

// Put writes a new version of the secret at path.
func (v *Vault) Put(path, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[path] = append(v.secrets[path], vaultVersion{value: value, created: time.Now()})
}

// Remove deletes a secret with all its versions and metadata.
func (v *Vault) Remove(path string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.secrets, path)
}

// Delete deletes the newest version, or destroys it.
func (v *Vault) Delete(path string, destroy bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := v.secrets[path]
	all[len(all)-1].deleted, all[len(all)-1].destroyed = true, destroy
}

// AddToken makes a token, renewable when it has a ttl.
func (v *Vault) AddToken(token string, ttl time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tokens[token] = &vaultToken{renewable: ttl > 0, ttl: ttl}
}

// RevokeAll makes every token invalid.
func (v *Vault) RevokeAll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.tokens)
}

// Tokens is how many tokens are valid.
func (v *Vault) Tokens() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.tokens)
}

// Calls is how many requests there were of a method and a path, such as "PUT auth/approle/login".
func (v *Vault) Calls(what string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[what]
}

func (v *Vault) serve(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	slow := v.Slow
	v.mu.Unlock()
	if slow {
		<-r.Context().Done()
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	v.calls[r.Method+" "+path]++
	switch {
	case v.Strange:
		_, _ = fmt.Fprint(w, `{"data":{"data":"`+Canary+`"}}`)
	case v.Huge:
		for r.Context().Err() == nil {
			if _, err := fmt.Fprint(w, strings.Repeat(Canary, 1000)); err != nil {
				return
			}
		}
	case !ok:
		fail(w, http.StatusNotFound)
	case v.Sealed:
		fail(w, http.StatusServiceUnavailable, "Vault is sealed")
	case v.Failing:
		fail(w, http.StatusInternalServerError, "internal error")
	case r.Header.Get("X-Vault-Request") != "true":
		fail(w, http.StatusPreconditionFailed, "missing required header")
	case r.Header.Get("X-Vault-Namespace") != v.Namespace:
		fail(w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", path))
	case path == "auth/approle/login":
		v.logIn(w, r, map[string]string{"role_id": v.RoleID, "secret_id": v.SecretID}, http.StatusBadRequest, "invalid role or secret ID")
	case path == "auth/kubernetes/login":
		v.logIn(w, r, map[string]string{"role": v.Role, "jwt": v.JWT}, http.StatusForbidden, "permission denied")
	default:
		v.inside(w, r, path)
	}
}

func fail(w http.ResponseWriter, status int, messages ...string) {
	reply(w, status, map[string]any{"errors": append([]string{}, messages...)})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller may be gone
}

// envelope is Vault's answer with data.
func envelope(data any) map[string]any {
	return map[string]any{"request_id": "f1e2", "lease_id": "", "renewable": false, "lease_duration": 0, "data": data,
		"wrap_info": nil, "warnings": nil, "auth": nil, "mount_type": "kv"}
}

func (v *Vault) logIn(w http.ResponseWriter, r *http.Request, want map[string]string, status int, refusal string) {
	var got map[string]string
	if r.Method != http.MethodPut && r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&got) != nil {
		fail(w, http.StatusMethodNotAllowed, "unsupported operation")
		return
	}
	for name, value := range want {
		if got[name] != value {
			fail(w, status, refusal)
			return
		}
	}
	v.count++
	token := fmt.Sprintf("hvs.login-%d", v.count)
	v.tokens[token] = &vaultToken{renewable: v.Renewable, ttl: v.TTL}
	body := envelope(nil)
	body["auth"] = auth(token, v.tokens[token])
	reply(w, http.StatusOK, body)
}

func auth(token string, t *vaultToken) map[string]any {
	return map[string]any{"client_token": token, "accessor": "0e9e", "policies": []string{"default", "identitymesh"},
		"token_policies": []string{"default", "identitymesh"}, "metadata": map[string]string{"role_name": "identitymesh"},
		"lease_duration": int(t.ttl.Seconds()), "renewable": t.renewable, "entity_id": "7d2e", "token_type": "service", "orphan": true,
		"mfa_requirement": nil, "num_uses": 0}
}

// inside answers what needs a token.
func (v *Vault) inside(w http.ResponseWriter, r *http.Request, path string) {
	name := r.Header.Get("X-Vault-Token")
	token := v.tokens[name]
	switch {
	case token == nil:
		fail(w, http.StatusForbidden, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
	case path == "auth/token/lookup-self" && r.Method == http.MethodGet:
		reply(w, http.StatusOK, envelope(map[string]any{"accessor": "0e9e", "creation_ttl": int(token.ttl.Seconds()), "display_name": "token",
			"id": name, "num_uses": 0, "orphan": true, "path": "auth/token/create", "policies": []string{"default"},
			"renewable": token.renewable, "ttl": int(token.ttl.Seconds()), "type": "service"}))
	case path == "auth/token/renew-self" && r.Method == http.MethodPut:
		if !token.renewable {
			fail(w, http.StatusBadRequest, "lease is not renewable")
			return
		}
		body := envelope(nil)
		body["auth"] = auth(name, token)
		reply(w, http.StatusOK, body)
		select {
		case v.Renewed <- name:
		default:
		}
	case path == "auth/token/revoke-self" && r.Method == http.MethodPut:
		delete(v.tokens, name)
		w.WriteHeader(http.StatusNoContent)
	case v.Busy:
		fail(w, http.StatusTooManyRequests, fmt.Sprintf("request path %q: rate limit quota exceeded", path))
	case strings.HasPrefix(path, "sys/internal/ui/mounts/"):
		v.mount(w, strings.TrimPrefix(path, "sys/internal/ui/mounts/"))
	case strings.HasPrefix(path, v.Mount+"/"):
		v.read(w, r, strings.TrimPrefix(path, v.Mount+"/"))
	default:
		fail(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	}
}

func (v *Vault) mount(w http.ResponseWriter, name string) {
	if v.NoPeeking || strings.Trim(name, "/") != v.Mount {
		fail(w, http.StatusForbidden, fmt.Sprintf("preflight capability check returned 403, please ensure client's policies grant access to path %q", name+"/"))
		return
	}
	reply(w, http.StatusOK, envelope(map[string]any{"accessor": "kv_3c8d", "description": "", "local": false, "path": v.Mount + "/",
		"options": map[string]string{"version": v.KVVersion}, "seal_wrap": false, "type": "kv", "uuid": "5b1f"}))
}

func (v *Vault) read(w http.ResponseWriter, r *http.Request, path string) {
	name, data := strings.CutPrefix(path, "data/")
	all := v.secrets[name]
	switch {
	case v.Forbidden:
		fail(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	case r.Method != http.MethodGet:
		fail(w, http.StatusMethodNotAllowed, "unsupported operation")
	case v.KVVersion != "2" || !data || len(all) == 0: // to version 1, data/… is one more path
		fail(w, http.StatusNotFound)
	default:
		last := all[len(all)-1]
		metadata := map[string]any{"created_time": last.created.UTC().Format(time.RFC3339Nano), "custom_metadata": nil, "deletion_time": "",
			"destroyed": last.destroyed, "version": len(all)}
		if last.deleted {
			if !last.destroyed {
				metadata["deletion_time"] = last.created.UTC().Format(time.RFC3339Nano)
			}
			reply(w, http.StatusNotFound, envelope(map[string]any{"data": nil, "metadata": metadata}))
			return
		}
		reply(w, http.StatusOK, envelope(map[string]any{"data": map[string]any{v.Field: last.value}, "metadata": metadata}))
	}
}

// NewVaultTLS is NewVault behind TLS, with a certificate that no system trusts.
func NewVaultTLS(t testing.TB) *Vault {
	v := NewVault(t)
	v.Server = httptest.NewTLSServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.Close)
	return v
}

// CAFile writes the certificate that vouches for the server to a file.
func (v *Vault) CAFile(t testing.TB) string {
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
