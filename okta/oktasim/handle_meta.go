package oktasim

import (
	"net/http"
	"time"
)

// logRetention is the age above which GET /logs refuses a since (facts.md §7).
const logRetention = 180 * 24 * time.Hour

func listUserTypes(c *call) error {
	o := c.org()
	o.mu.RLock()
	b := []byte{'['}
	for i, t := range o.types {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, t.describe()...)
	}
	o.mu.RUnlock()
	return c.writeJSON(append(b, ']'))
}

func getUserType(c *call) error {
	o := c.org()
	o.mu.RLock()
	var body []byte
	for _, t := range o.types {
		if t.id == c.ids[0] || (c.ids[0] == "default" && t.isDefault) {
			body = t.describe()
		}
	}
	o.mu.RUnlock()
	if body == nil {
		return errNotFound(c.ids[0], "UserType")
	}
	return c.writeJSON(body)
}

func getUserSchema(c *call) error {
	o := c.org()
	o.mu.RLock()
	var body []byte
	for _, t := range o.types {
		if t.schemaID == c.ids[0] || (c.ids[0] == "default" && t.isDefault) {
			body = t.schema()
		}
	}
	o.mu.RUnlock()
	if body == nil {
		return errNotFound(c.ids[0], "UserSchema")
	}
	return c.writeJSON(body)
}

func getGroupSchema(c *call) error {
	o := c.org()
	o.mu.RLock()
	body := o.groupSchema()
	o.mu.RUnlock()
	return c.writeJSON(body)
}

func getOrgSettings(c *call) error {
	o := c.org()
	o.mu.RLock()
	created := o.created
	o.mu.RUnlock()
	b := []byte(`{"id":"00osimulatedorg00` + orgSuffix + `","subdomain":"oktasim","companyName":"Simulated Org","status":"ACTIVE","website":"https://www.example.com"`)
	b = created.appendTo(append(b, `,"created":`...))
	b = created.appendTo(append(b, `,"lastUpdated":`...))
	b = append(append(b, `,"_links":{"preferences":{"href":"`...), basePlaceholder)
	return c.writeJSON(append(b, `/api/v1/org/preferences"}}}`...))
}

// listLogs is GET /logs. This org writes no log yet; what holds already is the
// form: a polling request always has a next link, a bounded one ends without
// (facts.md §7).
func listLogs(c *call) error {
	limit, err := pageLimit(c.query, limitLogs)
	if err != nil {
		return err
	}
	times := map[string]time.Time{}
	for _, name := range []string{"since", "until"} {
		if !c.query.Has(name) {
			continue
		}
		t, err := time.Parse(time.RFC3339, c.query.Get(name))
		if err != nil {
			return errValidation(name, name+": must be a date and time such as 2026-01-31T12:00:00.000Z")
		}
		times[name] = t
	}
	now := c.s.cfg.Now()
	if since, ok := times["since"]; ok {
		if c.query.Has("after") {
			return errValidation("since", "since and after cannot be used together")
		}
		if now.Sub(since) > logRetention {
			return &Error{http.StatusBadRequest, "E0000053", "Invalid parameter: The since parameter is over 180 days prior to the current day.", nil}
		}
	}
	order := c.query.Get("sortOrder")
	if order != "" && order != "ASCENDING" && order != "DESCENDING" {
		return errValidation("sortOrder", "sortOrder: must be ASCENDING or DESCENDING")
	}
	next := ""
	if _, bounded := times["until"]; !bounded && order != "DESCENDING" {
		if next = c.query.Get("after"); next == "" {
			next = encodeLogCursor(now)
		}
		delete(c.query, "since")
	}
	c.setLinks(limit, next)
	return c.writeBytes(http.StatusOK, []byte("[]"))
}

func encodeLogCursor(t time.Time) string { return wholeSecond(t).String() + "_1" }
