package oktasim

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// limits are a list's default and greatest page size. A larger limit is capped:
// what Okta does above the maximum is not known for users (facts.md §1), and
// capping is what its group lists were seen to do.
type limits struct{ standard, most int }

var (
	limitUsers      = limits{200, 200}
	limitUsersQ     = limits{10, 200}
	limitGroups     = limits{10000, 10000}
	limitGroupsQ    = limits{300, 10000}
	limitMembers    = limits{1000, 1000}
	limitUserGroups = limits{200, 200}
	limitRules      = limits{50, 200}
	limitApps       = limits{20, 200}
	limitAppUsers   = limits{50, 500}
	limitAppGroups  = limits{20, 200}
	limitLogs       = limits{100, 1000}
)

// pageLimit reads the limit parameter.
func pageLimit(q url.Values, l limits) (int, error) {
	if !q.Has("limit") {
		return l.standard, nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || n < 1 {
		return 0, errValidation("limit", "limit: must be a whole number of at least 1")
	}
	return min(n, l.most), nil
}

// keysetCursor reads the after parameter of a list that is ordered by id: the id
// of the last row, in the plain user list with a 0 before it (facts.md §1). The
// row may be gone by now; the ids of files may have another form. A cursor that Okta cannot have given is refused with
// the code recorded for /apps in error_400_other.http: an empty page would look
// like the end of the list.
func keysetCursor[T any](c *call, mark string, k objectKind[T]) (string, error) {
	if !c.query.Has("after") {
		return "", nil
	}
	id, ok := strings.CutPrefix(c.query.Get("after"), mark)
	if !ok || (!looksLikeID(id, k.prefix) && !k.exists(c.org(), id)) {
		return "", errBadCursor()
	}
	return id, nil
}

func looksLikeID(id, prefix string) bool {
	if len(id) != idLength || !strings.HasPrefix(id, prefix) {
		return false
	}
	for i := range len(id) {
		if strings.IndexByte(base62, id[i]) < 0 {
			return false
		}
	}
	return true
}

// sortCursor is the opaque cursor of a sorted search: the place of the last row,
// so that a row which has changed or gone since shifts nothing.
func sortCursor(k sortKey) string { return base64.RawURLEncoding.EncodeToString(encode(k)) }

func parseSortCursor(s string) (k sortKey, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(raw, &k) != nil || k.ID == "" {
		return k, false
	}
	return k, true
}

// setLinks writes the Link header of a list: self and, when there is more, next,
// as two header lines (facts.md §1).
func (c *call) setLinks(limit int, next string) {
	query := url.Values{}
	for name, values := range c.query {
		query[name] = values
	}
	query.Set("limit", strconv.Itoa(limit))
	path := c.base + c.r.URL.EscapedPath()
	c.w.Header().Add("Link", "<"+path+"?"+selfQuery(query)+`>; rel="self"`)
	if next != "" {
		query.Set("after", next)
		c.w.Header().Add("Link", "<"+path+"?"+query.Encode()+`>; rel="next"`)
	}
}

// selfQuery encodes a self link's parameters as recorded: after, limit, then the
// rest by name (groups_list.http has limit before filter). The next link's are
// by name alone; clients must not care.
func selfQuery(query url.Values) string {
	rank := func(name string) int { return slices.Index([]string{"limit", "after"}, name) }
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if ra, rb := rank(a), rank(b); ra != rb {
			return rb - ra
		}
		return strings.Compare(a, b)
	})
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = url.Values{name: query[name]}.Encode()
	}
	return strings.Join(parts, "&")
}

// writeRows answers a list of encoded rows.
func (c *call) writeRows(rows []listRow) error {
	buf := c.s.buffer()
	defer c.s.release(buf)
	b := (*buf)[:0]
	b = append(b, '[')
	for i, row := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = expand(b, row.head, c.base)
		if row.tail != nil {
			b = expand(b, row.tail, c.base)
		}
	}
	b = append(b, ']')
	*buf = b
	return c.writeBytes(http.StatusOK, b)
}
