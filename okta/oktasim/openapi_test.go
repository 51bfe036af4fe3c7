package oktasim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// validated is a handler that holds every answer of the simulator against
// Okta's own OpenAPI description. Two relaxations:
//
//   - statuses that the description does not list for a path, but Okta documents
//     for all (400, 401, 404, 405, 415, 429, 501), are held against its Error schema;
//   - a 200 without a schema (the lifecycle calls) is checked to be the recorded {}.
type validated struct {
	t      *testing.T
	next   http.Handler
	router routers.Router
	errors *openapi3.Schema
	mu     sync.Mutex
	seen   map[string]int // validated answers by "METHOD path status"
}

// defineFormats changes a table of the library that all validators read: once, and
// before any of them is made.
var defineFormats = sync.OnceFunc(func() {
	openapi3.DefineStringFormatValidator("email", openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForEmail))
})

func newValidated(t *testing.T, next http.Handler) *validated {
	t.Helper()
	defineFormats()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(shared(t, "okta/openapi-slice.json"))
	require.NoError(t, err)
	doc.Servers = nil // any host
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	return &validated{t: t, next: next, router: router, errors: doc.Components.Schemas["Error"].Value, seen: map[string]int{}}
}

// ServeHTTP implements http.Handler.
func (v *validated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	v.next.ServeHTTP(rec, r)
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())

	path, err := v.check(r, rec)
	v.mu.Lock()
	v.seen[fmt.Sprintf("%s %s %d", r.Method, path, rec.Code)]++
	v.mu.Unlock()
	assert.NoError(v.t, err, "%s %s", r.Method, r.URL)
}

// check holds one answer against the description and returns the path's template.
func (v *validated) check(r *http.Request, rec *httptest.ResponseRecorder) (string, error) {
	route, params, err := v.router.FindRoute(r)
	if err != nil || (rec.Code >= 400 && route.Operation.Responses.Status(rec.Code) == nil) {
		if rec.Code < 400 {
			return "(unknown)", fmt.Errorf("status %d: %w", rec.Code, err)
		}
		var body any
		if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
			return "(unknown)", err
		}
		return "(unknown)", v.errors.VisitJSON(body)
	}
	if status := route.Operation.Responses.Status(rec.Code); rec.Code == http.StatusOK && status != nil && len(status.Value.Content) == 0 {
		if rec.Body.String() != "{}" {
			return route.Path, fmt.Errorf("not the recorded {}: %s", rec.Body)
		}
		return route.Path, nil
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 rec.Code, Header: rec.Header(), Body: io.NopCloser(bytes.NewReader(rec.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	return route.Path, openapi3filter.ValidateResponse(r.Context(), input)
}

// TestTheValidationCanFail spoils good answers, so that the test below means
// something.
func TestTheValidationCanFail(t *testing.T) {
	t.Parallel()
	v := newValidated(t, nil)
	const user = `{"id":"00u1","status":"ACTIVE","created":"2024-01-01T00:00:00.000Z","profile":{"login":"a@example.com","email":"a@example.com"}}`
	for _, tt := range []struct {
		path, body string
		status     int
		good       bool
	}{
		{"/api/v1/users", "[" + user + "]", 200, true},
		{"/api/v1/users", "[" + strings.Replace(user, "ACTIVE", "AWAKE", 1) + "]", 200, false},
		{"/api/v1/users", "[" + strings.Replace(user, "2024-01-01T", "yesterday ", 1) + "]", 200, false},
		{"/api/v1/users", "[" + strings.Replace(user, `"email":"a@example.com"`, `"email":"nobody"`, 1) + "]", 200, false},
		{"/api/v1/users", "[" + strings.Replace(user, `"id":"00u1"`, `"id":1`, 1) + "]", 200, false},
		{"/api/v1/users", user, 200, false},
		{"/api/v1/users", "[]", 201, false},
		{"/api/v1/groups", `[{"id":"00g1","type":"OTHER"}]`, 200, false},
		{"/api/v1/groups", `[{"id":"00g1","type":"OKTA_GROUP","profile":{"name":5}}]`, 200, false},
		{"/api/v1/users", `{"errorCode":5}`, 429, false},
		{"/api/v1/nothing", `{}`, 200, false},
	} {
		rec := httptest.NewRecorder()
		rec.Header().Set("Content-Type", "application/json")
		rec.WriteHeader(tt.status)
		_, _ = rec.WriteString(tt.body)
		_, err := v.check(httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, nil), rec)
		require.Equal(t, tt.good, err == nil, "%s: %v", tt.body, err)
	}
}

func TestEveryAnswerFollowsTheOpenAPIDescription(t *testing.T) {
	t.Parallel()
	recorded, err := oktasim.Load(bytes.NewReader(shared(t, "okta/recorded/org.json")))
	require.NoError(t, err)
	lagging := generated(t, 100, 20)
	lagging.SetLag(oktasim.Lag{Search: time.Second, Members: time.Second, MembershipStamp: time.Second, GroupStamp: time.Second, Everyone: time.Minute, Wobble: true})
	for _, id := range lagging.GroupIDsByType(oktasim.OktaGroup) {
		require.NoError(t, lagging.SetMembers(id, lagging.UserIDs()[:5]...))
		require.NoError(t, lagging.ReplaceGroup(id, map[string]any{"name": "Lagging " + id}))
	}
	for name, org := range map[string]*oktasim.Org{"generated": generated(t, 500, 40), "recorded": recorded, "lagging": lagging} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSim(t, org)
			v := newValidated(t, s.srv)
			s.http.Config.Handler = v
			askEverything(t, s)

			var doc struct {
				Paths map[string]map[string]json.RawMessage `json:"paths"`
			}
			require.NoError(t, json.Unmarshal(shared(t, "okta/openapi-slice.json"), &doc))
			require.Len(t, doc.Paths, 22)
			for path, operations := range doc.Paths {
				for method := range operations {
					if method == "parameters" {
						continue
					}
					good := 0
					for key, n := range v.seen {
						if strings.HasPrefix(key, strings.ToUpper(method)+" "+path+" 2") {
							good += n
						}
					}
					if strings.HasPrefix(path, "/api/v1/apps/") && name == "recorded" {
						continue // this org has no app
					}
					require.Positive(t, good, "no successful %s %s was validated", method, path)
				}
			}
		})
	}
}

// askEverything calls every operation, the errors that can be had, and reads
// every object of the org.
func askEverything(t *testing.T, s *sim) {
	t.Helper()
	org := s.org
	s.walk("/api/v1/users" + query("search", "status pr"))
	s.walk("/api/v1/users?limit=77")
	s.walk("/api/v1/groups?limit=9")
	s.walk("/api/v1/groups?expand=stats")
	for _, id := range org.UserIDs() {
		s.get("/api/v1/users/" + id).ok(200)
		s.get("/api/v1/users/" + id + "/groups").list()
	}
	for _, id := range org.GroupIDs() {
		s.get("/api/v1/groups/" + id).ok(200)
		s.walk("/api/v1/groups/" + id + "/users")
	}
	user := org.UserIDs()[0]
	for _, path := range []string{"/api/v1/users/" + user + "/factors", "/api/v1/users/" + user + "/appLinks", "/api/v1/groups/rules", "/api/v1/apps", "/api/v1/logs", "/api/v1/meta/types/user"} {
		s.get(path).list()
		s.do("PATCH", path, "").fails(405, "E0000022")
	}
	for _, id := range org.GroupIDsByType(oktasim.AppGroup) {
		app := fmt.Sprint(object(t, org.Group(id))["source"].(map[string]any)["id"])
		s.get("/api/v1/apps/" + app + "/users").list()
		s.get("/api/v1/apps/" + app + "/groups").list()
	}
	s.get("/api/v1/apps/0oanone/users").fails(404, "E0000007")
	s.get("/api/v1/org").ok(200)
	s.get("/api/v1/meta/schemas/group/default").ok(200)
	s.get("/api/v1/meta/schemas/user/default").ok(200)
	for _, typ := range s.get("/api/v1/meta/types/user").list() {
		link := typ["_links"].(map[string]any)["schema"].(map[string]any)["href"]
		s.get(fmt.Sprint(link)).ok(200)
	}
	s.get("/api/v1/meta/schemas/user/oscnone").fails(404, "E0000007")

	made := s.do("POST", "/api/v1/users?activate=false", aliceBody).ok(200)
	path := "/api/v1/users/" + fmt.Sprint(made["id"])
	s.do("POST", "/api/v1/users", aliceBody).fails(400, "E0000001")
	s.do("POST", path, `{"credentials":{"password":{"value":"Abcd1234!"}},"profile":{"title":"T"}}`).ok(200)
	s.do("PUT", path, aliceBody).ok(200)
	s.do("PUT", path, `{"profile":{}}`).fails(400, "E0000001")
	s.do("POST", path+"/lifecycle/activate?sendEmail=false", "").ok(200)
	s.do("POST", path+"/lifecycle/suspend", "").ok(200)
	s.do("POST", path+"/lifecycle/unsuspend", "").ok(200)
	s.do("POST", path+"/lifecycle/unsuspend", "").fails(403, "E0000038")

	group := s.do("POST", "/api/v1/groups", `{"profile":{"name":"Validated"}}`).ok(200)
	members := "/api/v1/groups/" + fmt.Sprint(group["id"])
	s.do("POST", "/api/v1/groups", `{"profile":{}}`).fails(400, "E0000001")
	s.do("PUT", members, `{"profile":{"name":"Validated again","description":"D"}}`).ok(200)
	s.do("PUT", members+"/users/"+user, "").ok(204)
	s.do("DELETE", members+"/users/"+user, "").ok(204)
	s.do("DELETE", members, "").ok(204)
	s.get(members).fails(404, "E0000007")

	s.do("POST", path+"/lifecycle/deactivate", "").ok(200)
	s.do("POST", path+"/lifecycle/deactivate", "").fails(404, "E0000007")
	s.do("DELETE", path, "").ok(204)
	s.get(path).fails(404, "E0000007")
	s.get("/api/v1/users"+query("search", "nonsense")).fails(400, "E0000031")
	s.do("GET", "/api/v1/users", "", func(r *http.Request) { r.Header.Set("Authorization", "SSWS wrong") }).fails(401, "E0000011")
	s.get("/api/v1/nothing").fails(404, "E0000007")
}
