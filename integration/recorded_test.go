package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// shared returns a file of the third-party reference data, or skips, loudly; CI has
// the data and must not skip.
func shared(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("IDENTITYMESH_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI must have the reference data: %v", err)
		}
		t.Skipf("SKIPPED: no reference data (%v); set IDENTITYMESH_SHARED to its folder", err)
	}
	return b
}

// The expectations below are written from the runbook's tables by hand, not taken
// from package mapping: the test would otherwise compare the code with itself.
var (
	topFields     = []string{"status", "created", "lastUpdated", "lastLogin", "passwordChanged", "statusChanged", "activated"}
	profileFields = strings.Fields(`firstName lastName displayName email secondEmail login mobilePhone primaryPhone
		streetAddress city state zipCode countryCode title department manager managerId costCenter division
		employeeNumber organization userType preferredLanguage locale timezone`)
	groupFields = []string{"type", "created", "lastUpdated", "lastMembershipUpdated"}
)

// TestRecordedOrg imports 129 users, 126 groups and 80 memberships recorded from real
// orgs and compares the mesh with the file, object by object, attribute by attribute.
func TestRecordedOrg(t *testing.T) {
	t.Parallel()
	raw := shared(t, filepath.Join("okta", "recorded", "org.json"))
	org, err := oktasim.Load(bytes.NewReader(raw))
	require.NoError(t, err)
	w := newWorld(t, oktasim.Config{Org: org}, nil)
	w.worker()
	row := w.completed()

	want := expectedOfFile(t, raw)
	got := w.objects()
	require.Len(t, got, len(want))
	for key, attributes := range want {
		require.Contains(t, got, key)
		require.Equal(t, attributes, got[key].Attributes, key)
	}
	byType := map[string]int{}
	for key := range want {
		byType[strings.Fields(key)[0]]++
	}
	require.Equal(t, 125, byType["User"])
	require.Equal(t, 126, byType["Group"])
	require.Equal(t, 80, byType["GroupMember"])
	for typ, n := range byType {
		require.Equal(t, n, row.Counts[typ].Added, typ)
	}
	require.NotNil(t, row.Watermark)
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, row.Watermark.U)
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, row.Watermark.G)
	require.Equal(t, w.sim.Stats().Total, row.APICalls)

	again := w.completed()
	require.Empty(t, w.changes(len(want)), "a second Full writes no change row")
	require.Equal(t, 125, again.Counts["User"].Unchanged)
	require.Equal(t, 126, again.Counts["Group"].Unchanged)
	require.Equal(t, 80, again.Counts["GroupMember"].Unchanged)
}

// expectedOfFile computes the mesh from the recorded file.
func expectedOfFile(t *testing.T, raw []byte) map[string]map[string]any {
	t.Helper()
	var file struct {
		Users, Groups []map[string]any
		Members       map[string][]string
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	want := make(map[string]map[string]any)
	live := make(map[string]bool)
	for _, u := range file.Users {
		if u["status"] == "DEPROVISIONED" {
			continue
		}
		a := map[string]any{"accountEnabled": u["status"] == "ACTIVE"}
		for _, f := range topFields {
			a[f] = u[f]
		}
		profile := u["profile"].(map[string]any)
		for _, f := range profileFields {
			a[f] = profile[f]
		}
		typ, err := json.Marshal(u["type"])
		require.NoError(t, err)
		a["type"] = string(typ)
		id := u["id"].(string)
		live[id] = true
		want["User "+id] = a
	}
	for _, g := range file.Groups {
		profile := g["profile"].(map[string]any)
		a := map[string]any{"name": profile["name"], "description": profile["description"]}
		for _, f := range groupFields {
			a[f] = g[f]
		}
		var classes []string
		for _, c := range g["objectClass"].([]any) {
			classes = append(classes, c.(string))
		}
		a["objectClass"] = strings.Join(classes, ",")
		want["Group "+g["id"].(string)] = a
	}
	for g, members := range file.Members {
		for _, m := range members {
			if live[m] {
				want["GroupMember "+g+":"+m] = map[string]any{"groupId": g, "memberId": m, "memberType": "User"}
			}
		}
	}
	return want
}
