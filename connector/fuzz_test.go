package connector_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/identitymesh/okta-connector/connector"
)

// Parse never panics; what it accepts is valid, and reads back as the same from
// its own output and from its parts. What it refuses comes with a reason.
func FuzzParse(f *testing.F) {
	f.Add([]byte(runbookJSON))
	f.Add([]byte(`{"Name":"a","Type":"Okta","ConfigJson":"{\"OrgDomain\":\"[::1]:1\",\"InsecureLoopback\":true,\"IgnoreForChanges\":[\"a\"]}","AuthJson":{}}`))
	f.Add([]byte(`{"Name":1,"Name":2,"ConfigJson":[],"AuthJson":"{"} x`))
	f.Add([]byte("\ufeff{}"))
	f.Add([]byte(`{"Name":"a","Type":"Okta","ConfigJson":{"OrgDomain":"a.b","WatermarkOverlap":"1h0.5s","MaxDeletes":0,"HoldTimeLimit":"90m","RateLimitReserve":90,"MaxInFlight":1,"TaskQueue":"relay/1",` +
		`"GroupFilter":{"Exclude":{"NamePrefixes":["x"]}}},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := connector.Parse(b)
		if err != nil {
			var e *connector.ValidationError
			if d != nil || !errors.As(err, &e) || len(e.Problems) == 0 || err.Error() == "" {
				t.Fatalf("refused without a reason: %v, %v", d, err)
			}
			return
		}
		if err := d.Validate(); err != nil {
			t.Fatalf("accepted, yet not valid: %v", err)
		}
		// The host that the token goes to is the one that was written.
		u, err := url.Parse(d.Config.BaseURL())
		if err != nil || !strings.EqualFold(u.Host, d.Config.OrgDomain) || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Scheme == "http" != d.Config.InsecureLoopback {
			t.Fatalf("OrgDomain %q becomes %q: %v", d.Config.OrgDomain, d.Config.BaseURL(), err)
		}
		again, err := connector.Parse(d.JSON())
		if err != nil {
			t.Fatalf("its own output is refused: %v\n%s", err, d.JSON())
		}
		parts, err := connector.FromParts(d.Name, d.Type, d.ConfigJSON(), d.AuthJSON())
		if err != nil {
			t.Fatalf("its own parts are refused: %v", err)
		}
		if string(again.JSON()) != string(d.JSON()) || string(parts.JSON()) != string(d.JSON()) {
			t.Fatalf("changed on the way:\n%s\n%s\n%s", d.JSON(), again.JSON(), parts.JSON())
		}
	})
}
