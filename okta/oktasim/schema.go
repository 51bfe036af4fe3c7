package oktasim

import (
	"cmp"
	"encoding/json"
	"slices"
)

// attribute is one property of a profile schema.
type attribute struct {
	name, title string
	typ         string // string, boolean, integer, number, array
	items       string // element type of an array
	format      string
	required    bool
	min, max    int // lengths; 0 none
	enum        []string
}

// userType is one user type with the custom part of its schema; the base part
// is the same for all (facts.md §11).
type userType struct {
	id, schemaID      string
	name, displayName string
	description       string
	isDefault         bool
	created           stamp
	lastUpdated       stamp
	custom            []attribute
}

// baseAttributes are the 31 attributes that every user may have, as recorded in
// schema_user_default.http. Lengths that the OpenAPI description gives and the
// recording does not are taken from there.
var baseAttributes = []attribute{
	{name: "login", title: "Username", typ: "string", required: true, min: 5, max: 100},
	{name: "firstName", title: "First name", typ: "string", required: true, min: 1, max: 50},
	{name: "lastName", title: "Last name", typ: "string", required: true, min: 1, max: 50},
	{name: "middleName", title: "Middle name", typ: "string"},
	{name: "honorificPrefix", title: "Honorific prefix", typ: "string"},
	{name: "honorificSuffix", title: "Honorific suffix", typ: "string"},
	{name: "email", title: "Primary email", typ: "string", required: true, format: "email", min: 5, max: 100},
	{name: "title", title: "Title", typ: "string"},
	{name: "displayName", title: "Display name", typ: "string"},
	{name: "nickName", title: "Nickname", typ: "string"},
	{name: "profileUrl", title: "Profile Url", typ: "string", format: "uri"},
	{name: "secondEmail", title: "Secondary email", typ: "string", format: "email", max: 100},
	{name: "mobilePhone", title: "Mobile phone", typ: "string", max: 100},
	{name: "primaryPhone", title: "Primary phone", typ: "string", max: 100},
	{name: "streetAddress", title: "Street address", typ: "string", max: 1024},
	{name: "city", title: "City", typ: "string", max: 128},
	{name: "state", title: "State", typ: "string", max: 128},
	{name: "zipCode", title: "Zip code", typ: "string", max: 50},
	{name: "countryCode", title: "Country code", typ: "string", format: "country-code", max: 2},
	{name: "postalAddress", title: "Postal Address", typ: "string", max: 4096},
	{name: "preferredLanguage", title: "Preferred language", typ: "string", format: "language-code"},
	{name: "locale", title: "Locale", typ: "string", format: "locale"},
	{name: "timezone", title: "Time zone", typ: "string", format: "timezone"},
	{name: "userType", title: "User type", typ: "string"},
	{name: "employeeNumber", title: "Employee number", typ: "string"},
	{name: "costCenter", title: "Cost center", typ: "string"},
	{name: "organization", title: "Organization", typ: "string"},
	{name: "division", title: "Division", typ: "string"},
	{name: "department", title: "Department", typ: "string"},
	{name: "managerId", title: "ManagerId", typ: "string"},
	{name: "manager", title: "Manager", typ: "string"},
}

// nullWhenUnset are the two attributes that Okta shows as null instead of
// leaving them out (facts.md §8).
var nullWhenUnset = []string{"mobilePhone", "secondEmail"}

var groupBaseAttributes = []attribute{
	{name: "name", title: "Name", typ: "string", required: true, max: 255},
	{name: "description", title: "Description", typ: "string", max: 1024},
}

// adGroupAttributes are what an imported Active Directory group has besides
// (facts.md §9).
var adGroupAttributes = []string{"samAccountName", "objectSid", "dn", "groupType", "groupScope", "windowsDomainQualifiedName", "externalId"}

func findAttribute(list []attribute, name string) *attribute {
	if i := slices.IndexFunc(list, func(a attribute) bool { return a.name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}

// attribute returns the schema of a profile attribute of this type.
func (t *userType) attribute(name string) *attribute {
	if a := findAttribute(baseAttributes, name); a != nil {
		return a
	}
	return findAttribute(t.custom, name)
}

func (o *Org) userType(id string) *userType {
	for _, t := range o.types {
		if t.id == id {
			return t
		}
	}
	return nil
}

// anyUserAttribute returns an attribute that at least one user type has.
func (o *Org) anyUserAttribute(name string) *attribute {
	if a := findAttribute(baseAttributes, name); a != nil {
		return a
	}
	for _, t := range o.types {
		if a := findAttribute(t.custom, name); a != nil {
			return a
		}
	}
	return nil
}

// groupAttribute returns an attribute of any group's profile.
func (o *Org) groupAttribute(name string) *attribute {
	if a := findAttribute(groupBaseAttributes, name); a != nil {
		return a
	}
	if a := findAttribute(o.groupAttrs, name); a != nil {
		return a
	}
	if slices.Contains(adGroupAttributes, name) {
		return &attribute{name: name, typ: "string"}
	}
	return nil
}

// inferAttribute reads an attribute's type off a value, for a file that brings no
// schema. ok is false for a value that no Okta attribute can have; a null says
// nothing and gives the type "".
func inferAttribute(name string, value json.RawMessage) (a attribute, ok bool) {
	a = attribute{name: name, title: name}
	switch kind := jsonKind(value); kind {
	case "null":
		return a, true
	case "array":
		a.typ, a.items = "array", "string"
		var items []json.RawMessage
		if json.Unmarshal(value, &items) != nil {
			return a, false
		}
		for i, item := range items {
			switch k := jsonKind(item); {
			case k != "string" && k != "integer" && k != "number":
				return a, false
			case i == 0:
				a.items = k
			case k != a.items:
				a.items = "number"
			}
		}
		return a, true
	case "object":
		return a, false
	default:
		a.typ = kind
		return a, true
	}
}

// jsonKind names the JSON type of a valid value, telling integers from numbers.
func jsonKind(value json.RawMessage) string {
	switch {
	case isNull(value):
		return "null"
	case value[0] == '"':
		return "string"
	case value[0] == '[':
		return "array"
	case value[0] == '{':
		return "object"
	case value[0] == 't' || value[0] == 'f':
		return "boolean"
	}
	for _, c := range value {
		if c == '.' || c == 'e' || c == 'E' {
			return "number"
		}
	}
	return "integer"
}

func (a attribute) appendTo(dst []byte, custom bool) []byte {
	type permission struct {
		Principal string `json:"principal"`
		Action    string `json:"action"`
	}
	type oneOf struct {
		Const string `json:"const"`
		Title string `json:"title"`
	}
	type items struct {
		Type string `json:"type"`
	}
	out := struct {
		Title       string       `json:"title"`
		Type        string       `json:"type"`
		Items       *items       `json:"items,omitempty"`
		Format      string       `json:"format,omitempty"`
		Required    bool         `json:"required,omitempty"`
		Mutability  string       `json:"mutability"`
		Scope       string       `json:"scope"`
		MinLength   int          `json:"minLength,omitempty"`
		MaxLength   int          `json:"maxLength,omitempty"`
		Enum        []string     `json:"enum,omitempty"`
		OneOf       []oneOf      `json:"oneOf,omitempty"`
		Permissions []permission `json:"permissions"`
	}{
		Title: a.title, Type: cmp.Or(a.typ, "string"), Format: a.format, Required: a.required,
		Mutability: "READ_WRITE", Scope: "NONE", MinLength: a.min, MaxLength: a.max, Enum: a.enum,
		Permissions: []permission{{"SELF", "READ_ONLY"}},
	}
	if a.typ == "array" {
		out.Items = &items{a.items}
	}
	for _, v := range a.enum {
		out.OneOf = append(out.OneOf, oneOf{v, v})
	}
	if !custom && (a.name == "firstName" || a.name == "lastName" || a.name == "email") {
		out.Permissions[0].Action = "READ_WRITE"
	}
	dst = append(appendString(dst, a.name), ':')
	return append(dst, encode(out)...)
}

func appendProperties(dst []byte, list []attribute, custom bool) []byte {
	dst = append(dst, '{')
	for i, a := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = a.appendTo(dst, custom)
	}
	return append(dst, '}')
}

// appendSchema appends a profile schema in Okta's draft-04 form. path is the
// schema's own address below /meta/schemas/.
func appendSchema(dst []byte, path, name, title string, created, updated stamp, base, custom []attribute, links string) []byte {
	required := []string{}
	for _, a := range base {
		if a.required {
			required = append(required, a.name)
		}
	}
	dst = append(append(dst, `{"id":"`...), basePlaceholder)
	dst = append(append(append(dst, "/meta/schemas/"...), path...), `","$schema":"http://json-schema.org/draft-04/schema#","name":`...)
	dst = appendString(dst, name)
	dst = appendString(append(dst, `,"title":`...), title)
	dst = updated.appendTo(append(dst, `,"lastUpdated":`...))
	dst = created.appendTo(append(dst, `,"created":`...))
	dst = append(dst, `,"definitions":{"custom":{"id":"#custom","type":"object","properties":`...)
	dst = appendProperties(dst, custom, true)
	dst = append(dst, `,"required":[]},"base":{"id":"#base","type":"object","properties":`...)
	dst = appendProperties(dst, base, false)
	dst = append(append(dst, `,"required":`...), encode(required)...)
	dst = append(dst, `}},"type":"object","properties":{"profile":{"allOf":[{"$ref":"#/definitions/custom"},{"$ref":"#/definitions/base"}]}},"_links":`...)
	return append(append(dst, links...), '}')
}

// linkObject is a link with rel and method, the form of the meta endpoints.
func linkObject(rel, path string) string {
	return `"` + rel + `":{"rel":"` + rel + `","href":"` + string(rune(basePlaceholder)) + path + `","method":"GET"}`
}

func (t *userType) schema() []byte {
	path := "user/" + t.schemaID
	if t.isDefault {
		path = "user/default"
	}
	links := "{" + linkObject("self", "/api/v1/meta/schemas/user/"+t.schemaID) + "," +
		linkObject("type", "/api/v1/meta/types/user/"+t.id) + "}"
	return appendSchema(nil, path, t.name, t.displayName, t.created, t.lastUpdated, baseAttributes, t.custom, links)
}

func (o *Org) groupSchema() []byte {
	links := "{" + linkObject("self", "/api/v1/meta/schemas/group/default") + "}"
	return appendSchema(nil, "group/default", "group", "Okta group", o.created, o.created, groupBaseAttributes, o.groupAttrs, links)
}

func (t *userType) describe() []byte {
	b := appendString(nil, t.id)
	b = append([]byte(`{"id":`), b...)
	b = appendString(append(b, `,"displayName":`...), t.displayName)
	b = appendString(append(b, `,"name":`...), t.name)
	b = appendString(append(b, `,"description":`...), t.description)
	b = append(b, `,"createdBy":"sprsystem00000000`+orgSuffix+`","lastUpdatedBy":"sprsystem00000000`+orgSuffix+`"`...)
	b = t.created.appendTo(append(b, `,"created":`...))
	b = t.lastUpdated.appendTo(append(b, `,"lastUpdated":`...))
	b = append(append(b, `,"default":`...), encode(t.isDefault)...)
	b = append(b, `,"_links":{`...)
	b = append(b, linkObject("schema", "/api/v1/meta/schemas/user/"+t.schemaID)...)
	b = append(append(b, ','), linkObject("self", "/api/v1/meta/types/user/"+t.id)...)
	return append(b, "}}"...)
}
