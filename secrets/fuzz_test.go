package secrets_test

import (
	"errors"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/identitymesh/okta-connector/secrets"
)

// FuzzParseRef: what is accepted is a name that can serve as a path, and what is not is
// not repeated.
func FuzzParseRef(f *testing.F) {
	for _, s := range []string{
		"secret://okta/contoso/apitoken", "secret://a/b", "secret://a", "secret://a/../b", "secret://a/./b", "secret://a//b", "SECRET://a/b",
		"secret://a/b?c", "secret://a/b#c", "secret://a/%2e%2e", "secret://a:1/b", "secret://u@a/b", "00tokenTOKENtoken", "secret://\u0430/b", "secret://a/b\n", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := secrets.ParseRef(text)
		if err != nil {
			if !errors.Is(err, secrets.ErrRef) || ref != "" {
				t.Fatalf("%q: %v, %q", text, err, ref)
			}
			return
		}
		name, ok := strings.CutPrefix(text, secrets.Scheme)
		u, uerr := url.Parse(text)
		switch {
		case ref.String() != text || !ok || len(text) > secrets.MaxRefLen:
			t.Fatalf("%q became %q", text, ref)
		case path.Clean("/"+name) != "/"+name:
			t.Fatalf("%q is not the path that it says", text)
		case uerr != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Host+u.Path != name:
			t.Fatalf("%q is another URL: %v", text, uerr)
		}
	})
}
