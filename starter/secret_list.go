package main

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

func newSecretList(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the secrets, without their values",
		Long: `List the secrets, without their values: those that connectors name, and all others of
the table. Each is looked up in its backend, and the times are what that knows. A token
older than 90 days is due for rotation (runbook, Step 1).`,
		Example: `  starter secret list
  starter secret list -o json`,
		Args: noArgs("it lists every secret"),
		RunE: c.action(func(ctx context.Context, _ []string) error {
			return c.withSecrets(ctx, func(store mesh.Store, backend secrets.Backend) error {
				return c.listSecrets(ctx, store, backend, out.value)
			})
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// listedSecret is a line of `secret list`.
type listedSecret struct {
	Ref         string    `json:"ref"`
	Backend     string    `json:"backend,omitempty"` // "": it cannot be named there
	Where       string    `json:"where,omitempty"`
	Found       bool      `json:"found"` // and usable
	Version     string    `json:"version,omitempty"`
	CreatedAt   time.Time `json:"createdAt,omitzero"`
	UpdatedAt   time.Time `json:"updatedAt,omitzero"`
	RotationDue bool      `json:"rotationDue"`
	UsedBy      []string  `json:"usedBy"` // connectors
	Error       string    `json:"error,omitempty"`

	missing bool // the backend says that it is not there
}

func (c *cli) listSecrets(ctx context.Context, store mesh.Store, backend secrets.Backend, f format) error {
	refs, err := knownRefs(ctx, store, backend)
	if err != nil {
		return err
	}
	all := make([]listedSecret, 0, len(refs))
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		all = append(all, c.lookUp(ctx, backend, secrets.Ref(ref), refs[ref]))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if f == asJSON {
		return printJSON(c.stdout, all)
	}
	if len(all) == 0 {
		c.notef("There is no secret yet: store one with 'starter secret set REF'.")
		return nil
	}
	rows := make([][]string, len(all))
	for i, s := range all {
		age, due, found := "-", "", "yes"
		if d, ok := (secrets.Info{Updated: s.UpdatedAt}).Age(c.now()); ok {
			age = span(d)
		}
		if s.RotationDue {
			due = "due"
		}
		switch {
		case !s.Found && s.missing:
			found = "NO"
		case !s.Found: // it may be there: the error says why that is not known, or of no use
			found = "ERROR"
		}
		rows[i] = []string{s.Ref, stamp(s.CreatedAt), stamp(s.UpdatedAt), age, due, found, cmp.Or(strings.Join(s.UsedBy, ", "), "-"), s.Where}
	}
	if err := printTable(c.stdout, []string{"REFERENCE", "CREATED", "UPDATED", "AGE", "ROTATION", "FOUND", "USED BY", "WHERE"}, rows); err != nil {
		return err
	}
	said := map[string]bool{} // what keeps every row from being read is said once
	for _, s := range all {
		if s.Error != "" && !said[s.Error] {
			said[s.Error] = true
			c.notef("%s", s.Error)
		}
	}
	return nil
}

// lookUp asks the backend about one secret.
func (c *cli) lookUp(ctx context.Context, backend secrets.Backend, ref secrets.Ref, users []string) listedSecret {
	s := listedSecret{Ref: string(ref), UsedBy: users}
	place, err := backend.Where(ref)
	if err != nil {
		s.Error = err.Error()
		return s
	}
	s.Backend, s.Where = place.Backend, place.String()
	info, err := backend.Stat(ctx, ref)
	if err != nil {
		s.Error, s.missing = err.Error(), secrets.IsMissing(err)
		return s
	}
	s.Found, s.Version, s.CreatedAt, s.UpdatedAt = true, info.Version, info.Created.UTC(), info.Updated.UTC()
	age, _ := info.Age(c.now())
	s.RotationDue = age > secrets.RotateAfter
	return s
}

// knownRefs are the references that there are, each with the connectors that name it.
func knownRefs(ctx context.Context, store mesh.Store, backend secrets.Backend) (map[string][]string, error) {
	refs, err := namedRefs(ctx, store)
	if err != nil {
		return nil, err
	}
	stored, ok := backend.(*secrets.TableStore)
	if !ok {
		return refs, nil
	}
	rows, err := stored.List(ctx)
	for _, row := range rows {
		if _, named := refs[row.Ref]; !named {
			refs[row.Ref] = []string{}
		}
	}
	return refs, err
}

// namedRefs are the references that definitions name, each with the names of the
// connectors, sorted.
func namedRefs(ctx context.Context, store mesh.Store) (map[string][]string, error) {
	all, err := store.ListConnectors(ctx)
	if err != nil {
		return nil, err
	}
	refs := make(map[string][]string)
	for _, conn := range all {
		for _, ref := range refsIn(conn.AuthJSON) {
			refs[ref] = append(refs[ref], conn.Name)
		}
	}
	for _, users := range refs {
		slices.Sort(users)
	}
	return refs, nil
}

// refsIn are the references in an AuthJson, whatever its mode names them for.
func refsIn(authJSON []byte) []string {
	var fields map[string]any
	if json.Unmarshal(authJSON, &fields) != nil {
		return nil
	}
	var refs []string
	for _, value := range fields {
		text, _ := value.(string)
		if ref, err := secrets.ParseRef(text); err == nil && !slices.Contains(refs, string(ref)) {
			refs = append(refs, string(ref))
		}
	}
	slices.Sort(refs)
	return refs
}

// noteMissingSecrets reminds the operator of secrets that a definition names and that
// cannot be used yet.
func (c *cli) noteMissingSecrets(ctx context.Context, store mesh.Store, authJSON []byte) error {
	backend, err := c.openSecrets(store)
	if err != nil {
		return err
	}
	defer func() { _ = backend.Close() }() // nothing was written
	for _, ref := range refsIn(authJSON) {
		_, err := backend.Stat(ctx, secrets.Ref(ref))
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case secrets.IsMissing(err):
			c.notef("note: %s is not stored yet; %s", ref, backend.HowToStore(secrets.Ref(ref)))
		default:
			c.notef("note: %s", err)
		}
	}
	return nil
}
