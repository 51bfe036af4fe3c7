package secrets_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/secrets/secretstest"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for ref, want := range map[secrets.Ref][2]string{
		"secret://okta/contoso/apitoken":      {"okta--contoso--apitoken", "IDENTITYMESH_SECRET_OKTA__CONTOSO__APITOKEN"},
		"secret://okta/contoso-dev/apitoken2": {"okta--contoso-dev--apitoken2", "IDENTITYMESH_SECRET_OKTA__CONTOSO_DEV__APITOKEN2"},
		"secret://okta/contoso/apiToken":      {"okta--contoso--api---54oken", "IDENTITYMESH_SECRET_OKTA__CONTOSO__API___54OKEN"},
		"secret://okta/contoso.eu/api_token":  {"okta--contoso---2eeu--api---5ftoken", "IDENTITYMESH_SECRET_OKTA__CONTOSO___2EEU__API___5FTOKEN"},
		"secret://a--b/-c":                    {"a---2d---2db-----2dc", "IDENTITYMESH_SECRET_A___2D___2DB_____2DC"},
	} {
		require.Equal(t, want, [2]string{secrets.FlatName(ref), secrets.EnvName(ref)})
	}
}

// unflat reads a name back, which shows that no two references have one name. It is
// written from the rule and not from the code.
func unflat(t *rapid.T, name string) string {
	var b strings.Builder
	for name != "" {
		rest := strings.TrimLeft(name, "-")
		dashes := len(name) - len(rest)
		name = rest
		if dashes == 2 || dashes == 5 {
			b.WriteByte('/')
			dashes -= 2
		}
		switch dashes {
		case 0:
			if n := strings.IndexByte(name+"-", '-'); n > 0 {
				b.WriteString(name[:n])
				name = name[n:]
			}
		case 1:
			b.WriteByte('-')
		case 3:
			c, err := hex.DecodeString(name[:2])
			if err != nil {
				t.Fatalf("%v in %q", err, name)
			}
			b.Write(c)
			name = name[2:]
		default:
			t.Fatalf("%d dashes", dashes)
		}
	}
	return b.String()
}

func TestNamesCanBeReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		ref := secretstest.Refs().Draw(r, "ref")
		_, err := secrets.ParseRef(string(ref))
		require.NoError(r, err)
		name := secrets.FlatName(ref)
		require.Equal(r, ref.Path(), unflat(r, name))
		require.Regexp(r, `^[0-9a-z-]+$`, name)
		require.Equal(r, secrets.EnvPrefix+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), secrets.EnvName(ref))
	})
}
