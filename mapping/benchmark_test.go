package mapping_test

import (
	"encoding/json"
	"testing"

	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/okta"
)

// BenchmarkUserPage maps a page of 200 users; the target is well under 2 ms.
func BenchmarkUserPage(b *testing.B) {
	for name, o := range map[string]mapping.Options{
		"default": {},
		"ignore":  {Ignore: []string{"lastLogin", "passwordChanged"}},
	} {
		b.Run(name, func(b *testing.B) {
			u := decode[okta.User](b, []byte(janeJSON))
			u.Type = json.RawMessage(`{"id":"oty1234567890abcdefg"}`)
			for _, attribute := range profileRows() {
				u.Profile[attribute] = "Some text of usual length"
			}
			b.ReportAllocs()
			for b.Loop() {
				for range 200 {
					if _, err := mapping.User(&u, o); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
