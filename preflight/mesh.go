package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
)

// mesh looks at the database and at what it holds of the connector.
func (c *check) mesh(ctx context.Context) {
	c.def = c.Definition
	open := c.database(ctx)
	if open {
		store, err := c.Open(ctx)
		if err != nil {
			c.fail(Database, err.Error(), "")
			open = false
		} else {
			c.store = store
		}
	}
	if !open {
		c.unstored()
		return
	}
	c.definition(ctx)
	if c.def == nil {
		c.skip(Connector, Watermark, Lease)
		return
	}
	c.watermark(ctx)
	c.lease(ctx)
}

// database says whether the mesh can be opened without a change.
func (c *check) database(ctx context.Context) bool {
	i, err := c.Inspect(ctx)
	name := i.Name
	switch {
	case err != nil:
		c.fail(Database, err.Error(), "set IDENTITYMESH_DB to the database that the worker uses")
	case !i.Exists && c.Definition != nil:
		c.warn(Database, name+" does not exist yet", "`starter connector apply` makes it; if there is one already, set IDENTITYMESH_DB to it")
	case !i.Exists:
		c.fail(Database, name+" does not exist", "set IDENTITYMESH_DB to the database that the worker uses, or make a connector with `starter connector init` and `starter connector apply`")
	case i.Version > i.Newest:
		c.fail(Database, fmt.Sprintf("%s has schema version %d, and this release knows %d", name, i.Version, i.Wants), "use the newer release")
	case i.ReadOnly:
		c.fail(Database, name+" is not writable for this user", "run as the user who owns it, or give this one the right to write to the file and its folder")
	case i.Version < i.Wants:
		c.fail(Database, fmt.Sprintf("%s has schema version %d, and this release needs %d", name, i.Version, i.Wants),
			"any other command of this release migrates it, such as `starter connector list`; workers of the release before may go on, stop older ones first")
	case i.Locked:
		c.warn(Database, fmt.Sprintf("%s, schema version %d: another process has kept it locked for %s", name, i.Version, mesh.LockPatience),
			"find the process that has the file open, such as a backup or an SQL shell in a transaction; a run waits 30 s for each of its pages")
		return true
	case i.Exposed != "":
		c.warn(Database, fmt.Sprintf("%s, schema version %d, writable; %s", name, i.Version, i.Exposed),
			"add sslmode=verify-full to IDENTITYMESH_DB, and sslrootcert=FILE for an authority of your own: the whole directory travels there")
		return true
	default:
		c.ok(Database, "%s, schema version %d, writable", name, i.Version)
		return true
	}
	return false
}

// unstored is what is left to say without a database.
func (c *check) unstored() {
	if c.def == nil {
		c.skip(Database, Connector)
		return
	}
	c.ok(Connector, "%s, not applied yet", describe(c.def))
}

func (c *check) definition(ctx context.Context) {
	if c.Definition != nil {
		if err := c.Definition.CheckMesh(c.store.Shared()); err != nil {
			c.fail(Connector, err.Error(), "`starter connector apply` refuses it")
			return
		}
	}
	row, err := c.store.Connector(ctx, c.Name)
	_, unknown := errors.AsType[*mesh.NotFoundError](err)
	switch {
	case unknown && c.Definition != nil:
		c.ok(Connector, "%s, not applied yet", describe(c.def))
		return
	case unknown:
		c.fail(Connector, err.Error(), "`starter connector list` shows the connectors; `starter connector apply -f FILE` makes one")
		return
	case err != nil:
		c.fail(Connector, err.Error(), "")
		return
	}
	stored, err := connector.FromParts(row.Name, row.Type, row.ConfigJSON, row.AuthJSON)
	if err == nil {
		err = stored.CheckMesh(c.store.Shared())
	}
	if err == nil {
		err = stored.Config.CheckAttributes(slices.Concat(mapping.UserAttributes(), mapping.GroupAttributes()))
	}
	if c.Definition != nil {
		if err == nil && string(stored.JSON()) == string(c.def.JSON()) {
			c.ok(Connector, "%s, applied as it is", describe(c.def))
		} else {
			c.ok(Connector, "%s, differs from the one that is applied%s", describe(c.def), c.next(ctx))
		}
		return
	}
	if err != nil {
		c.fail(Connector, err.Error(), "correct the file and run `starter connector apply -f FILE`")
		return
	}
	c.def = stored
	c.ok(Connector, "%s%s", describe(c.def), c.next(ctx))
}

// next says whether the next run is a Full because of the definition.
func (c *check) next(ctx context.Context) string {
	state, err := c.store.ReadState(ctx, c.Name)
	if err != nil {
		return ""
	}
	changed := connector.ChangedSince(state.ReadAs, c.def)
	if len(changed) == 0 {
		return ""
	}
	return "; the next run is a Full, since this changed: " + strings.Join(changed, ", ")
}

// describe is a definition in a few words.
func describe(def *connector.Definition) string {
	var on []string
	for _, p := range []struct {
		name string
		on   bool
	}{{"users", def.Config.ImportUsers}, {"groups", def.Config.ImportGroups}, {"memberships", def.Config.ImportMemberships}} {
		if p.on {
			on = append(on, p.name)
		}
	}
	return "valid, imports " + strings.Join(on, ", ")
}

// watermark looks at the stored text; whether it lies in the future is known once Okta has
// told the time.
func (c *check) watermark(ctx context.Context) {
	text, err := c.store.RawWatermark(ctx, c.Name)
	if _, unknown := errors.AsType[*mesh.NotFoundError](err); unknown {
		text, err = "", nil
	}
	if err != nil {
		c.fail(Watermark, err.Error(), "")
		return
	}
	c.marks = text
	w, err := mesh.ParseWatermark(text)
	switch {
	case err != nil:
		c.fail(Watermark, err.Error(), "")
	case w.String() == "":
		c.ok(Watermark, "none: the next run is a Full")
	default:
		c.ok(Watermark, "%s", w.String())
	}
}

func (c *check) lease(ctx context.Context) {
	holder, err := c.store.Holder(ctx, c.Name)
	if _, unknown := errors.AsType[*mesh.NotFoundError](err); unknown {
		err = nil
	}
	switch {
	case err != nil:
		c.fail(Lease, err.Error(), "")
	case holder != "":
		c.ok(Lease, "run %s is importing it now; it shares Okta's rate limit with this check", holder)
	default:
		c.ok(Lease, "none under way")
	}
}
