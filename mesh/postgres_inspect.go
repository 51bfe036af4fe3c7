package mesh

import (
	"context"
	"errors"
	"fmt"
)

// inspectPostgres looks at a database of a server. What its role may do is asked, not tried.
func inspectPostgres(ctx context.Context, url string) (i Inspection, err error) {
	config, _, err := pgConfig(url)
	if err != nil {
		return i, err
	}
	i.Name = fmt.Sprintf("the database %q on %s", config.Database, config.Host)
	if i.Wants, err = newest(postgresMigrations); err != nil {
		return i, err
	}
	i.Exposed = Exposed(url)
	i.Newest = i.Wants + 1 // as [migratePostgres] accepts it
	db := pgPool(config, 1, "SET default_transaction_read_only = on")
	defer func() { err = errors.Join(err, db.Close()) }()
	fail := func(err error) error {
		return fmt.Errorf("look at the mesh database %q on %s: %w", config.Database, config.Host, (&pgDialect{}).explain(err))
	}
	if i.Version, err = pgSchemaVersion(ctx, db); err != nil {
		return i, fail(err)
	}
	i.Exists = i.Version > 0
	// reset_val is what a connection without the setting above begins with.
	if err := db.QueryRowContext(ctx, `SELECT pg_is_in_recovery() OR reset_val = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only'`).Scan(&i.ReadOnly); err != nil {
		return i, fail(err)
	}
	if i.Exists && !i.ReadOnly {
		var may bool
		if err := db.QueryRowContext(ctx, `SELECT has_table_privilege('im_connectors', 'INSERT') AND has_table_privilege('im_connectors', 'UPDATE')`).Scan(&may); err != nil {
			return i, fail(err)
		}
		i.ReadOnly = !may
	}
	return i, nil
}
