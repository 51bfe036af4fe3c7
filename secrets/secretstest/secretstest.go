// Package secretstest is the conformance suite of the secrets' backends, and the
// stand-ins of Vault and Azure Key Vault that it runs against.
package secretstest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/secrets"
)

// Canary is a value that may show nowhere but in what Reveal returns.
const Canary = "00canaryCANARYcanary-T0KEN_never_shown_42x"

// Ref is the reference that most tests use.
const Ref = secrets.Ref("secret://okta/contoso/apitoken")

// Harness is one backend, fresh and empty, and what the suite needs beside it.
type Harness struct {
	Backend secrets.Backend
	// Put stores raw, as it is, in the place of ref, as the tools of that place would.
	Put func(t testing.TB, ref secrets.Ref, raw []byte)
	// Remove takes away what Put stored.
	Remove func(t testing.TB, ref secrets.Ref)
	// What the backend tells of a secret.
	KnowsVersion, KnowsCreated, KnowsUpdated bool
	// EmptyIsMissing: the backend cannot tell an empty secret from none.
	EmptyIsMissing bool
	// TextOnly: the backend cannot hold anything but text without NUL.
	TextOnly bool
	// Failures are the ways in which this backend can fail.
	Failures []Failure
}

// Failure is a way to fail.
type Failure struct {
	Name string
	// Arrange makes reads of Ref fail; Ref holds the canary.
	Arrange func(t testing.TB)
	// Recover ends the trouble; nil: it is not tried.
	Recover func(t testing.TB)
	Kind    secrets.Kind // 0: the error is none of secrets.Error, and permanent
	Says    []string     // parts of the message
	After   time.Duration
}

// Run runs the suite. Every call of open returns a new harness.
func Run(t *testing.T, open func(t testing.TB) *Harness) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, h *Harness){
		"Found": found, "Replaced": replaced, "Missing": missing, "BadReference": badReference,
		"Values": values, "NoTwoReferencesOnePlace": apart, "Places": places, "Cancelled": cancelled,
		"Concurrent": concurrent, "Writer": writer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
	for i, f := range open(t).Failures {
		t.Run("Failure/"+f.Name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			fails(t, h, h.Failures[i])
		})
	}
}

// clean checks that an error is of one kind, names what it is about, and holds no value.
func clean(t testing.TB, h *Harness, err error, kind secrets.Kind) *secrets.Error {
	t.Helper()
	require.Error(t, err)
	require.NotContains(t, err.Error(), Canary)
	var e *secrets.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, kind, e.Kind, "%v", err)
	require.Contains(t, err.Error(), string(Ref))
	place, werr := h.Backend.Where(Ref)
	require.NoError(t, werr)
	require.Contains(t, err.Error(), place.String())
	require.Equal(t, place, e.Place)
	_, later := secrets.RetryLater(err)
	require.Equal(t, kind == secrets.Unavailable, later)
	require.Equal(t, kind == secrets.Missing, secrets.IsMissing(err))
	return e
}

func found(t *testing.T, h *Harness) {
	h.Put(t, Ref, []byte(Canary))
	v, err := h.Backend.Resolve(t.Context(), Ref)
	require.NoError(t, err)
	require.Equal(t, Canary, v.Reveal())
	info, err := h.Backend.Stat(t.Context(), Ref)
	require.NoError(t, err)
	require.Equal(t, h.KnowsVersion, info.Version != "", "version")
	require.Equal(t, h.KnowsCreated, !info.Created.IsZero(), "created")
	require.Equal(t, h.KnowsUpdated, !info.Updated.IsZero(), "updated")
	age, ok := info.Age(info.Updated.Add(time.Hour))
	require.Equal(t, h.KnowsUpdated, ok)
	if ok {
		require.Equal(t, time.Hour, age)
	}
}

// replaced: a secret replaced during a run is picked up by the next activity.
func replaced(t *testing.T, h *Harness) {
	h.Put(t, Ref, []byte("the old one"))
	first, err := h.Backend.Stat(t.Context(), Ref)
	require.NoError(t, err)
	_, err = h.Backend.Resolve(t.Context(), Ref)
	require.NoError(t, err)
	h.Put(t, Ref, []byte("the new one"))
	v, err := h.Backend.Resolve(t.Context(), Ref)
	require.NoError(t, err)
	require.Equal(t, "the new one", v.Reveal())
	second, err := h.Backend.Stat(t.Context(), Ref)
	require.NoError(t, err)
	require.Equal(t, h.KnowsVersion, first.Version != second.Version)
}

func missing(t *testing.T, h *Harness) {
	check := func() {
		_, err := h.Backend.Resolve(t.Context(), Ref)
		e := clean(t, h, err, secrets.Missing)
		require.Contains(t, e.Error(), h.Backend.HowToStore(Ref), "what to do")
		_, err = h.Backend.Stat(t.Context(), Ref)
		clean(t, h, err, secrets.Missing)
	}
	check()
	h.Put(t, Ref, []byte(Canary))
	_, err := h.Backend.Resolve(t.Context(), Ref)
	require.NoError(t, err)
	h.Remove(t, Ref)
	check()
}

func badReference(t *testing.T, h *Harness) {
	for _, bad := range []secrets.Ref{Canary, "", "secret://a", "secret://a/../b", "secret://a/b\n"} {
		_, err := h.Backend.Resolve(t.Context(), bad)
		require.ErrorIs(t, err, secrets.ErrRef)
		require.NotContains(t, err.Error(), Canary, "a token in the reference's place")
		_, err = h.Backend.Stat(t.Context(), bad)
		require.ErrorIs(t, err, secrets.ErrRef)
		_, err = h.Backend.Where(bad)
		require.ErrorIs(t, err, secrets.ErrRef)
	}
}

// SomePEM and SomeJWK are values of several lines. They are no keys.
const (
	SomePEM = "-----BEGIN PRIVATE KEY-----\nTUlJQ2NhbmFyeQ==\n-----END PRIVATE KEY-----"
	SomeJWK = "{\n\t\"kty\": \"EC\",\n  \"d\": \"canary\"\n}"
)

func values(t *testing.T, h *Harness) {
	for raw, want := range map[string]string{
		"a": "a", "a\n": "a", "a\r\n": "a", "a b": "a b", "p\u00e4ss": "p\u00e4ss",
		SomePEM: SomePEM, SomePEM + "\n": SomePEM, SomePEM + "\n" + SomePEM: SomePEM + "\n" + SomePEM,
		strings.ReplaceAll(SomePEM, "\n", "\r\n"): strings.ReplaceAll(SomePEM, "\n", "\r\n"),
		SomeJWK: SomeJWK, SomeJWK + "\n": SomeJWK,
		strings.Repeat("x", 20<<10): strings.Repeat("x", 20<<10), // Azure's limit is 25 kB
	} {
		h.Put(t, Ref, []byte(raw))
		v, err := h.Backend.Resolve(t.Context(), Ref)
		require.NoError(t, err, "%.40q", raw)
		require.Equal(t, want, v.Reveal())
	}
	for raw, says := range map[string]string{
		"\n": "is empty", "  ": "is blank", Canary + "\n\n": "holds a line break", "a\n" + Canary: "holds a line break",
		Canary + "\t": "control character", SomePEM + "\n" + Canary: "line break", Canary + "\n" + SomePEM: "line break",
		"-----BEGIN PRIVATE KEY-----\n" + Canary + "\n": "line break", SomeJWK + SomeJWK: "line break",
		"[\n\"" + Canary + "\"\n]": "line break", Canary + strings.Repeat("x", secrets.MaxValueLen): "larger than 64 KiB",
	} {
		h.Put(t, Ref, []byte(raw))
		_, err := h.Backend.Resolve(t.Context(), Ref)
		require.ErrorContains(t, clean(t, h, err, secrets.Unusable), says)
	}
	for _, raw := range []string{"", "\x00" + Canary, Canary + "\xff"} {
		if raw != "" && h.TextOnly {
			continue
		}
		h.Put(t, Ref, []byte(raw))
		kind := secrets.Unusable
		if raw == "" && h.EmptyIsMissing {
			kind = secrets.Missing
		}
		_, err := h.Backend.Resolve(t.Context(), Ref)
		clean(t, h, err, kind)
	}
}

// apart stores references that careless names would mix up.
func apart(t *testing.T, h *Harness) {
	refs := []secrets.Ref{
		"secret://a/b/c", "secret://a-b/c", "secret://a/b-c", "secret://a_b/c", "secret://a/b_c", "secret://a.b/c", "secret://a--b/c",
		"secret://A/b/c", "secret://a/B/c", "secret://a/-b/c", "secret://a-/b/c", "secret://a/b/c-", "secret://a---2fb/c", "secret://a__b/c",
	}
	for _, ref := range refs {
		h.Put(t, ref, []byte("value of "+ref))
	}
	for _, ref := range refs {
		v, err := h.Backend.Resolve(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, "value of "+string(ref), v.Reveal())
	}
}

// Refs draws references that come close to each other.
func Refs() *rapid.Generator[secrets.Ref] {
	return rapid.Custom(func(t *rapid.T) secrets.Ref {
		part := rapid.StringMatching(`[aA2._-]{1,4}`).Filter(func(s string) bool { return s != "." && s != ".." })
		return secrets.Ref(secrets.Scheme + strings.Join(rapid.SliceOfN(part, 2, 4).Draw(t, "parts"), "/"))
	})
}

// places: no two references have one place, even where case does not count.
func places(t *testing.T, h *Harness) {
	rapid.Check(t, func(r *rapid.T) {
		a, b := Refs().Draw(r, "a"), Refs().Draw(r, "b")
		x, err := h.Backend.Where(a)
		y, err2 := h.Backend.Where(b)
		if err != nil || err2 != nil { // refused: then nothing is mixed up
			for _, err := range []error{err, err2} {
				var e *secrets.Error
				if err != nil && (!errors.As(err, &e) || e.Kind != secrets.Misconfigured) {
					r.Fatalf("%v", err)
				}
			}
			return
		}
		same := x.Path == y.Path
		if x.Backend != secrets.BackendVault { // its paths have a case
			same = strings.EqualFold(x.Path, y.Path)
		}
		if x.Path != "" && same != (a == b) {
			r.Fatalf("%s and %s: %s and %s", a, b, x, y)
		}
	})
	long := secrets.Ref(secrets.Scheme + "A/" + strings.Repeat("B", secrets.MaxRefLen-len(secrets.Scheme)-2))
	if _, err := h.Backend.Where(long); err != nil {
		var e *secrets.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, secrets.Misconfigured, e.Kind)
		require.ErrorContains(t, err, "shorter reference")
		_, err = h.Backend.Resolve(t.Context(), long)
		require.ErrorAs(t, err, &e)
	}
}

func cancelled(t *testing.T, h *Harness) {
	h.Put(t, Ref, []byte(Canary))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Backend.Resolve(ctx, Ref)
	require.ErrorIs(t, err, context.Canceled)
	require.NotContains(t, err.Error(), Canary)
}

func concurrent(t *testing.T, h *Harness) {
	h.Put(t, Ref, []byte("one"))
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for range 5 {
				v, err := h.Backend.Resolve(t.Context(), Ref)
				if err != nil || v.Reveal() != "one" {
					t.Error(err)
				}
			}
		})
	}
	readers.Wait()
}

func writer(t *testing.T, h *Harness) {
	w, ok := h.Backend.(secrets.Writer)
	if !ok {
		require.NotContains(t, h.Backend.HowToStore(Ref), "starter secret set", "it cannot")
		return
	}
	require.NoError(t, w.Set(t.Context(), Ref, []byte(Canary+"\n")))
	v, err := w.Resolve(t.Context(), Ref)
	require.NoError(t, err)
	require.Equal(t, Canary, v.Reveal())
	var refused *secrets.ValueError
	require.ErrorAs(t, w.Set(t.Context(), Ref, []byte("a\n"+Canary)), &refused)
	require.NotContains(t, refused.Error(), Canary)
	require.NoError(t, w.Delete(t.Context(), Ref))
	clean(t, h, w.Delete(t.Context(), Ref), secrets.Missing)
}

func fails(t *testing.T, h *Harness, f Failure) {
	h.Put(t, Ref, []byte(Canary))
	f.Arrange(t)
	for range 2 { // the second time the backend may know something
		_, err := h.Backend.Resolve(t.Context(), Ref)
		if f.Kind == 0 {
			require.Error(t, err)
			require.NotContains(t, err.Error(), Canary)
			_, later := secrets.RetryLater(err)
			require.False(t, later)
		} else {
			clean(t, h, err, f.Kind)
		}
		for _, part := range f.Says {
			require.ErrorContains(t, err, part)
		}
		after, _ := secrets.RetryLater(err)
		require.Equal(t, f.After, after)
	}
	_, err := h.Backend.Stat(t.Context(), Ref)
	require.Error(t, err)
	require.NotContains(t, err.Error(), Canary)
	if f.Recover == nil {
		return
	}
	f.Recover(t)
	v, err := h.Backend.Resolve(t.Context(), Ref)
	require.NoError(t, err)
	require.Equal(t, Canary, v.Reveal())
}
