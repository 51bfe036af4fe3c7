package oktasim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// listUsers is GET /users. The plain list and q leave out DEPROVISIONED users,
// filter and search include them (facts.md §1) and answer from an index that may
// be behind.
func listUsers(c *call) error {
	way, err := c.asked()
	if err != nil {
		return err
	}
	o, trimmed := c.org(), c.trimmed()
	l := listing[user]{
		kind: userKind, limits: limitUsers, mark: "0",
		source: func() ([]*user, error) { return o.users, nil },
		row:    func(u *user) listRow { return u.row(trimmed) },
	}
	index := func() ([]*user, error) { return o.indexUsers(), nil }
	switch way {
	case "search":
		vocabulary := o.userSearch()
		l.search, l.mark, l.source = &vocabulary, "", index
		l.match, err = compileQuery(c, vocabulary, way)
	case "filter":
		l.source = index
		l.match, err = compileQuery(c, userFilter, way)
	case "q":
		l.limits, l.single = limitUsersQ, true
		l.match = startsWith(c.query.Get("q"))
	default:
		l.match = func(u *user) bool { return u.status != Deprovisioned }
	}
	if err != nil {
		return err
	}
	return l.answer(c)
}

// startsWith is what q finds: live users whose name or e-mail starts with it.
func startsWith(q string) predicate[user] {
	q = strings.ToLower(q)
	starts := func(u *user, name string) bool {
		return strings.HasPrefix(strings.ToLower(rawText(member(u.profile, name))), q)
	}
	return func(u *user) bool {
		return u.status != Deprovisioned && u.profile != nil && (starts(u, "firstName") || starts(u, "lastName") || starts(u, "email"))
	}
}

func getUser(c *call) error {
	if err := c.forbidden(); err != nil {
		return err
	}
	o := c.org()
	o.mu.RLock()
	u := o.userByRef(c.ids[0])
	if u == nil {
		o.mu.RUnlock()
		return errNotFound(c.ids[0], "User")
	}
	body, etag := u.single(o.schemaOf(u.typeID), c.trimmed()), u.etag()
	o.mu.RUnlock()
	c.w.Header().Set("ETag", etag)
	return c.writeJSON(body)
}

func createUser(c *call) error {
	body, err := c.readBody()
	if err != nil {
		return err
	}
	n := newUser{credentials: body.get("credentials"), typeID: typeOf(body)}
	if n.activate, err = boolParam(c, "activate", true); err != nil {
		return err
	}
	n.expire = c.query.Get("nextLogin") == "changePassword"
	if n.profile, err = profileOf(body); err != nil {
		return err
	}
	if n.profile == nil {
		return errValidation("profile", "profile: The field cannot be left blank")
	}
	if ids := body.get("groupIds"); !isNull(ids) && json.Unmarshal(ids, &n.groupIDs) != nil {
		return errBadJSON()
	}
	id, err := c.org().createUser(n)
	if err != nil {
		return err
	}
	return answerUser(c, id)
}

func updateUser(c *call) error { return changeUser(c, false) }

func replaceUser(c *call) error { return changeUser(c, true) }

func changeUser(c *call, replace bool) error {
	body, err := c.readBody()
	if err != nil {
		return err
	}
	change := userChange{credentials: body.get("credentials"), typeID: typeOf(body), replace: replace}
	if change.profile, err = profileOf(body); err != nil {
		return err
	}
	if replace && change.profile == nil {
		return errValidation("profile", "profile: The field cannot be left blank")
	}
	if want := c.r.Header.Get("If-Match"); want != "" {
		if err := checkETag(c, want); err != nil {
			return err
		}
	}
	if err := c.org().updateUser(c.ids[0], change); err != nil {
		return err
	}
	return answerUser(c, c.ids[0])
}

// checkETag is If-Match. Okta documents that it exists (SPEC updateUser), not
// how it refuses; 412 is HTTP's own answer.
func checkETag(c *call, want string) error {
	o := c.org()
	o.mu.RLock()
	defer o.mu.RUnlock()
	if u := o.userByRef(c.ids[0]); u != nil && u.etag() != want && want != "*" {
		return &Error{http.StatusPreconditionFailed, "E0000031", "The user has changed since the ETag was read.", nil}
	}
	return nil
}

// answerUser answers a write with the whole user. One who was deleted in the
// meantime is a 404, as in Okta.
func answerUser(c *call, ref string) error {
	o := c.org()
	o.mu.RLock()
	u := o.userByRef(ref)
	if u == nil {
		o.mu.RUnlock()
		return errNotFound(ref, "User")
	}
	body := u.single(o.schemaOf(u.typeID), false)
	o.mu.RUnlock()
	return c.writeJSON(body)
}

// deleteUser deactivates on the first call and deletes on the second; both
// answer 204 (facts.md §13).
func deleteUser(c *call) error {
	o := c.org()
	o.mu.Lock()
	u := o.userByRef(c.ids[0])
	if u == nil {
		o.mu.Unlock()
		return errNotFound(c.ids[0], "User")
	}
	if u.status == Deprovisioned {
		o.dropUser(u)
	} else {
		o.keepUser(u)
		o.setStatus(u, Deprovisioned)
		u.render()
	}
	o.mu.Unlock()
	return c.noContent()
}

func activateUser(c *call) error {
	sendEmail, err := boolParam(c, "sendEmail", true)
	if err != nil {
		return err
	}
	err = c.org().changeUser(c.ids[0], func(u *user) error {
		if u.status != Staged && u.status != Deprovisioned {
			return &Error{http.StatusForbidden, "E0000016", "Activation failed because the user is already active", nil}
		}
		o := c.org()
		status := Provisioned
		// One who comes back from deactivation has to welcome a new password.
		if u.status == Staged && o.hasPassword(u) {
			status = Active
		}
		u.activated = o.stampNow()
		o.setStatus(u, status)
		return nil
	})
	if err != nil {
		return err
	}
	if sendEmail {
		return c.writeJSON([]byte("{}"))
	}
	const token = "XE6wE17zmphl3KqAPFxO" // #nosec G101 -- the sample of Okta's documents, good for nothing
	return c.writeJSON(append(append([]byte(`{"activationUrl":"`), basePlaceholder), `/welcome/`+token+`","activationToken":"`+token+`"}`...))
}

func deactivateUser(c *call) error {
	return lifecycle(c, func(status string) (string, error) {
		if status == Deprovisioned {
			return "", errNotFound(c.ids[0], "User") // facts.md §13
		}
		return Deprovisioned, nil
	})
}

func suspendUser(c *call) error {
	return lifecycle(c, func(status string) (string, error) {
		if status != Active {
			return "", errWrongState()
		}
		return Suspended, nil
	})
}

func unsuspendUser(c *call) error {
	return lifecycle(c, func(status string) (string, error) {
		if status != Suspended {
			return "", errWrongState()
		}
		return Active, nil
	})
}

func lifecycle(c *call, next func(status string) (string, error)) error {
	o := c.org()
	err := o.changeUser(c.ids[0], func(u *user) error {
		status, err := next(u.status)
		if err != nil {
			return err
		}
		o.setStatus(u, status)
		return nil
	})
	if err != nil {
		return err
	}
	return c.writeJSON([]byte("{}"))
}

func typeOf(body attrs) string {
	if typ := body.get("type"); !isNull(typ) && typ[0] == '{' {
		return rawText(member(typ, "id"))
	}
	return ""
}

// profileOf returns a body's profile, nil when there is none.
func profileOf(body attrs) (attrs, error) {
	raw := body.get("profile")
	if isNull(raw) {
		return nil, nil
	}
	profile, err := parseAttrs(raw)
	if err != nil {
		return nil, errBadJSON()
	}
	if profile == nil {
		profile = attrs{}
	}
	return profile, nil
}

func boolParam(c *call, name string, otherwise bool) (bool, error) {
	if !c.query.Has(name) {
		return otherwise, nil
	}
	v, err := strconv.ParseBool(c.query.Get(name))
	if err != nil {
		return false, errValidation(name, name+": must be true or false")
	}
	return v, nil
}
