package oktasim

import (
	"encoding/json"
	"fmt"
	"net/mail"
	"slices"
	"unicode/utf8"
)

// withoutNulls leaves out what is null: Okta does not keep an unset attribute.
func (a attrs) withoutNulls() attrs {
	return slices.DeleteFunc(slices.Clone(a), func(x attr) bool { return isNull(x.value) })
}

// withNulls adds the two attributes that Okta shows as null when unset.
func (a attrs) withNulls() attrs {
	for _, name := range nullWhenUnset {
		if a.get(name) == nil {
			a = append(a, attr{name, json.RawMessage("null")})
		}
	}
	return a
}

func undefined(name string) string {
	return fmt.Sprintf("Property name '%s' is not defined in profile", name)
}

// checkProfile holds a user's profile against its schema. current is the user
// who is changed, nil for a new one. The first kind of fault found is reported,
// with a cause for each attribute, as Okta does.
func (o *Org) checkProfile(of string, t *userType, profile attrs, current *user) error {
	var causes []string
	for _, a := range profile {
		if t.attribute(a.name) == nil {
			causes = append(causes, undefined(a.name))
		}
	}
	if causes != nil {
		return errValidation(of, causes...)
	}

	first := ""
	fail := func(name, cause string) {
		if first == "" {
			first = name
		}
		causes = append(causes, name+": "+cause)
	}
	for _, list := range [][]attribute{baseAttributes, t.custom} {
		for _, schema := range list {
			value := profile.get(schema.name)
			if cause := schema.check(value); cause != "" {
				fail(schema.name, cause)
			}
		}
	}
	login := profile.text("login")
	if causes == nil && !isEmail(login) {
		fail("login", "Username must be in the form of an email address")
	}
	if causes == nil && (current == nil || foldLogin(current.login) != foldLogin(login)) && len(o.byLogin[foldLogin(login)]) > 0 {
		fail("login", "An object with this field already exists in the current organization")
	}
	if causes != nil {
		return errValidation(first, causes...)
	}
	return nil
}

// check returns what is wrong with a value, "" for nothing. The texts of the
// type errors are this simulator's own; clients act on the code.
func (a attribute) check(value json.RawMessage) string {
	if isNull(value) {
		if a.required {
			return "The field cannot be left blank"
		}
		return ""
	}
	kind := jsonKind(value)
	if kind != a.typ && (a.typ != "number" || kind != "integer") && a.typ != "" {
		return fmt.Sprintf("The value must be of type %s", a.typ)
	}
	switch kind {
	case "string":
		text := rawText(value)
		n := utf8.RuneCountInString(text)
		switch {
		case a.required && n == 0:
			return "The field cannot be left blank"
		case n < a.min:
			return fmt.Sprintf("The field must be at least %d characters long", a.min)
		case a.max > 0 && n > a.max:
			return "The field is too long"
		case a.format == "email" && n > 0 && !isEmail(text):
			return "Does not match required pattern"
		case len(a.enum) > 0 && !slices.Contains(a.enum, text):
			return "The value is not one of the enumerated values"
		}
	case "array":
		learned, ok := inferAttribute(a.name, value)
		if !ok || (learned.items != a.items && string(value) != "[]" && (a.items != "number" || learned.items != "integer")) {
			return fmt.Sprintf("The value must be an array of type %s", a.items)
		}
	}
	return ""
}

func isEmail(s string) bool {
	addr, err := mail.ParseAddress(s)
	return err == nil && addr.Address == s
}
