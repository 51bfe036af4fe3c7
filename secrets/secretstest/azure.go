package secretstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// KeyVault is a stand-in of Azure Key Vault and of Microsoft Entra ID behind TLS on one
// local address. It is written after Microsoft's documentation of the REST API of Key Vault,
// version 2026-04-01 (GET /secrets/{name}, learn.microsoft.com/rest/api/keyvault/secrets;
// errors: general/rest-error-codes), of its authentication challenge, and of Entra's OAuth
// 2.0 client credentials, and was not compared with the real service.
type KeyVault struct {
	*httptest.Server

	mu      sync.Mutex
	secrets map[string][]keyVaultVersion // by the name in small letters
	logins  int

	// What a test may set before it asks, under Change.
	Denied    string // the inner code of a 403: ForbiddenByRbac, AccessDenied, ForbiddenByFirewall
	Status    int    // of every answer of the Key Vault, with RetryAfter
	Login     int    // of every answer of Entra
	Retry     int    // seconds of Retry-After
	Slow      bool   // no answer until the caller gives up
	Challenge string // in the place of the real one
	NoTenant  bool   // the Key Vault trusts another tenant
	Huge      bool   // an answer without an end
}

type keyVaultVersion struct {
	value    string
	created  time.Time
	disabled bool
}

// What the stand-in of Entra wants.
const (
	TenantID     = "72f988bf-86f1-41af-91ab-2d7cd011db47"
	ClientID     = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
	ClientSecret = "client-secret-canary"
	bearer       = "entra-access-token"
)

// NewKeyVault starts a stand-in.
func NewKeyVault(t testing.TB) *KeyVault {
	k := &KeyVault{secrets: map[string][]keyVaultVersion{}}
	k.Server = httptest.NewTLSServer(http.HandlerFunc(k.serve))
	t.Cleanup(k.Close)
	return k
}

// Change changes the stand-in.
func (k *KeyVault) Change(f func(k *KeyVault)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k)
}

// Put writes a new version of a secret.
func (k *KeyVault) Put(name, value string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name = strings.ToLower(name)
	k.secrets[name] = append(k.secrets[name], keyVaultVersion{value: value, created: time.Now()})
}

// Remove deletes a secret.
func (k *KeyVault) Remove(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.secrets, strings.ToLower(name))
}

// Disable disables the newest version, or enables it.
func (k *KeyVault) Disable(name string, disabled bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.secrets[strings.ToLower(name)]
	all[len(all)-1].disabled = disabled
}

// Logins is how often Entra gave a token.
func (k *KeyVault) Logins() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.logins
}

func (k *KeyVault) serve(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	slow := k.Slow
	k.mu.Unlock()
	if slow {
		<-r.Context().Done()
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case strings.HasPrefix(r.URL.Path, "/"+TenantID+"/"):
		k.entra(w, r)
	case strings.HasPrefix(r.URL.Path, "/secrets/"):
		k.keyVault(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (k *KeyVault) entra(w http.ResponseWriter, r *http.Request) {
	switch base := k.URL + "/" + TenantID; {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		reply(w, http.StatusOK, map[string]string{"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize",
			"token_endpoint": base + "/oauth2/v2.0/token"})
	case k.Login != 0:
		w.Header().Set("Retry-After", strconv.Itoa(k.Retry))
		reply(w, k.Login, map[string]string{"error": "temporarily_unavailable", "error_description": "AADSTS90033: A transient error has occurred."})
	case r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_id") != ClientID || r.FormValue("client_secret") != ClientSecret:
		reply(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client",
			"error_description": "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + ClientID + "'.",
			"error_codes":       []int{7000215}})
	case r.FormValue("scope") == "" || !strings.Contains(r.FormValue("scope"), "https://vault.azure.net/.default"):
		reply(w, http.StatusBadRequest, map[string]any{"error": "invalid_scope", "error_description": "AADSTS70011: The provided value for the input parameter 'scope' is not valid."})
	default:
		k.logins++
		reply(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": bearer})
	}
}

func (k *KeyVault) keyVault(w http.ResponseWriter, r *http.Request) {
	name := strings.ToLower(strings.Trim(strings.TrimPrefix(r.URL.Path, "/secrets/"), "/"))
	all := k.secrets[name]
	switch {
	case r.Header.Get("Authorization") == "":
		challenge := k.Challenge
		if challenge == "" {
			challenge = fmt.Sprintf("Bearer authorization=%q, resource=%q", k.URL+"/"+TenantID, "https://vault.azure.net")
		}
		w.Header().Set("WWW-Authenticate", challenge)
		refuse(w, http.StatusUnauthorized, "Unauthorized", "", "AKV10000: Request is missing a Bearer or PoP token.")
	case r.Header.Get("Authorization") != "Bearer "+bearer || k.NoTenant:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer authorization=%q, resource=%q", k.URL+"/"+TenantID, "https://vault.azure.net"))
		refuse(w, http.StatusUnauthorized, "Unauthorized", "", "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/…, found https://sts.windows.net/"+TenantID+"/.")
	case r.Method != http.MethodGet || r.URL.Query().Get("api-version") != "2026-04-01":
		refuse(w, http.StatusBadRequest, "BadParameter", "", "The specified version is not recognized.")
	case k.Huge:
		for r.Context().Err() == nil {
			if _, err := fmt.Fprint(w, strings.Repeat(Canary, 1000)); err != nil {
				return
			}
		}
	case k.Status != 0:
		if k.Retry != 0 {
			w.Header().Set("Retry-After", strconv.Itoa(k.Retry))
		}
		refuse(w, k.Status, map[int]string{429: "Throttled"}[k.Status], "", "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached")
	case k.Denied != "":
		refuse(w, http.StatusForbidden, "Forbidden", k.Denied, "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.")
	case len(all) == 0:
		refuse(w, http.StatusNotFound, "SecretNotFound", "", "A secret with (name/id) "+name+" was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command.")
	case all[len(all)-1].disabled:
		refuse(w, http.StatusForbidden, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret.")
	default:
		last := all[len(all)-1]
		reply(w, http.StatusOK, map[string]any{"value": last.value, "id": fmt.Sprintf("%s/secrets/%s/%032x", k.URL, name, len(all)),
			"attributes": map[string]any{"enabled": true, "created": last.created.Unix(), "updated": last.created.Unix(),
				"recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90}, "tags": map[string]string{}})
	}
}

// refuse writes Key Vault's error object.
func refuse(w http.ResponseWriter, status int, code, inner, message string) {
	body := map[string]any{"code": code, "message": message}
	if inner != "" {
		body["innererror"] = map[string]string{"code": inner}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": body}) // the caller may be gone
}
