package mesh

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestChangedNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, before, after string
		ignore, want        []string
	}{
		{"equal", `{"a":1,"b":"x"}`, `{"a":1,"b":"x"}`, nil, nil},
		{"both empty", `{}`, `{}`, nil, nil},
		{"from nothing", `{}`, `{"b":1,"a":2}`, nil, []string{"a", "b"}},
		{"to nothing", `{"b":1,"a":2}`, `{}`, nil, []string{"a", "b"}},
		{"order of names", `{"b":1,"a":2}`, `{"a":2,"b":1}`, nil, nil},
		{"changed, gone and new", `{"a":1,"b":2,"c":3}`, `{"b":4,"c":3,"d":5}`, nil, []string{"a", "b", "d"}},
		{"ignored", `{"a":1,"b":2}`, `{"a":2,"b":3}`, []string{"b", "z"}, []string{"a"}},
		{"nested", `{"a":{"x":[1,"}"]},"b":[{}]}`, `{"a":{"x":[1,"]"]},"b":[{}]}`, nil, []string{"a"}},
		{"escapes", `{"a":"\"\\","b":",\"b\":"}`, `{"a":"\"\\","b":",\"c\":"}`, nil, []string{"b"}},
		{"escaped name", `{"\u0061":1}`, `{"a":1}`, nil, nil},
		{"white space", `{ "a" : 1 , "b":2 }`, `{"a":1,"b":3}`, nil, []string{"b"}},
		{"name twice", `{"a":1,"a":2}`, `{"a":2}`, nil, nil},
		{"null", `{"a":null}`, `{}`, nil, []string{"a"}},
		{"empty name", `{"":1}`, `{"":2}`, nil, []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := changedNames([]byte(c.before), []byte(c.after), c.ignore)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	for _, bad := range []string{``, `{`, `[]`, `{"a":}`, `{"a":1`, `{"a":"}`, `x`} {
		_, err := changedNames([]byte(bad), []byte(`{}`), nil)
		require.Error(t, err, bad)
		_, err = changedNames([]byte(`{}`), []byte(bad), nil)
		require.Error(t, err, bad)
	}
}

// TestChangedNamesAgree compares both ways to compare.
func TestChangedNamesAgree(t *testing.T) {
	t.Parallel()
	value := rapid.OneOf(rapid.String().AsAny(), rapid.Int().AsAny(), rapid.Bool().AsAny(), rapid.SliceOf(rapid.String()).AsAny(),
		rapid.MapOf(rapid.StringN(0, 2, -1), rapid.String()).AsAny(), rapid.Just(any(nil)))
	object := rapid.MapOf(rapid.StringN(0, 2, -1), value)
	rapid.Check(t, func(t *rapid.T) {
		a, b := object.Draw(t, "a"), object.Draw(t, "b")
		for name := range a { // some stay
			if rapid.Bool().Draw(t, "stays") {
				b[name] = a[name]
			}
		}
		before, err := json.Marshal(a)
		require.NoError(t, err)
		after, err := json.Marshal(b)
		require.NoError(t, err)
		want, err := changedNamesOfAny(before, after, []string{"x"})
		require.NoError(t, err)
		got, err := changedNames(before, after, []string{"x"})
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}
