package connector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Parse reads a definition file: one JSON object with Name, Type, ConfigJson and
// AuthJson, the last two as objects or, as the runbook's engine stores them, as
// JSON strings that hold an object. A byte order mark in front is ignored. Fields
// left out get the runbook's defaults.
//
// Every problem is reported, in one [*ValidationError]; the Definition is then nil.
func Parse(b []byte) (*Definition, error) {
	var ps problems
	d := Definition{Config: DefaultConfig()}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	top, ok := readObject(&ps, "", b)
	if !ok {
		return nil, ps.err("")
	}
	var config, auth json.RawMessage
	top.required("Name", &d.Name)
	top.required("Type", &d.Type)
	top.raw("ConfigJson", &config)
	top.raw("AuthJson", &auth)
	top.rest()
	return finish(&ps, &d, config, auth)
}

// FromParts reads a definition from the columns in which the mesh keeps it. See
// [Parse] for what is accepted and how errors are reported.
func FromParts(name, typ string, config, auth json.RawMessage) (*Definition, error) {
	var ps problems
	d := Definition{Name: name, Type: typ, Config: DefaultConfig()}
	if len(config) == 0 {
		ps.add("ConfigJson", "is missing")
	}
	if len(auth) == 0 {
		ps.add("AuthJson", "is missing")
	}
	return finish(&ps, &d, config, auth)
}

func finish(ps *problems, d *Definition, config, auth json.RawMessage) (*Definition, error) {
	readConfig(ps, config, &d.Config)
	readAuth(ps, auth, &d.Auth)
	d.Config = d.Config.canonical()
	d.check(ps)
	if err := ps.err(d.Name); err != nil {
		return nil, err
	}
	return d, nil
}

func readConfig(ps *problems, raw json.RawMessage, c *Config) {
	o, ok := readPart(ps, "ConfigJson", raw)
	if !ok {
		return
	}
	o.required("OrgDomain", &c.OrgDomain)
	o.nullable("UserSearchFilter", &c.UserSearchFilter)
	o.integer("PageSize", &c.PageSize)
	o.boolean("ImportUsers", &c.ImportUsers)
	o.boolean("ImportGroups", &c.ImportGroups)
	o.boolean("ImportMemberships", &c.ImportMemberships)
	o.text("ExternalIdAttribute", &c.ExternalIDAttribute)
	o.duration("WatermarkOverlap", &c.WatermarkOverlap)
	o.text("MembershipRefresh", &c.MembershipRefresh)
	readGroupFilter(o, &c.GroupFilter)
	o.integer("MaxDeletePercent", &c.MaxDeletePercent)
	o.nullableInteger("MaxDeletes", &c.MaxDeletes)
	o.duration("HoldTimeLimit", &c.HoldTimeLimit)
	o.integer("RateLimitReserve", &c.RateLimitReserve)
	o.integer("MaxInFlight", &c.MaxInFlight)
	o.boolean("InsecureLoopback", &c.InsecureLoopback)
	o.list("IgnoreForChanges", &c.IgnoreForChanges)
	o.text("TaskQueue", &c.TaskQueue)
	o.rest()
}

// readPart reads ConfigJson or AuthJson, given as an object or as a string that
// holds one.
func readPart(ps *problems, path string, raw json.RawMessage) (*object, bool) {
	if len(raw) == 0 {
		return nil, false // reported as missing
	}
	if raw[0] == '"' {
		var inner string
		if err := json.Unmarshal(raw, &inner); err != nil {
			ps.add(path, "is not valid JSON")
			return nil, false
		}
		raw = json.RawMessage(inner)
	}
	return readObject(ps, path, raw)
}

// object is one JSON object whose members are taken one by one; what is left at
// the end is unknown.
type object struct {
	ps      *problems
	path    string
	members map[string]json.RawMessage
	order   []string // as written
	known   []string // as asked for
}

// readObject splits one JSON object into its members. It refuses duplicate names,
// which encoding/json would let pass, and text behind the object.
func readObject(ps *problems, path string, b []byte) (*object, bool) {
	if !utf8.Valid(b) {
		ps.add(path, "is not UTF-8 text; save the file as UTF-8")
		return nil, false
	}
	if err := checkSyntax(b); err != nil {
		ps.add(path, "is not valid JSON: %v", err)
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		ps.add(path, "must be a JSON object, not %s", kind(b))
		return nil, false
	}
	o := &object{ps: ps, path: path, members: map[string]json.RawMessage{}}
	for dec.More() {
		t, err := dec.Token()
		name, isName := t.(string)
		var value json.RawMessage
		if err == nil && isName {
			err = dec.Decode(&value)
		}
		if err != nil || !isName {
			ps.add(path, "is not valid JSON") // checkSyntax found it valid: not reached
			return nil, false
		}
		if _, twice := o.members[name]; twice {
			if field := o.field(name); !ps.has(field) {
				ps.add(field, "is given more than once")
			}
			continue
		}
		o.members[name] = value
		o.order = append(o.order, name)
	}
	return o, true
}

// checkSyntax says where the text stops being one JSON value.
func checkSyntax(b []byte) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return errors.New("it is empty")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	var v json.RawMessage
	err := dec.Decode(&v)
	if err == nil {
		end := dec.InputOffset()
		if len(bytes.TrimSpace(b[end:])) == 0 {
			return nil
		}
		line, column := position(b, int(end)+1)
		return fmt.Errorf("text follows the object (line %d, column %d)", line, column)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends too early; a bracket or quote is not closed")
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line, column := position(b, int(syntax.Offset))
		return fmt.Errorf("%w (line %d, column %d)", err, line, column)
	}
	return err
}

// position turns a 1-based byte offset into a line and a column, both from 1.
func position(b []byte, offset int) (line, column int) {
	before := b[:min(max(offset-1, 0), len(b))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

func (o *object) field(name string) string {
	if len(name) > maxQuoted || !identifier.MatchString(name) {
		name = quote(name)
	}
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// take returns a member; ok is false when it is absent or was given twice.
func (o *object) take(name string) (json.RawMessage, bool) {
	o.known = append(o.known, name)
	raw, ok := o.members[name]
	return raw, ok && !o.ps.has(o.field(name))
}

// rest reports the members that nobody took.
func (o *object) rest() {
	for _, name := range o.order {
		hint := "the fields are " + strings.Join(o.known, ", ")
		taken := false
		for _, k := range o.known {
			if k == name {
				taken = true
			} else if strings.EqualFold(k, name) {
				hint = fmt.Sprintf("did you mean %s?", k)
			}
		}
		if !taken {
			o.ps.add(o.field(name), "is no field of a connector definition; %s", hint)
		}
	}
}

func (o *object) raw(name string, into *json.RawMessage) {
	raw, ok := o.take(name)
	if ok {
		*into = raw
	} else if !o.ps.has(o.field(name)) {
		o.ps.add(o.field(name), "is missing")
	}
}

func (o *object) required(name string, into *string) {
	if _, ok := o.members[name]; !ok {
		o.known = append(o.known, name)
		o.ps.add(o.field(name), "is missing")
		return
	}
	o.text(name, into)
}

func (o *object) text(name string, into *string) {
	if raw, ok := o.take(name); ok && !read(raw, into) {
		o.ps.add(o.field(name), "must be a string, not %s", kind(raw))
	}
}

func (o *object) nullable(name string, into **string) {
	raw, ok := o.take(name)
	if !ok || string(raw) == "null" {
		return
	}
	var s string
	if !read(raw, &s) {
		o.ps.add(o.field(name), "must be a string or null, not %s", kind(raw))
		return
	}
	*into = &s
}

func (o *object) integer(name string, into *int) {
	if raw, ok := o.take(name); ok && !read(raw, into) {
		o.ps.add(o.field(name), "must be a whole number, not %s", kind(raw))
	}
}

func (o *object) nullableInteger(name string, into **int) {
	raw, ok := o.take(name)
	if !ok || string(raw) == "null" {
		return
	}
	var n int
	if !read(raw, &n) {
		o.ps.add(o.field(name), "must be a whole number or null, not %s", kind(raw))
		return
	}
	*into = &n
}

func (o *object) duration(name string, into *Duration) {
	const form = `such as "90s", "5m" or "72h"`
	raw, ok := o.take(name)
	if !ok {
		return
	}
	var text string
	if !read(raw, &text) {
		o.ps.add(o.field(name), "must be a duration "+form+", not %s", kind(raw))
		return
	}
	if err := into.UnmarshalText([]byte(text)); err != nil {
		o.ps.add(o.field(name), "must be a duration "+form+", not %s", quote(text))
	}
}

// nested returns the object that a member holds; ok is false when there is none or
// it is no object.
func (o *object) nested(name string, nullable bool) (part *object, ok bool) {
	raw, ok := o.take(name)
	if !ok || nullable && string(raw) == "null" {
		return nil, false
	}
	if raw[0] != '{' {
		want := "an object"
		if nullable {
			want += " or null"
		}
		o.ps.add(o.field(name), "must be %s, not %s", want, kind(raw))
		return nil, false
	}
	return readObject(o.ps, o.field(name), raw)
}

func (o *object) boolean(name string, into *bool) {
	if raw, ok := o.take(name); ok && !read(raw, into) {
		o.ps.add(o.field(name), "must be true or false, not %s", kind(raw))
	}
}

func (o *object) list(name string, into *[]string) {
	raw, ok := o.take(name)
	if !ok {
		return
	}
	var items []json.RawMessage
	if !read(raw, &items) {
		o.ps.add(o.field(name), "must be a list of strings, not %s", kind(raw))
		return
	}
	list := make([]string, len(items))
	for i, item := range items {
		if !read(item, &list[i]) {
			o.ps.add(o.field(name), "must be a list of strings; entry %d is %s", i+1, kind(item))
			return
		}
	}
	*into = list
}

// read decodes raw into v. Null is a value of no type here: encoding/json would
// leave v as it was.
func read(raw json.RawMessage, v any) bool {
	return string(raw) != "null" && json.Unmarshal(raw, v) == nil
}

// kind names the type of a JSON value without showing it.
func kind(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	if bytes.ContainsAny(raw, ".eE") {
		return "a number with a fraction or exponent"
	}
	if len(raw) > 18 {
		return "a number out of all bounds"
	}
	return "a number"
}
