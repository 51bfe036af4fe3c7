package mapping_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// The tables are the runbook's, row by row and in its order.
func TestTablesAreTheRunbooks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		heading string
		ours    [][2]string
		names   []string
		rows    int
	}{
		{"User attributes", mapping.UserRows(), mapping.UserAttributes(), 35},
		{"Group attributes", mapping.GroupRows(), mapping.GroupAttributes(), 8},
	} {
		t.Run(c.heading, func(t *testing.T) {
			t.Parallel()
			var want [][2]string
			var names []string
			for _, r := range runbookTable(t, c.heading) {
				want = append(want, [2]string{r.Okta, r.Mesh})
				if r.Mesh != "ExternalId" {
					names = append(names, r.Mesh)
				}
			}
			require.Len(t, want, c.rows)
			require.Equal(t, want, c.ours)
			require.Equal(t, names, c.names)
		})
	}
}

type recordedOrg struct {
	Users   []json.RawMessage   `json:"users"`
	Groups  []json.RawMessage   `json:"groups"`
	Members map[string][]string `json:"members"`
}

// Every recorded user and group is mapped as the runbook's text says, with the
// expectation taken from the raw JSON by the runbook's own paths.
func TestRecordedOrg(t *testing.T) {
	t.Parallel()
	org := decode[recordedOrg](t, shared(t, "okta", "recorded", "org.json"))
	require.Len(t, org.Users, 129)
	require.Len(t, org.Groups, 126)

	userRows := runbookTable(t, "User attributes")
	deletes := 0
	for _, raw := range org.Users {
		source := decode[map[string]any](t, raw)
		u := decode[okta.User](t, raw)
		for _, mode := range []mapping.ExternalID{"", mapping.ByID, mapping.ByLogin} {
			got, err := mapping.User(&u, mapping.Options{ExternalID: mode})
			require.NoError(t, err)
			want := expected(t, userRows, source)
			wantID := source["id"]
			if mode == mapping.ByLogin {
				wantID = source["profile"].(map[string]any)["login"]
				want["oktaId"] = source["id"]
			}
			require.Equal(t, wantID, got.ExternalID)
			require.Equal(t, source["id"], got.OktaID)
			require.Equal(t, mesh.User, got.Type)
			require.Equal(t, source["lastUpdated"], got.Stamp.Format(mesh.WatermarkLayout))
			require.Equal(t, source["status"] == "DEPROVISIONED", got.Delete == mesh.Deprovisioned)
			require.Equal(t, want, decode[map[string]any](t, got.Attributes))
			requireCanonical(t, got.Attributes)
			if mode == "" && got.Delete != "" {
				deletes++
			}
		}
	}
	require.Equal(t, 4, deletes)

	groupRows := runbookTable(t, "Group attributes")
	for _, raw := range org.Groups {
		source := decode[map[string]any](t, raw)
		g := decode[okta.Group](t, raw)
		got, err := mapping.Group(&g, mapping.Options{ExternalID: mapping.ByLogin})
		require.NoError(t, err)
		require.Equal(t, source["id"], got.ExternalID)
		require.Equal(t, source["id"], got.OktaID)
		require.Equal(t, mesh.Group, got.Type)
		require.Empty(t, got.Delete)
		require.Equal(t, max(source["lastUpdated"].(string), source["lastMembershipUpdated"].(string)),
			got.Stamp.Format(mesh.WatermarkLayout))
		require.Equal(t, expected(t, groupRows, source), decode[map[string]any](t, got.Attributes))
		requireCanonical(t, got.Attributes)
	}
}

// expected reads what the runbook's rows name out of the raw object.
func expected(t *testing.T, rows []runbookRow, source map[string]any) map[string]any {
	t.Helper()
	want := map[string]any{}
	for _, r := range rows {
		var value any = source
		for part := range strings.SplitSeq(r.Okta, ".") {
			object, _ := value.(map[string]any)
			value = object[part] // nil when absent
		}
		switch r.Mesh {
		case "ExternalId":
			continue
		case "accountEnabled":
			value = source["status"] == "ACTIVE"
		case "objectClass":
			var list []string
			for _, v := range value.([]any) {
				list = append(list, v.(string))
			}
			value = strings.Join(list, ",")
		case "type":
			if object, ok := value.(map[string]any); ok {
				require.Len(t, object, 1, "the recorded types hold an id only")
				value = `{"id":"` + object["id"].(string) + `"}`
			}
		}
		want[r.Mesh] = value
	}
	return want
}

// requireCanonical checks that the keys are sorted and nothing is padded.
func requireCanonical(t require.TestingT, b json.RawMessage) {
	again, err := json.Marshal(decode[map[string]any](t, b)) // sorts keys
	require.NoError(t, err)
	require.JSONEq(t, string(again), string(b))
	dec := json.NewDecoder(strings.NewReader(string(b)))
	_, err = dec.Token()
	require.NoError(t, err)
	var keys []string
	for dec.More() {
		key, err := dec.Token()
		require.NoError(t, err)
		keys = append(keys, key.(string))
		var skip json.RawMessage
		require.NoError(t, dec.Decode(&skip))
	}
	require.True(t, slices.IsSorted(keys), "keys are sorted: %v", keys)
}
