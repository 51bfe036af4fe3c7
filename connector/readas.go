package connector

import (
	"encoding/json"
	"reflect"
	"strings"
)

// readAs is the part of a definition that decides which objects the mesh holds and
// under which names. A watermark made under another one says nothing about the
// objects that only the new one brings in or leaves out.
type readAs struct {
	OrgDomain           string       `json:"OrgDomain"`
	UserSearchFilter    *string      `json:"UserSearchFilter"`
	GroupFilter         *GroupFilter `json:"GroupFilter"`
	ExternalIDAttribute string       `json:"ExternalIdAttribute"`
	ImportUsers         bool         `json:"ImportUsers"`
	ImportGroups        bool         `json:"ImportGroups"`
	ImportMemberships   bool         `json:"ImportMemberships"`
}

func (d *Definition) readAs() readAs {
	c := d.Config
	return readAs{
		OrgDomain:           strings.ToLower(c.OrgDomain),
		UserSearchFilter:    c.UserSearchFilter,
		GroupFilter:         c.GroupFilter.sorted(),
		ExternalIDAttribute: c.ExternalIDAttribute,
		ImportUsers:         c.ImportUsers,
		ImportGroups:        c.ImportGroups,
		ImportMemberships:   c.ImportMemberships,
	}
}

// ReadAs describes, as one line of JSON, what of a definition voids the watermark
// when it changes (design.md §4, "A changed definition"). A run stores it with its
// watermark; [ChangedSince] compares.
func (d *Definition) ReadAs() string { return string(compact(d.readAs())) }

// ChangedSince names the ConfigJson fields of d that differ from readAs, the
// [Definition.ReadAs] of an earlier run, in a way that voids its watermark. A pass
// that was turned off does not. Without an earlier run (readAs is empty) the answer is
// nil; one that cannot be read counts as another definition.
func ChangedSince(before string, d *Definition) []string {
	var old readAs
	if before == "" {
		return nil
	}
	if json.Unmarshal([]byte(before), &old) != nil {
		return []string{"the record of the last one cannot be read"}
	}
	now := d.readAs()
	var reasons []string
	for _, f := range []struct {
		name    string
		changed bool
	}{
		{"OrgDomain", !strings.EqualFold(old.OrgDomain, now.OrgDomain)},
		{"UserSearchFilter", !reflect.DeepEqual(old.UserSearchFilter, now.UserSearchFilter)},
		{"GroupFilter", !reflect.DeepEqual(old.GroupFilter.sorted(), now.GroupFilter)},
		{"ExternalIdAttribute", old.ExternalIDAttribute != now.ExternalIDAttribute},
		{"ImportUsers", !old.ImportUsers && now.ImportUsers},
		{"ImportGroups", !old.ImportGroups && now.ImportGroups},
		{"ImportMemberships", !old.ImportMemberships && now.ImportMemberships},
	} {
		if f.changed {
			reasons = append(reasons, f.name)
		}
	}
	return reasons
}
