package oktasim

import (
	"net/http"
	"net/url"
	"strings"
)

type handler func(*call) error

// route is one path of the API.
type route struct {
	path     string // with {parameters}; "" for a path that Okta does not know
	segments []string
	bucket   string
	handlers map[string]handler
}

func (rt *route) endpoint(method string) string {
	if rt.path == "" {
		return method + " (unknown path)"
	}
	return method + " " + rt.path
}

var unknownRoute = &route{bucket: bucketOther}

// routes are the paths of openapi-slice.json, because every user links to it the single
// user type, and the token endpoint. A literal path stands before the one whose
// parameter would match it: /groups/rules is not a group.
var routes = makeRoutes([]route{
	{path: "/api/v1/users", bucket: bucketUsers, handlers: map[string]handler{
		http.MethodGet: listUsers, http.MethodPost: createUser}},
	{path: "/api/v1/users/{id}", bucket: bucketUser, handlers: map[string]handler{
		http.MethodGet: getUser, http.MethodPost: updateUser, http.MethodPut: replaceUser, http.MethodDelete: deleteUser}},
	{path: "/api/v1/users/{id}/groups", bucket: bucketUser, handlers: map[string]handler{http.MethodGet: listUserGroups}},
	{path: "/api/v1/users/{id}/lifecycle/activate", bucket: bucketUser, handlers: map[string]handler{http.MethodPost: activateUser}},
	{path: "/api/v1/users/{id}/lifecycle/deactivate", bucket: bucketUser, handlers: map[string]handler{http.MethodPost: deactivateUser}},
	{path: "/api/v1/users/{id}/lifecycle/suspend", bucket: bucketUser, handlers: map[string]handler{http.MethodPost: suspendUser}},
	{path: "/api/v1/users/{id}/lifecycle/unsuspend", bucket: bucketUser, handlers: map[string]handler{http.MethodPost: unsuspendUser}},
	{path: "/api/v1/users/{id}/appLinks", bucket: bucketUser, handlers: map[string]handler{http.MethodGet: emptyOfUser}},
	{path: "/api/v1/users/{id}/factors", bucket: bucketUser, handlers: map[string]handler{http.MethodGet: emptyOfUser}},
	{path: "/api/v1/groups", bucket: bucketGroups, handlers: map[string]handler{
		http.MethodGet: listGroups, http.MethodPost: createGroup}},
	{path: "/api/v1/groups/rules", bucket: bucketGroups, handlers: map[string]handler{http.MethodGet: emptyList(limitRules)}},
	{path: "/api/v1/groups/{id}", bucket: bucketGroup, handlers: map[string]handler{
		http.MethodGet: getGroup, http.MethodPut: replaceGroup, http.MethodDelete: deleteGroup}},
	{path: "/api/v1/groups/{id}/users", bucket: bucketGroups, handlers: map[string]handler{http.MethodGet: listMembers}},
	{path: "/api/v1/groups/{id}/users/{userId}", bucket: bucketGroups, handlers: map[string]handler{
		http.MethodPut: addMember, http.MethodDelete: removeMember}},
	{path: "/api/v1/apps", bucket: bucketOther, handlers: map[string]handler{http.MethodGet: emptyList(limitApps)}},
	{path: "/api/v1/apps/{id}/users", bucket: bucketOther, handlers: map[string]handler{http.MethodGet: emptyOfApp(limitAppUsers)}},
	{path: "/api/v1/apps/{id}/groups", bucket: bucketOther, handlers: map[string]handler{http.MethodGet: emptyOfApp(limitAppGroups)}},
	{path: "/api/v1/meta/schemas/user/{id}", bucket: bucketOther, handlers: map[string]handler{http.MethodGet: getUserSchema}},
	{path: "/api/v1/meta/schemas/group/default", bucket: bucketOther, handlers: map[string]handler{http.MethodGet: getGroupSchema}},
	{path: "/api/v1/meta/types/user", bucket: bucketOther, handlers: map[string]handler{http.MethodGet: listUserTypes}},
	{path: "/api/v1/meta/types/user/{id}", bucket: bucketOther, handlers: map[string]handler{http.MethodGet: getUserType}},
	{path: "/api/v1/logs", bucket: bucketOther, handlers: map[string]handler{http.MethodGet: listLogs}},
	{path: tokenPath, bucket: bucketOAuth, handlers: map[string]handler{http.MethodPost: grantToken}},
	{path: "/api/v1/org", bucket: bucketOther, handlers: map[string]handler{http.MethodGet: getOrgSettings}},
})

func makeRoutes(list []route) []route {
	for i := range list {
		list[i].segments = strings.Split(list[i].path[1:], "/")
	}
	return list
}

// match finds the route of a request and the path's parameters, unescaped.
func match(r *http.Request) (*route, []string) {
	given := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
next:
	for i := range routes {
		rt := &routes[i]
		if len(rt.segments) != len(given) {
			continue
		}
		var ids []string
		for j, want := range rt.segments {
			if want[0] != '{' {
				if want != given[j] {
					continue next
				}
				continue
			}
			id, err := url.PathUnescape(given[j])
			if err != nil || id == "" {
				continue next
			}
			ids = append(ids, id)
		}
		return rt, ids
	}
	return unknownRoute, nil
}
