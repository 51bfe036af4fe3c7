package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
	"github.com/identitymesh/okta-connector/secrets"
)

// UnusedLimit is after how long without use Okta revokes an API token (runbook, Step 1).
const UnusedLimit = 30 * 24 * time.Hour

// secret resolves the reference, judges the value and makes credentials of it.
func (c *check) secret(ctx context.Context) (okta.Credentials, bool) {
	ref, err := secrets.ParseRef(c.def.Auth.Secret())
	if err != nil { // a definition is checked for this
		c.fail(Secret, err.Error(), "correct "+c.def.Auth.SecretField()+" in the definition")
		return nil, false
	}
	c.ref = ref
	backend, err := c.Secrets(c.store)
	if err != nil {
		c.fail(Secret, err.Error(), "")
		return nil, false
	}
	defer func() { _ = backend.Close() }() // it was only read
	place, err := backend.Where(ref)
	if err != nil {
		c.noSecret(err)
		return nil, false
	}
	value, err := backend.Resolve(ctx, ref)
	if err != nil {
		c.noSecret(err)
		return nil, false
	}
	defer value.Wipe()
	credentials, problem, advice := c.credentials(value.Reveal())
	if problem != "" {
		c.fail(Secret, fmt.Sprintf("%s in %s %s", ref, place, problem), advice+", and "+backend.HowToStore(ref))
		return nil, false
	}
	c.ok(Secret, "%s in %s, readable", ref, place)
	info, err := backend.Stat(ctx, ref)
	if err != nil { // it may be read, which is all that a run does
		info = secrets.Info{}
	}
	c.age(info)
	if !c.oauth() { // Okta revokes no key that nobody uses
		c.lastUse(ctx, info.Updated)
	}
	return credentials, true
}

// credentials makes them of a value, as an import does, or says what is wrong with it.
func (c *check) credentials(value string) (_ okta.Credentials, problem, advice string) {
	if !c.oauth() {
		return okta.APIToken(value), shape(value), "copy the token's value alone, without \"SSWS\" and without quotes"
	}
	app := okta.ServiceApp{ClientID: c.def.Auth.ClientID, PrivateKey: value, KeyID: c.def.Auth.KeyID, Scopes: c.def.Scopes()}
	credentials, err := app.Credentials()
	if err != nil { // it holds no part of the key
		return nil, "cannot be used: " + message(err), "take the private key of the service app, as PEM or JWK"
	}
	return credentials, "", ""
}

// noSecret notes a secret that cannot be had.
func (c *check) noSecret(err error) {
	e, ok := errors.AsType[*secrets.Error](err)
	if !ok { // its text says what to do
		c.fail(Secret, err.Error(), "")
		return
	}
	bare := *e
	bare.Remedy = ""
	c.fail(Secret, bare.Error(), e.Remedy)
}

// shape says what is wrong with a token as a token, "" for nothing. It does not repeat it.
func shape(token string) string {
	trimmed := strings.TrimSpace(token)
	switch {
	case trimmed == "":
		return "is empty"
	case len(token) > 4 && strings.EqualFold(token[:4], "SSWS") && !isTokenRune(rune(token[4])):
		return `begins with "SSWS", which the connector adds itself`
	case strings.HasPrefix(trimmed, "-----BEGIN"):
		return "is a key or a certificate, not an API token"
	case strings.HasPrefix(trimmed, "{"):
		return "is JSON, not an API token"
	case strings.HasPrefix(trimmed, "secret://"):
		return "is a reference itself, not an API token"
	case strings.HasPrefix(trimmed, "eyJ") && strings.Count(trimmed, ".") == 2:
		return "is a JSON Web Token, such as an OAuth access token, not an API token"
	case strings.HasSuffix(token, "\n"), strings.HasSuffix(token, "\r"):
		return "ends with a line break"
	case trimmed != token:
		return "begins or ends with a space"
	case len(token) > 1 && (token[0] == '"' || token[0] == '\'') && token[len(token)-1] == token[0]:
		return "is in quotes"
	case strings.HasPrefix(token, "<") && strings.HasSuffix(token, ">"):
		return "is a placeholder in angle brackets"
	case strings.ContainsFunc(token, unicode.IsSpace):
		return "holds a space or a line break"
	case strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }):
		return "holds a character that no token has"
	}
	return ""
}

// isTokenRune says whether a token may hold the character.
func isTokenRune(r rune) bool {
	return r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}

func (c *check) age(info secrets.Info) {
	age, known := info.Age(c.Now())
	if !known {
		c.ok(SecretAge, "its backend does not say when it was stored")
		return
	}
	found := "stored on " + info.Updated.UTC().Format(time.DateOnly)
	if age > secrets.RotateAfter {
		c.warn(SecretAge, found+", "+days(age)+" ago", fmt.Sprintf("it is older than %s: make a new one in Okta, store it under the same reference, "+
			"and revoke the old one after the next run; runs under way take the new one up", days(secrets.RotateAfter)))
		return
	}
	c.ok(SecretAge, "%s; rotate it by %s", found, info.Updated.Add(secrets.RotateAfter).UTC().Format(time.DateOnly))
}

// lastUse judges by the runs of the connector whether Okta may have revoked the token: Okta
// does not tell when one was last used (runbook, Step 1).
func (c *check) lastUse(ctx context.Context, stored time.Time) {
	used, known := time.Time{}, false
	if c.store != nil {
		runs, err := c.store.Runs(ctx, c.Name, usesAtMost)
		if _, unknown := errors.AsType[*mesh.NotFoundError](err); err != nil && !unknown {
			c.fail(SecretUse, err.Error(), "")
			return
		}
		for _, r := range runs {
			if r.Outcome == mesh.Completed || r.Outcome == mesh.HeldDeletes {
				used, known = r.StartedAt, true
				if r.EndedAt != nil {
					used = *r.EndedAt
				}
				break
			}
		}
	}
	now := c.Now()
	advice := fmt.Sprintf("Okta revokes an API token that nobody uses for %s. This check uses it once; a schedule keeps it alive: `starter schedule apply %s --every 15m`",
		days(UnusedLimit), c.Name)
	switch fresh := now.Sub(stored) <= UnusedLimit; {
	case known && now.Sub(used) <= UnusedLimit:
		c.ok(SecretUse, "a run of this connector used it on %s", used.UTC().Format(time.DateOnly))
	case !stored.IsZero() && fresh:
		c.ok(SecretUse, "no run has used it yet; it was stored less than %s ago", days(UnusedLimit))
	case known:
		c.use = fmt.Sprintf("the last run that completed ended on %s, %s ago, and the secret has not been replaced since: most likely Okta has revoked the token because nobody used it for %s",
			used.UTC().Format(time.DateOnly), days(now.Sub(used)), days(UnusedLimit))
		c.warn(SecretUse, fmt.Sprintf("the last run that completed ended on %s, %s ago", used.UTC().Format(time.DateOnly), days(now.Sub(used))), advice)
	case stored.IsZero():
		c.ok(SecretUse, "not known: no run of this connector has completed")
	default:
		c.use = fmt.Sprintf("it was stored %s ago and no run of this connector has used it: most likely Okta has revoked the token because nobody used it for %s", days(now.Sub(stored)), days(UnusedLimit))
		c.warn(SecretUse, fmt.Sprintf("it was stored %s ago, and no run of this connector has completed since", days(now.Sub(stored))), advice)
	}
}

// usesAtMost is how many runs are looked through for one that completed.
const usesAtMost = 500

func days(d time.Duration) string {
	n := int(d / (24 * time.Hour))
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}
