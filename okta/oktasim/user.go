package oktasim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// The user statuses of Okta (facts.md §8).
const (
	Active          = "ACTIVE"
	Deprovisioned   = "DEPROVISIONED"
	LockedOut       = "LOCKED_OUT"
	PasswordExpired = "PASSWORD_EXPIRED"
	Provisioned     = "PROVISIONED"
	Recovery        = "RECOVERY"
	Staged          = "STAGED"
	Suspended       = "SUSPENDED"
)

// Statuses lists every user status that Okta documents.
var Statuses = []string{Active, Deprovisioned, LockedOut, PasswordExpired, Provisioned, Recovery, Staged, Suspended}

// user is one user. Its fields are guarded by Org.mu; the bytes of body are
// never changed once published, so a page may be written without the lock.
type user struct {
	id, status, transitioning string
	realmID, typeID           string
	login                     string // as in the profile
	created, activated        stamp
	statusChanged, lastLogin  stamp
	lastUpdated               stamp
	passwordChanged           stamp

	profile     json.RawMessage // part of body; nil only when a file had none
	credentials json.RawMessage // part of body
	extra       []byte          // members that this package does not know, each with a leading comma

	body            []byte // the list item, with basePlaceholder
	credAt, linksAt int    // where in body ,"credentials" and ,"_links" begin
}

func compareUserID(u *user, id string) int { return cmp.Compare(u.id, id) }

// render encodes the list item anew. It must follow every change.
func (u *user) render() {
	b := make([]byte, 0, len(u.profile)+len(u.credentials)+len(u.extra)+460)
	b = append(b, `{"id":`...)
	b = appendString(b, u.id)
	b = append(b, `,"status":`...)
	b = appendString(b, u.status)
	if u.transitioning != "" {
		b = append(b, `,"transitioningToStatus":`...)
		b = appendString(b, u.transitioning)
	}
	b = u.created.appendTo(append(b, `,"created":`...))
	b = u.activated.appendTo(append(b, `,"activated":`...))
	b = u.statusChanged.appendTo(append(b, `,"statusChanged":`...))
	b = u.lastLogin.appendTo(append(b, `,"lastLogin":`...))
	b = u.lastUpdated.appendTo(append(b, `,"lastUpdated":`...))
	b = u.passwordChanged.appendTo(append(b, `,"passwordChanged":`...))
	if u.realmID != "" {
		b = appendString(append(b, `,"realmId":`...), u.realmID)
	}
	if u.typeID != "" {
		b = appendString(append(b, `,"type":{"id":`...), u.typeID)
		b = append(b, '}')
	}
	profileAt := 0
	if u.profile != nil {
		b = append(b, `,"profile":`...)
		profileAt = len(b)
		b = append(b, u.profile...)
	}
	profileEnd := len(b)
	b = append(b, u.extra...)
	u.credAt = len(b)
	credentialsAt := 0
	if u.credentials != nil {
		b = append(b, `,"credentials":`...)
		credentialsAt = len(b)
		b = append(b, u.credentials...)
	}
	u.linksAt = len(b)
	b = append(b, `,"_links":{"self":{"href":"`...)
	b = append(b, basePlaceholder)
	b = append(b, `/api/v1/users/`...)
	b = append(b, u.id...)
	b = append(b, `"}}}`...)
	u.body = b
	// One copy of the bytes: profile and credentials point into the row.
	if profileAt > 0 {
		u.profile = b[profileAt:profileEnd:profileEnd]
	}
	if credentialsAt > 0 {
		u.credentials = b[credentialsAt:u.linksAt:u.linksAt]
	}
}

// row returns the list item; trimmed leaves out what the okta-response header
// asks to leave out (facts.md §1).
func (u *user) row(trimmed bool) listRow {
	if !trimmed {
		return listRow{id: u.id, head: u.body}
	}
	if u.transitioning != "" {
		c := *u
		c.transitioning = ""
		c.render()
		u = &c
	}
	return listRow{id: u.id, head: u.body[:u.credAt], tail: u.body[u.linksAt:]}
}

// plain is the user without links: the form of a file and of a snapshot.
func (u *user) plain() json.RawMessage {
	return append(append(make([]byte, 0, u.linksAt+1), u.body[:u.linksAt]...), '}')
}

// single is the answer of GET /users/{id}: the list item with the links that
// the user's status allows (recorded in user_create_update.http and
// user_deactivate_then_delete.http).
func (u *user) single(schemaID string, trimmed bool) []byte {
	row := u.row(trimmed)
	head := row.head
	if !trimmed {
		head = u.body[:u.linksAt]
	}
	b := append(make([]byte, 0, len(head)+1500), head...)
	b = append(b, `,"_links":{`...)
	first := true
	link := func(name, path, method string) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(b, name)
		b = append(b, `:{"href":"`...)
		b = append(b, basePlaceholder)
		b = append(b, path...)
		b = append(b, '"')
		if method != "" {
			b = append(b, `,"method":"`...)
			b = append(b, method...)
			b = append(b, '"')
		}
		b = append(b, '}')
	}
	self := "/api/v1/users/" + u.id
	for _, name := range userLinks[u.status] {
		if trimmed && credentialLinks[name] {
			continue
		}
		link(name, self+"/"+userLinkPaths[name], "POST")
	}
	if schemaID != "" {
		link("schema", "/api/v1/meta/schemas/user/"+schemaID, "")
		link("type", "/api/v1/meta/types/user/"+u.typeID, "")
	}
	link("self", self, "")
	if u.status == Deprovisioned {
		link("delete", self, "DELETE")
	}
	return append(b, "}}"...)
}

var userLinks = map[string][]string{
	Active:          {"suspend", "resetPassword", "forgotPassword", "expirePassword", "changeRecoveryQuestion", "resetFactors", "changePassword", "deactivate"},
	Provisioned:     {"suspend", "resetPassword", "reactivate", "resetFactors", "deactivate"},
	Staged:          {"activate", "resetFactors"},
	Deprovisioned:   {"activate", "resetFactors"},
	Suspended:       {"unsuspend", "resetPassword", "resetFactors", "deactivate"},
	LockedOut:       {"unlock", "resetPassword", "expirePassword", "resetFactors", "deactivate"},
	PasswordExpired: {"suspend", "resetPassword", "resetFactors", "changePassword", "deactivate"},
	Recovery:        {"suspend", "resetPassword", "resetFactors", "deactivate"},
}

var userLinkPaths = map[string]string{
	"activate": "lifecycle/activate", "reactivate": "lifecycle/reactivate",
	"deactivate": "lifecycle/deactivate", "suspend": "lifecycle/suspend",
	"unsuspend": "lifecycle/unsuspend", "unlock": "lifecycle/unlock",
	"resetPassword": "lifecycle/reset_password", "expirePassword": "lifecycle/expire_password",
	"resetFactors": "lifecycle/reset_factors", "forgotPassword": "credentials/forgot_password",
	"changePassword": "credentials/change_password", "changeRecoveryQuestion": "credentials/change_recovery_question",
}

// credentialLinks are the links that omitCredentialsLinks leaves out.
var credentialLinks = map[string]bool{
	"changePassword": true, "changeRecoveryQuestion": true, "forgotPassword": true,
	"resetPassword": true, "resetFactors": true, "unlock": true,
}

// etag follows the profile only: a status change leaves it as it was
// (facts.md §8).
func (u *user) etag() string {
	sum := sha256.Sum256(u.profile)
	return `W/"` + hex.EncodeToString(sum[:]) + `"`
}
