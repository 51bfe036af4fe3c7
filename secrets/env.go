package secrets

import (
	"context"
	"os"
)

// Env reads secrets from the environment of this process, each from the variable that
// [EnvName] says. A variable that is not set, or empty, is missing. A change needs a
// new process, and other programs of the same user may read the environment of this
// one: prefer [Files] where there is a choice. The zero value is ready.
type Env struct {
	// Lookup is os.LookupEnv when nil.
	Lookup func(name string) (string, bool)
}

var _ Backend = (*Env)(nil)

// Where implements [Backend].
func (*Env) Where(ref Ref) (Place, error) {
	ref, err := ParseRef(string(ref))
	if err != nil {
		return Place{}, err
	}
	return Place{Backend: BackendEnv, Name: "the environment", Path: EnvName(ref)}, nil
}

// Resolve implements [Resolver].
func (e *Env) Resolve(ctx context.Context, ref Ref) (Value, error) {
	place, err := e.Where(ref)
	if err != nil {
		return Value{}, err
	}
	if err := ctx.Err(); err != nil {
		return Value{}, err
	}
	lookup := e.Lookup
	if lookup == nil {
		lookup = os.LookupEnv
	}
	text, _ := lookup(place.Path)
	if text == "" {
		return Value{}, &Error{Ref: ref, Place: place, Kind: Missing, Remedy: e.HowToStore(ref)}
	}
	return Found(ref, place, []byte(text))
}

// Stat implements [Backend]. An environment knows no times.
func (e *Env) Stat(ctx context.Context, ref Ref) (Info, error) {
	v, err := e.Resolve(ctx, ref)
	v.Wipe()
	return Info{}, err
}

// HowToStore implements [Backend].
func (*Env) HowToStore(ref Ref) string {
	return "set the variable " + EnvName(ref) + " in the environment of the worker, and start the worker anew"
}

// Close implements [Backend].
func (*Env) Close() error { return nil }
