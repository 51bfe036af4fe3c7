package secrets

import (
	"fmt"
	"strings"
)

// FlatName is the name of a reference where a name may hold letters, digits and
// dashes only and its case does not count: files, Azure Key Vault.
//
// A slash becomes two dashes; a small letter, a digit, and a dash between two of
// them, stay. Every other character becomes three dashes and its two hexadecimal
// digits. So secret://okta/contoso-dev/apitoken is okta--contoso-dev--apitoken, and
// no two references have one name: dashes come in ones, twos, threes, or fives (two
// and three), and each says what follows.
func FlatName(ref Ref) string { return flat(ref, '-') }

// EnvName is the environment variable of a reference: [FlatName] in capitals, with
// underscores for its dashes, behind [EnvPrefix].
// secret://okta/contoso-dev/apitoken is IDENTITYMESH_SECRET_OKTA__CONTOSO_DEV__APITOKEN.
func EnvName(ref Ref) string { return EnvPrefix + strings.ToUpper(flat(ref, '_')) }

// EnvPrefix begins the name of every variable that holds a secret.
const EnvPrefix = "IDENTITYMESH_SECRET_"

func flat(ref Ref, dash byte) string {
	path := ref.Path()
	plain := func(i int) bool {
		return i >= 0 && i < len(path) && (path[i] >= 'a' && path[i] <= 'z' || path[i] >= '0' && path[i] <= '9')
	}
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case plain(i):
			b.WriteByte(c)
		case c == '/':
			b.WriteByte(dash)
			b.WriteByte(dash)
		case c == '-' && plain(i-1) && plain(i+1):
			b.WriteByte(dash)
		default:
			fmt.Fprintf(&b, "%c%c%c%02x", dash, dash, dash, c)
		}
	}
	return b.String()
}

// Path returns the reference without its scheme, such as okta/contoso/apitoken.
func (r Ref) Path() string { return strings.TrimPrefix(string(r), Scheme) }
