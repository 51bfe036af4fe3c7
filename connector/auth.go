package connector

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// The values of [Auth.Mode].
const (
	// ModeAPIKey is a static Okta API token (SSWS).
	ModeAPIKey = "ApiKey"
	// ModeOAuth is an OAuth 2.0 service app: client credentials with a private-key JWT.
	ModeOAuth = "OAuth"
)

// The scopes that the passes need (facts.md §10).
const (
	ScopeUsers  = "okta.users.read"
	ScopeGroups = "okta.groups.read" // also of their members
)

// Auth is AuthJson (runbook, Step 3). It holds a reference, never the secret itself.
type Auth struct {
	// Mode is [ModeAPIKey] or [ModeOAuth]. Each has fields of its own.
	Mode string `json:"Mode"`

	// APIKey is the reference of the API token, such as secret://okta/contoso/apitoken.
	APIKey string `json:"ApiKey,omitempty"`

	// ClientID is the service app's client id, such as 0oa1gjh63g214q0Hq0g4.
	ClientID string `json:"ClientId,omitempty"`
	// PrivateKey is the reference of its private key, a PEM or JWK text, such as
	// secret://okta/contoso/privatekey.
	PrivateKey string `json:"PrivateKey,omitempty"`
	// KeyID names the key among those of the app; "" takes the "kid" of a JWK, if there
	// is one. An app with one key needs none.
	KeyID string `json:"KeyId,omitempty"`
	// Scopes are asked for; none means those that the passes need. See
	// [Definition.Scopes].
	Scopes []string `json:"Scopes,omitempty"`
}

// Secret returns the secret reference of the mode, "" for an unknown one.
func (a Auth) Secret() string {
	switch a.Mode {
	case ModeAPIKey:
		return a.APIKey
	case ModeOAuth:
		return a.PrivateKey
	default:
		return ""
	}
}

// SecretField names the field of [Auth.Secret], such as "AuthJson.ApiKey".
func (a Auth) SecretField() string {
	if a.Mode == ModeOAuth {
		return "AuthJson.PrivateKey"
	}
	return "AuthJson.ApiKey"
}

// Scopes returns the OAuth scopes that a service app asks Okta for: those of AuthJson,
// else those that the passes which are on need. Another mode has none.
func (d *Definition) Scopes() []string {
	switch {
	case d.Auth.Mode != ModeOAuth:
		return nil
	case len(d.Auth.Scopes) > 0:
		return slices.Clone(d.Auth.Scopes)
	default:
		return d.Config.scopes()
	}
}

// scopes are the scopes that the passes need.
func (c *Config) scopes() []string {
	var all []string
	if c.ImportUsers {
		all = append(all, ScopeUsers)
	}
	if c.ImportGroups || c.ImportMemberships {
		all = append(all, ScopeGroups)
	}
	return all
}

// Limits of the fields of OAuth.
const (
	maxClientID = 100 // as long as Okta allows a custom one
	maxKeyID    = 255
)

var (
	// clientID is what Okta lets a client id hold.
	clientID = regexp.MustCompile(`^[A-Za-z0-9$_.+!*'()-]+$`)
	keyID    = regexp.MustCompile(`^[[:graph:]]+$`)
	// readScope is a scope that lets read; the connector writes nothing to Okta.
	readScope = regexp.MustCompile(`^okta\.[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)*\.read$`)
)

// authFields are the fields of each mode besides Mode.
var authFields = map[string][]string{
	ModeAPIKey: {"ApiKey"},
	ModeOAuth:  {"ClientId", "PrivateKey", "KeyId", "Scopes"},
}

func readAuth(ps *problems, raw json.RawMessage, a *Auth) {
	o, ok := readPart(ps, "AuthJson", raw)
	if !ok {
		return
	}
	o.required("Mode", &a.Mode)
	switch a.Mode {
	case ModeAPIKey:
		o.required("ApiKey", &a.APIKey)
		o.refuse(authFields[ModeOAuth], ModeOAuth, a.Mode)
	case ModeOAuth:
		o.readApp(a, o.required)
		o.refuse(authFields[ModeAPIKey], ModeAPIKey, a.Mode)
	default: // check says so; what is there is still read
		o.text("ApiKey", &a.APIKey)
		o.readApp(a, o.text)
	}
	o.rest()
}

// readApp reads the fields of a service app; must reads the two that it needs.
func (o *object) readApp(a *Auth, must func(name string, into *string)) {
	must("ClientId", &a.ClientID)
	must("PrivateKey", &a.PrivateKey)
	o.text("KeyId", &a.KeyID)
	if _, given := o.members["KeyId"]; given && a.KeyID == "" && !o.ps.has(o.field("KeyId")) {
		o.ps.add(o.field("KeyId"), "is empty; leave it out when the app has one key, or when the key is a JWK with a \"kid\"")
	}
	o.list("Scopes", &a.Scopes)
	if _, given := o.members["Scopes"]; given && len(a.Scopes) == 0 && !o.ps.has(o.field("Scopes")) {
		o.ps.add(o.field("Scopes"), "is empty; leave it out to ask for what the passes need")
	}
}

const otherMode = "belongs to Mode %q, but Mode is %q; remove it, or change Mode"

// refuse reports the fields of the other mode, and takes them for known.
func (o *object) refuse(names []string, other, mode string) {
	for _, name := range names {
		if _, given := o.members[name]; given && !o.ps.has(o.field(name)) {
			o.ps.add(o.field(name), otherMode, other, mode)
		}
		o.order = slices.DeleteFunc(o.order, func(n string) bool { return n == name })
	}
}

// checkAuth never shows a value: somebody may have pasted a token or a key into any field.
func (d *Definition) checkAuth(ps *problems) {
	a := &d.Auth
	switch {
	case ps.has("AuthJson.Mode"):
	case a.Mode == ModeAPIKey:
		a.checkUnused(ps)
		checkRef(ps, "AuthJson.ApiKey", a.APIKey, tokenSecret)
	case a.Mode == ModeOAuth:
		a.checkUnused(ps)
		a.checkApp(ps)
		d.checkScopes(ps)
	default:
		ps.add("AuthJson.Mode", "must be %q or %q", ModeAPIKey, ModeOAuth)
	}
}

// checkUnused refuses the other mode's fields in a definition made by hand; in a parsed
// one they are empty.
func (a *Auth) checkUnused(ps *problems) {
	given := map[string]bool{
		"ApiKey": a.APIKey != "", "ClientId": a.ClientID != "", "PrivateKey": a.PrivateKey != "", "KeyId": a.KeyID != "", "Scopes": len(a.Scopes) > 0,
	}
	other := ModeOAuth
	if a.Mode == ModeOAuth {
		other = ModeAPIKey
	}
	for _, name := range authFields[other] {
		if given[name] {
			ps.add("AuthJson."+name, otherMode, other, a.Mode)
		}
	}
}

func (a *Auth) checkApp(ps *problems) {
	if field := "AuthJson.ClientId"; !ps.has(field) {
		switch {
		case strings.TrimSpace(a.ClientID) == "":
			ps.add(field, "is empty; it must be the service app's client id, such as 0oa1gjh63g214q0Hq0g4")
		case strings.HasPrefix(a.ClientID, "secret://"):
			ps.add(field, "must be the service app's client id itself, such as 0oa1gjh63g214q0Hq0g4: it is no secret")
		case len(a.ClientID) > maxClientID || !clientID.MatchString(a.ClientID):
			ps.add(field, "is no client id; Okta shows it in the service app under General, Client Credentials, such as 0oa1gjh63g214q0Hq0g4")
		}
	}
	checkRef(ps, "AuthJson.PrivateKey", a.PrivateKey, keySecret)
	if field := "AuthJson.KeyId"; a.KeyID != "" && !ps.has(field) && (len(a.KeyID) > maxKeyID || !keyID.MatchString(a.KeyID)) {
		ps.add(field, "must be the key's \"kid\", at most %d characters without spaces; Okta shows it in the service app under General, Public keys", maxKeyID)
	}
}

func (d *Definition) checkScopes(ps *problems) {
	const field = "AuthJson.Scopes"
	scopes := d.Auth.Scopes
	if len(scopes) == 0 || ps.has(field) {
		return
	}
	for i, scope := range scopes {
		switch {
		case !readScope.MatchString(scope):
			ps.add(field, "entry %d must be a scope that reads, such as %q: the connector writes nothing to Okta and asks for no more than it needs", i+1, ScopeUsers)
			return
		case slices.Contains(scopes[:i], scope):
			ps.add(field, "entry %d is there twice", i+1)
			return
		}
	}
	for _, needed := range d.Config.scopes() {
		if !slices.Contains(scopes, needed) {
			ps.add(field, "lacks %s, which the passes that are on need; add it, or leave Scopes out", needed)
		}
	}
}

// secretKind is what a reference stands for, in messages.
type secretKind struct{ what, form, leaked string }

var (
	tokenSecret = secretKind{
		"the API token", "such as secret://okta/contoso/apitoken",
		"If this was a real token, revoke it in Okta (Security, API, Tokens)",
	}
	keySecret = secretKind{
		"the private key", "such as secret://okta/contoso/privatekey",
		"If this was a real key, replace it in Okta (the service app, General, Public keys)",
	}
)

func checkRef(ps *problems, field, ref string, k secretKind) {
	if ps.has(field) {
		return
	}
	short := k.what[strings.LastIndexByte(k.what, ' ')+1:]
	switch {
	case strings.TrimSpace(ref) == "":
		ps.add(field, "is empty; it must be the reference of %s, %s", k.what, k.form)
	case !strings.HasPrefix(ref, "secret://"):
		ps.add(field, "must be a secret reference, %s, never the %s itself: "+
			"store the %s with `starter secret set REF` and write the reference here. %s", k.form, short, short, k.leaked)
	case tokenShape.MatchString(ref):
		ps.add(field, "looks like an API token behind secret://; write a reference, %s. %s", k.form, k.leaked)
	case len(ref) > maxSecretRef:
		ps.add(field, "is too long: a secret reference has at most 200 characters")
	case !secretRef.MatchString(ref) || dotSegment.MatchString(ref):
		ps.add(field, "is no secret reference: after secret:// come two or more parts of "+
			"letters, digits, dots, underscores and dashes, separated by /, %s", k.form)
	}
}
