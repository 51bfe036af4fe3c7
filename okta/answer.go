package okta

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Okta's error codes that decide something ("Only the errorCode property is
// supported for runtime error flow control", facts.md §6).
const (
	codeNotFound      = "E0000007"
	codeInternal      = "E0000009" // also a list that timed out
	codeNotPermitted  = "E0000015" // 401, but about a feature or a right, not the token
	codeInvalidPaging = "E0000029"
	codeInvalidSearch = "E0000031"
	codeInvalidFilter = "E0000053"
)

// maxErrorBodyBytes is how much of a refusal is read.
const maxErrorBodyBytes = 64 << 10

// maxCutToken is dropped from the end of a body that was cut off: more than any token is long.
const maxCutToken = 4 << 10

// What to do about a refusal (runbook, Troubleshooting).
const (
	remedyToken        = "the API token has expired (30 days without use) or was revoked, or the administrator who created it was deactivated: create a new token as an active administrator in Okta under Security > API > Tokens and store it with `starter secret set <reference>`" //nolint:gosec // advice about a token, not a token
	remedyPermission   = "the token itself is valid, but its administrator may not use this feature: create the token as an administrator with the Read-Only Administrator role and check that the org has the feature"
	remedyReadAccess   = "the administrator who owns the token lacks read access: create the token as an administrator with the Read-Only Administrator role, or another role that may read users and groups"
	remedyNoOkta       = "the answer is not Okta's: check OrgDomain and any proxy in between"
	remedyUserSearch   = `Okta refused the search expression: correct UserSearchFilter in the connector's definition, for example status eq "ACTIVE"`
	remedyGroupFilter  = "Okta refused the connector's own filter, which no setting changes: report it with the request id"
	remedyURLTooLong   = "the request's URL is too long for Okta or a proxy in between: shorten UserSearchFilter in the connector's definition"
	remedyRow          = "nothing of this page was used: look for a proxy that rewrites answers, or give Okta's support the request id"
	remedySmallerPage  = "lower PageSize"
	remedyRetryTooLong = "a wait of more than 30 s is not waited for: find out in Okta or in the proxy who asks for it, then run again"
)

// oktaError is Okta's error body, and the OAuth form that gateways use.
type oktaError struct {
	Code    string `json:"errorCode"`
	Summary string `json:"errorSummary"`
	ID      string `json:"errorId"`
	Causes  []struct {
		Summary string `json:"errorSummary"`
	} `json:"errorCauses"`
	OAuthCode        string `json:"error"`
	OAuthDescription string `json:"error_description"`
}

// refusal turns an answer other than 200 into an error.
func (x *exchange) refusal(resp *http.Response, page *Page) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBodyBytes))
	if len(text) == maxErrorBodyBytes { // the cut may have gone through an echoed token
		text = []byte(x.scrub(string(text)))
		text = text[:max(len(text)-maxCutToken, 0)]
	}
	if err != nil && x.caller.Err() != nil {
		return x.caller.Err()
	}
	e := x.answered(page, "")
	if !x.secret || resp.StatusCode >= 400 { // what is neither a token nor a refusal may hold a token all the same
		x.readErrorBody(e, text)
	}
	challenge := x.challenge(resp.Header)
	e.challenge, e.detail = challenge.code, join(e.detail, join(challenge.code, challenge.text))
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests:
		return x.limited(e, resp.Header, page)
	case status < 300: // 204, 206: no such answer to these calls
		e.Kind, e.detail = RetryLater, join("the answer carries no complete list or object", e.detail)
	case status < 400:
		e.detail = "redirect to " + x.location(resp.Header) + " refused, it would give the token away"
		e.remedy = "check OrgDomain: Okta's API does not redirect"
	case status >= 500:
		x.serverError(e, resp.Header, page)
	default:
		x.clientError(e, challenge.scope)
	}
	return e
}

// readErrorBody fills in what the body says; a body that is not JSON is quoted.
func (x *exchange) readErrorBody(e *Error, text []byte) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return
	}
	var o oktaError
	if text[0] != '{' || json.Unmarshal(text, &o) != nil {
		e.detail = "non-JSON answer " + x.quote(text)
		return
	}
	e.Code = x.tidy(cmp.Or(o.Code, o.OAuthCode), maxQuote)
	e.Summary = x.tidy(cmp.Or(o.Summary, o.OAuthDescription), maxSummary)
	if e.RequestID == "" {
		e.RequestID = x.tidy(o.ID, maxQuote)
	}
	for _, cause := range o.Causes[:min(len(o.Causes), maxCauses)] {
		if s := x.tidy(cause.Summary, maxSummary); s != "" {
			e.Causes = append(e.Causes, s)
		}
	}
}

// clientError completes a 4xx; scope is the one that WWW-Authenticate asks for.
func (x *exchange) clientError(e *Error, scope string) {
	if x.template == TokenEndpoint {
		x.tokenError(e)
		return
	}
	byOkta := strings.HasPrefix(e.Code, "E0")
	advice := x.signer.advice()
	switch e.Status {
	case http.StatusUnauthorized:
		e.remedy = advice.unauthorized
		if e.Code == codeNotPermitted {
			e.remedy = advice.feature
		}
	case http.StatusForbidden:
		e.remedy = advice.forbidden
		if e.asks(CodeInsufficientScope) && scope != "" {
			e.remedy = advice.scope(scope)
		}
	case http.StatusNotFound:
		switch {
		// Only Okta's own word makes an object gone: a proxy's 404 must delete nothing.
		case e.Code == codeNotFound && x.id != "":
			e.Kind = Gone
		case !byOkta:
			e.remedy = remedyNoOkta
		}
	case http.StatusConflict, http.StatusPreconditionFailed:
		e.Kind = Conflict
	case http.StatusRequestURITooLong:
		e.remedy = remedyURLTooLong
	case http.StatusRequestTimeout:
		e.Kind, e.SmallerPage = RetryLater, x.list
	}
	switch {
	case e.asks(codeUseNonce): // it was asked for twice in a moment
		e.Kind, e.remedy = RetryLater, ""
		return
	case e.asks(codeInvalidProof):
		e.remedy = tokenRemedies[codeInvalidProof]
		return
	}
	if byOkta && e.Status == http.StatusBadRequest || e.Code == codeInvalidSearch || e.Code == codeInvalidFilter {
		x.badExpression(e)
	}
}

// badExpression names the setting behind an expression that Okta refused. Which code
// Okta uses varies (facts.md §6), so any 400 of a call with an expression counts,
// except one about the cursor of a later page.
func (x *exchange) badExpression(e *Error) {
	if e.Code == codeInvalidPaging {
		return
	}
	if e.Summary == "" && len(e.Causes) == 0 {
		e.detail = join(e.detail, "Okta gave no reason")
	}
	q := x.target.Query()
	switch {
	case x.template == usersEndpoint.template && (q.Has("search") || q.Has("filter")):
		e.remedy = remedyUserSearch
	case x.template == groupsEndpoint.template && q.Has("filter"):
		e.remedy = remedyGroupFilter
	}
}

func (x *exchange) serverError(e *Error, h http.Header, page *Page) {
	e.Kind = RetryLater
	timedOut := e.Status == http.StatusInternalServerError && e.Code == codeInternal || e.Status == http.StatusGatewayTimeout
	e.SmallerPage = timedOut && x.list
	if wait, ok := readRetryAfter(h, x.answeredAt(page)); ok {
		x.setExplicit(e, wait)
	}
}

// limited makes the error of a 429.
func (x *exchange) limited(e *Error, h http.Header, page *Page) error {
	e.Kind = RetryLater
	now := x.answeredAt(page)
	rl := &RateLimitError{Rate: page.Rate}
	if wait, ok := readRetryAfter(h, now); ok {
		x.setExplicit(e, max(wait, minWait))
		rl.Concurrency = page.Rate.Known && page.Rate.Limit == 0
	} else {
		e.RetryAfter, rl.Concurrency = limitWait(page.Rate, now, x.jitter)
		e.remedy = fmt.Sprintf("wait %s", e.RetryAfter.Round(time.Second))
	}
	if rl.Concurrency {
		e.detail = join("too many calls at the same time", e.detail)
	}
	rl.APIError, rl.Wait = *e, e.RetryAfter
	return rl
}

// answeredAt is the server's time of an answer: waits are counted from it, since
// the local clock may be wrong (facts.md §5).
func (x *exchange) answeredAt(page *Page) time.Time {
	if page.Date.IsZero() {
		return x.limits.time()
	}
	return page.Date
}

// setExplicit obeys a Retry-After header, or makes a matter for people of it.
func (x *exchange) setExplicit(e *Error, wait time.Duration) {
	e.RetryAfter, e.Explicit = wait, true
	if wait > MaxRetryAfter {
		e.Kind = Permanent
		e.detail = join(e.detail, fmt.Sprintf("Retry-After asks for %s", wait))
		e.remedy = remedyRetryTooLong
		return
	}
	e.remedy = fmt.Sprintf("wait %s as Retry-After asks", wait)
}

// challenge is what WWW-Authenticate says: the body of a 401 or 403 may not say it
// (facts.md §6).
type challenge struct{ code, text, scope string }

var (
	challengeCode  = regexp.MustCompile(`(?i)\berror="([^"]*)"`)
	challengeText  = regexp.MustCompile(`(?i)\berror_description="([^"]*)"`)
	challengeScope = regexp.MustCompile(`(?i)\bscope="([^"]*)"`)
)

func (x *exchange) challenge(h http.Header) challenge {
	header := strings.Join(h.Values("Www-Authenticate"), ", ")
	find := func(re *regexp.Regexp) string {
		if m := re.FindStringSubmatch(header); len(m) == 2 {
			return x.tidy(m[1], maxSummary)
		}
		return ""
	}
	return challenge{find(challengeCode), find(challengeText), find(challengeScope)}
}

// location names the host of a redirect, nothing else of it.
func (x *exchange) location(h http.Header) string {
	u, err := url.Parse(h.Get("Location"))
	switch {
	case err != nil:
		return "a malformed URL"
	case u.Host == "":
		return "another path"
	}
	return x.tidy(u.Host, maxQuote)
}

// quote returns the beginning of a text of the server, in quotation marks.
//
// What looks like a part of JSON is not quoted: it may hold people's data.
func (x *exchange) quote(text []byte) string {
	if bytes.Contains(text, []byte(`":`)) {
		return "that holds a part of JSON"
	}
	return `"` + x.tidy(string(text), maxQuote) + `"`
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ": " + b
}
