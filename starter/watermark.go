package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
)

func newWatermarkCommand(c *cli) *cobra.Command {
	return c.group(&cobra.Command{
		Use:   "watermark",
		Short: "Show or set a connector's watermark",
		Long: `Show or set a connector's watermark: the stamps from which its next delta reads users
("u") and groups ("g"). Imports move it themselves; setting it is for repairs.`,
		Example: `  starter watermark get contoso
  starter watermark set contoso --users 2026-04-22T00:00:00Z`,
	}, newWatermarkGet(c), newWatermarkSet(c))
}

// watermarkView is a stored watermark in JSON.
type watermarkView struct {
	Connector string `json:"connector"`
	// Watermark is null when there is none or when the text is malformed, which Error explains.
	Watermark *mesh.Watermark `json:"watermark"`
	Text      string          `json:"text"` // what is stored
	Error     string          `json:"error,omitempty"`
	UpdatedAt *time.Time      `json:"updatedAt"`
	UpdatedBy string          `json:"updatedBy"` // a run, or who set it by hand
}

// watermark reads the stored watermark of a connector.
func watermark(ctx context.Context, store mesh.Store, name string) (*watermarkView, error) {
	s, err := store.StoredWatermark(ctx, name)
	if err != nil {
		return nil, err
	}
	v := &watermarkView{Connector: name, Text: s.Text, UpdatedBy: s.UpdatedBy}
	if s.UpdatedAt.Unix() > 0 {
		at := s.UpdatedAt.UTC()
		v.UpdatedAt = &at
	}
	if w, err := mesh.ParseWatermark(s.Text); err != nil {
		v.Error = err.Error()
	} else if w.Users != nil || w.Groups != nil {
		v.Watermark = &w
	}
	return v, nil
}

// changed says who wrote it and when, "-" when nobody did.
func (v *watermarkView) changed() string {
	if v.UpdatedAt == nil {
		return orDash(v.UpdatedBy)
	}
	by := v.UpdatedBy
	if runID.MatchString(by) {
		by = "run " + by
	}
	if by == "" {
		return stamp(*v.UpdatedAt)
	}
	return stamp(*v.UpdatedAt) + " by " + by
}

func (v *watermarkView) fields() []field {
	fields := []field{{"Watermark", orDash(v.Text)}, {"Watermark set", v.changed()}}
	if v.Error != "" {
		fields = append(fields, field{"Watermark error", oneLine(v.Error)})
	}
	return fields
}

func (c *cli) printWatermark(ctx context.Context, store mesh.Store, name string, f format) error {
	v, err := watermark(ctx, store, name)
	if err != nil {
		return err
	}
	if f == asJSON {
		return printJSON(c.stdout, v)
	}
	return printFields(c.stdout, append([]field{{"Connector", name}}, v.fields()...))
}

func newWatermarkGet(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Show a connector's watermark, and who set it when",
		Long: `Show a connector's watermark as it is stored, and who set it when: a run, or somebody by
hand.`,
		Example: `  starter watermark get contoso
  starter watermark get contoso -o json | jq -r .watermark.u`,
		Args:              oneArg("NAME", ""),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withStore(ctx, func(store mesh.Store) error {
				if _, err := knownConnector(ctx, store, args[0]); err != nil {
					return err
				}
				return c.printWatermark(ctx, store, args[0], out.value)
			})
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// watermarkOptions are the ways to say a watermark.
type watermarkOptions struct {
	text          string // the whole wrapper
	users, groups string // one stamp each
	clear         bool
}

func newWatermarkSet(c *cli) *cobra.Command {
	var o watermarkOptions
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "set NAME [WATERMARK]",
		Short: "Set a connector's watermark by hand",
		Long: `Set a connector's watermark by hand, from the next run on. WATERMARK is the whole of it,
as 'starter watermark get' prints it; a type that it leaves out has none, so that its next
delta is a full walk. --users and --groups set one stamp each and leave the other. --clear
removes the watermark: the next run is a Full.

An earlier stamp has the next delta read more again, which harms nothing. A later one
skips what changed in between, until the next full walk finds it. While a run imports the
connector, setting the watermark is refused.`,
		Example: `  starter watermark set contoso '{"u":"2026-04-22T08:00:00.000Z","g":"2026-04-22T08:00:00.000Z"}'
  starter watermark set contoso --users 2026-04-22T00:00:00Z
  starter watermark set contoso --clear`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && args[0] != "" {
				return nil
			}
			return oneArg("NAME", "and the watermark in quotes")(cmd, args)
		},
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			if len(args) == 2 {
				o.text = args[1]
			}
			if err := o.check(len(args) == 2); err != nil {
				return err
			}
			return c.withStore(ctx, func(store mesh.Store) error { return c.setWatermark(ctx, store, args[0], o, out.value) })
		}),
	}
	cmd.Flags().StringVar(&o.users, "users", "", "the stamp of the users")
	cmd.Flags().StringVar(&o.groups, "groups", "", "the stamp of the groups")
	cmd.Flags().BoolVar(&o.clear, "clear", false, "remove the watermark")
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// check refuses what contradicts itself or says nothing.
func (o watermarkOptions) check(whole bool) error {
	ways := 0
	for _, given := range []bool{whole, o.users != "" || o.groups != "", o.clear} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return usagef("say the watermark in one way: as '{\"u\": …, \"g\": …}', by --users and --groups, or --clear")
	}
	if !whole {
		return nil
	}
	w, err := mesh.ParseWatermark(o.text)
	if err != nil {
		return &usageError{err}
	}
	if w.Users == nil && w.Groups == nil {
		return usagef("the watermark %q holds no stamp; --clear removes the stored one", o.text)
	}
	return nil
}

func (c *cli) setWatermark(ctx context.Context, store mesh.Store, name string, o watermarkOptions, f format) error {
	if _, err := knownConnector(ctx, store, name); err != nil {
		return err
	}
	text := o.text
	if o.users != "" || o.groups != "" {
		var err error
		if text, err = o.merged(ctx, store, name); err != nil {
			return err
		}
	}
	if err := store.SetWatermark(ctx, name, text, c.operator()); err != nil {
		return err
	}
	w, err := mesh.ParseWatermark(text)
	if err != nil {
		return err // it has just been stored
	}
	for _, m := range []*mesh.Mark{w.Users, w.Groups} {
		if m != nil && m.After(c.now()) {
			c.notef("note: %s is still to come: changes until then are not read by deltas", stamp(m.Time))
		}
	}
	return c.printWatermark(ctx, store, name, f)
}

// merged replaces single stamps of the stored watermark.
func (o watermarkOptions) merged(ctx context.Context, store mesh.Store, name string) (string, error) {
	raw, err := store.RawWatermark(ctx, name)
	if err != nil {
		return "", err
	}
	w, err := mesh.ParseWatermark(raw)
	if err != nil && (o.users == "" || o.groups == "") {
		return "", fmt.Errorf("the other stamp cannot be kept: %w", err)
	}
	for _, s := range []struct {
		flag, text string
		mark       **mesh.Mark
	}{{"--users", o.users, &w.Users}, {"--groups", o.groups, &w.Groups}} {
		if s.text == "" {
			continue
		}
		quoted, err := json.Marshal(s.text)
		if err != nil {
			return "", err // a string always marshals
		}
		var m mesh.Mark
		if err := m.UnmarshalJSON(quoted); err != nil {
			return "", usagef("%s: %w", s.flag, err)
		}
		*s.mark = &m
	}
	return w.String(), nil
}
