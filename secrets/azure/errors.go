package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/identitymesh/okta-connector/secrets"
)

// question is one reading of one secret.
type question struct {
	k      *KeyVault
	ref    secrets.Ref
	place  secrets.Place
	parent context.Context // tells the caller's end from our time-out
}

func (q question) fail(kind secrets.Kind, cause, remedy string, err error) *secrets.Error {
	return &secrets.Error{Ref: q.ref, Place: q.place, Kind: kind, Cause: cause, Remedy: remedy, Err: err}
}

// explain types an error of the Key Vault, or of the login before it.
func (q question) explain(err error) error {
	switch {
	case q.parent.Err() != nil:
		return q.parent.Err() // the caller gave up
	case errors.Is(err, context.DeadlineExceeded):
		return q.fail(secrets.Unavailable, fmt.Sprintf("cannot be read: Azure has not answered for %v", q.k.cfg.timeout),
			"check that the Key Vault is reachable from here, and its firewall", nil)
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return q.fail(secrets.Unusable, "cannot be read: the answer is larger than any secret", "check AZURE_KEYVAULT_URL", nil)
	}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return q.answered(e)
	}
	if e, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		return q.loginFailed(e)
	}
	if secrets.IsTLS(err) {
		return q.fail(secrets.Misconfigured, "cannot be read", "check AZURE_KEYVAULT_URL; a proxy that opens TLS needs its CA in SSL_CERT_FILE", err)
	}
	if secrets.IsUnreached(err) {
		return q.fail(secrets.Unavailable, "cannot be read: Azure is not reached", "check AZURE_KEYVAULT_URL, the network and the proxy", err)
	}
	if !strings.Contains(err.Error(), "DefaultAzureCredential") {
		return q.fail(secrets.Misconfigured, "cannot be read: what answers is no Azure Key Vault", "check AZURE_KEYVAULT_URL", brief(err.Error()))
	}
	// The credential chain has found nothing to log in with.
	return q.fail(secrets.Denied, "cannot be read: there is nothing to log in to Azure with",
		"set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or give the machine an identity", brief(err.Error()))
}

// answered types an answer of the Key Vault that is not the secret.
func (q question) answered(e *azcore.ResponseError) error {
	code, inner, message := body(e)
	said := brief(fmt.Sprintf("HTTP %d, %s", e.StatusCode, strings.Join(strings.Fields(code+" "+inner+" "+message), " ")))
	switch {
	case e.StatusCode == http.StatusNotFound && code == "SecretNotFound":
		return q.fail(secrets.Missing, "", q.k.HowToStore(q.ref)+"; one that was deleted comes back with: az keyvault secret recover --vault-name "+
			q.k.name()+" --name "+q.place.Path, nil)
	case e.StatusCode == http.StatusForbidden && inner == "SecretDisabled":
		return q.fail(secrets.Unusable, "is disabled", "enable it with: az keyvault secret set-attributes --enabled true --vault-name "+
			q.k.name()+" --name "+q.place.Path, nil)
	case e.StatusCode == http.StatusForbidden && inner == "ForbiddenByFirewall":
		return q.fail(secrets.Denied, "cannot be read: the Key Vault's firewall does not let this machine in", "allow its address or network", said)
	case e.StatusCode == http.StatusForbidden:
		return q.fail(secrets.Denied, "cannot be read: this identity may not read it",
			"give it the role \"Key Vault Secrets User\", or the access policy \"secrets: get\"; a new role takes minutes to arrive", said)
	case e.StatusCode == http.StatusUnauthorized:
		return q.fail(secrets.Denied, "cannot be read: the Key Vault does not take this login", "check AZURE_TENANT_ID: the Key Vault trusts one tenant", said)
	case e.StatusCode == http.StatusTooManyRequests, e.StatusCode == http.StatusRequestTimeout, e.StatusCode >= http.StatusInternalServerError:
		err := q.fail(secrets.Unavailable, "cannot be read", "", said)
		err.RetryAfter = retryAfter(e.RawResponse)
		return err
	}
	return q.fail(secrets.Misconfigured, "cannot be read", "check AZURE_KEYVAULT_URL", said)
}

// loginFailed types a refusal, or a silence, of Microsoft Entra ID.
func (q question) loginFailed(e *azidentity.AuthenticationFailedError) error {
	switch r := e.RawResponse; {
	case r != nil && (r.StatusCode == http.StatusTooManyRequests || r.StatusCode >= http.StatusInternalServerError):
		err := q.fail(secrets.Unavailable, "cannot be read: Microsoft Entra ID does not log in now", "", fmt.Errorf("HTTP %d", r.StatusCode))
		err.RetryAfter = retryAfter(r)
		return err
	case r == nil && secrets.IsUnreached(e):
		return q.fail(secrets.Unavailable, "cannot be read: Microsoft Entra ID is not reached", "check the network and the proxy", brief(e.Error()))
	}
	return q.fail(secrets.Denied, "cannot be read: Microsoft Entra ID refuses the login",
		"check AZURE_TENANT_ID, AZURE_CLIENT_ID and the client's secret or certificate, or the machine's identity", brief(reason(e)))
}

// reason is the description in Entra's answer; the SDK's text holds the whole exchange.
func reason(e *azidentity.AuthenticationFailedError) string {
	if e.RawResponse != nil {
		var answer struct {
			Description string `json:"error_description"`
		}
		if text, err := runtime.Payload(e.RawResponse); err == nil && json.Unmarshal(text, &answer) == nil && answer.Description != "" {
			return answer.Description
		}
		return fmt.Sprintf("HTTP %d", e.RawResponse.StatusCode)
	}
	return e.Error()
}

// body reads the error object of an answer. The SDK tells its outer code only.
func body(e *azcore.ResponseError) (code, inner, message string) {
	var answer struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Inner   struct {
				Code string `json:"code"`
			} `json:"innererror"`
		} `json:"error"`
	}
	if e.RawResponse != nil {
		if text, err := runtime.Payload(e.RawResponse); err == nil {
			_ = json.Unmarshal(text, &answer) // a proxy's page has no codes
		}
	}
	return answer.Error.Code, answer.Error.Inner.Code, answer.Error.Message
}

// retryAfter is the wait that an answer asks for, 0 for none.
func retryAfter(r *http.Response) time.Duration {
	if r == nil {
		return 0
	}
	seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// brief is the first of a long explanation, on one line.
func brief(text string) error {
	const most = 300
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return errors.New(text)
}
