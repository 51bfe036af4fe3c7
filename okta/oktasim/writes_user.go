package oktasim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// maxGroupIDs is how many groups a create may name (facts.md §13).
const maxGroupIDs = 20

// CreateUser creates a user of the default type, as POST
// /users?activate=true|false without a password does, and returns the id. The
// profile needs login, email, firstName and lastName. The user joins Everyone.
func (o *Org) CreateUser(profile map[string]any, activate bool) (id string, err error) {
	u, err := o.createUser(newUser{profile: attrsOf(profile), activate: activate})
	if err != nil {
		return "", err
	}
	return u, nil
}

// UpdateUser changes the named attributes of a profile, as POST /users/{id}
// does: nil clears one. lastUpdated moves even when nothing changes.
func (o *Org) UpdateUser(id string, profile map[string]any) error {
	return o.updateUser(id, userChange{profile: attrsOf(profile)})
}

// SetStatus sets a user's status, whatever it was before: what the lifecycle
// endpoints refuse, and what only a sign-in brings about, is possible here.
// Memberships stay, as in Okta.
func (o *Org) SetStatus(id, status string) error {
	if !slices.Contains(Statuses, status) {
		return errValidation("status", fmt.Sprintf("status: %q is not a user status", status))
	}
	return o.changeUser(id, func(u *user) error {
		o.setStatus(u, status)
		return nil
	})
}

// SignIn records a login now. Only lastLogin moves (facts.md §14).
func (o *Org) SignIn(id string) error {
	return o.changeUser(id, func(u *user) error {
		u.lastLogin = o.stampNow()
		return nil
	})
}

// DeleteUser removes a user for good, as the second DELETE does, of any status.
// Its memberships go with it. No group's stamp moves: no source says that Okta
// moves one (facts.md §15), so a connector must not need it.
func (o *Org) DeleteUser(id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	u := o.user(id)
	if u == nil {
		return errNotFound(id, "User")
	}
	o.dropUser(u)
	return nil
}

// newUser is the body and the parameters of a create.
type newUser struct {
	profile     attrs
	credentials json.RawMessage
	groupIDs    []string
	typeID      string
	activate    bool
	expire      bool // nextLogin=changePassword
}

// userChange is the body of an update; absent parts stay as they are.
type userChange struct {
	profile     attrs
	credentials json.RawMessage
	typeID      string
	replace     bool // PUT: what is not named goes
}

func (o *Org) createUser(n newUser) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()

	t := o.types[0]
	if n.typeID != "" {
		if t = o.userType(n.typeID); t == nil {
			return "", errValidation("type", fmt.Sprintf("type: no user type %s", n.typeID))
		}
	}
	profile := n.profile.withoutNulls()
	if err := o.checkProfile("newUser", t, profile, nil); err != nil {
		return "", err
	}
	if len(n.groupIDs) > maxGroupIDs {
		return "", &Error{http.StatusBadRequest, "E0000093", "Target count limit exceeded", []string{fmt.Sprintf("groupIds: at most %d groups", maxGroupIDs)}}
	}
	for _, id := range n.groupIDs {
		if _, err := o.writableGroup(id); err != nil {
			return "", err
		}
	}

	now := o.stampNow()
	u := &user{
		id: o.ids.mint(prefixUser), status: Staged, realmID: o.realmID, typeID: t.id,
		login: profile.text("login"), profile: profile.withNulls().encode(),
		created: now, lastUpdated: now,
	}
	password := o.setCredentials(u, n.credentials, now)
	if n.activate {
		u.activated, u.statusChanged = now, now
		switch {
		case password && n.expire:
			u.status = PasswordExpired
		case password:
			u.status = Active
		default:
			u.status = Provisioned
		}
	}
	u.render()
	record(o, &o.past.users, u.id, nil)
	o.insertUser(u)
	if everyone := o.everyone(); everyone != nil {
		o.join(everyone, u)
	}
	for _, id := range n.groupIDs {
		o.join(o.group(id), u)
	}
	return u.id, nil
}

func (o *Org) updateUser(ref string, c userChange) error {
	return o.changeUser(ref, func(u *user) error {
		// Only an option that is off by default allows it (facts.md §13).
		if u.status == Deprovisioned {
			return errNotFound(ref, "User")
		}
		t := o.userType(u.typeID)
		if t == nil {
			t = o.types[0]
		}
		if c.typeID != "" && c.typeID != u.typeID {
			if !c.replace {
				return errValidation("type", "type: only a full replace changes the user type")
			}
			if t = o.userType(c.typeID); t == nil {
				return errValidation("type", fmt.Sprintf("type: no user type %s", c.typeID))
			}
		}
		if c.profile != nil || c.replace {
			profile := c.profile.withoutNulls()
			if !c.replace {
				old, err := parseAttrs([]byte(cmp.Or(string(u.profile), "{}")))
				if err != nil {
					return errValidation("user", "profile: "+err.Error())
				}
				for _, a := range c.profile {
					if t.attribute(a.name) == nil {
						return errValidation("newUser", undefined(a.name))
					}
					if isNull(a.value) {
						old = old.without(a.name)
					} else {
						old = old.set(a.name, a.value)
					}
				}
				profile = old.withoutNulls()
			}
			if err := o.checkProfile("newUser", t, profile, u); err != nil {
				return err
			}
			o.unindexLogin(u)
			u.login = profile.text("login")
			u.profile = profile.withNulls().encode()
			o.indexLogin(u)
		}
		u.typeID = t.id
		u.lastUpdated = o.stampNow()
		o.setCredentials(u, c.credentials, u.lastUpdated)
		return nil
	})
}

// changeUser runs change on a user and encodes it anew unless change fails.
func (o *Org) changeUser(ref string, change func(*user) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	u := o.userByRef(ref)
	if u == nil {
		return errNotFound(ref, "User")
	}
	was := *u
	if err := change(u); err != nil {
		return err
	}
	record(o, &o.past.users, u.id, &was)
	u.render()
	return nil
}

// setStatus moves statusChanged and lastUpdated with the status.
func (o *Org) setStatus(u *user, status string) {
	now := o.stampNow()
	u.status, u.statusChanged, u.lastUpdated, u.transitioning = status, now, now, ""
	if (status == Active || status == Provisioned) && u.activated == 0 {
		u.activated = now
	}
}

func (o *Org) hasPassword(u *user) bool { return member(u.credentials, "password") != nil }

// setCredentials takes a password or recovery question from a request's
// credentials and says whether a password was given. An empty password object
// is none (user_create_update.http).
func (o *Org) setCredentials(u *user, raw json.RawMessage, now stamp) (password bool) {
	given, _ := parseAttrs(raw)
	stored, _ := parseAttrs(u.credentials)
	if pw, err := parseAttrs(given.get("password")); err == nil && len(pw) > 0 {
		password = true
		stored = stored.set("password", json.RawMessage("{}"))
		u.passwordChanged = now
	}
	if question := member(given.get("recovery_question"), "question"); question != nil {
		stored = stored.set("recovery_question", attrs{{"question", question}}.encode())
	}
	if stored.get("provider") == nil {
		stored = stored.set("provider", json.RawMessage(`{"type":"OKTA","name":"OKTA"}`))
	}
	u.credentials = stored.encode()
	return password
}

// dropUser removes a user and its memberships.
func (o *Org) dropUser(u *user) {
	for _, g := range o.groups {
		if g.remove(u.id) {
			o.keepMember(g, u, true)
		}
	}
	o.keepUser(u)
	o.unindexLogin(u)
	i, _ := slices.BinarySearchFunc(o.users, u.id, compareUserID)
	o.users = slices.Delete(o.users, i, i+1)
}
