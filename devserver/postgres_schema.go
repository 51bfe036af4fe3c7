package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/blang/semver/v4"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/server/common/log"
	pgschema "go.temporal.io/server/schema/postgresql/v12"
	"go.temporal.io/server/tools/common/schema"
	schematool "go.temporal.io/server/tools/sql"
)

// initialVersion is what Temporal's schema tool calls a database without tables.
const initialVersion = "0.0"

// schemaOf is one database and the schema that this server wants there.
type schemaOf struct {
	database string
	assets   string // the schema's name in Temporal's tool
	version  string
	landmark string // a table that every version has
}

func (p *postgres) schemas() []schemaOf {
	return []schemaOf{
		{p.mainDB(), "postgresql/v12/temporal", pgschema.Version, "namespaces"},
		{p.visibilityDB(), "postgresql/v12/visibility", pgschema.VisibilityVersion, "executions_visibility"},
	}
}

// prepare sees to it that both databases are there with this server's schema, and claims
// them for this process. What it creates and upgrades it says to notes. A database that it
// refuses it has not changed.
func (p *postgres) prepare(ctx context.Context, logger log.Logger, notes io.Writer) (_ *claim, err error) {
	if err := p.ensureDatabase(ctx, p.mainDB(), logger, notes); err != nil {
		return nil, err
	}
	// From here on no other temporal-dev sets up or upgrades the same two.
	held, err := p.claim(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			held.release()
		}
	}()
	if err := p.refuseCluster(ctx); err != nil {
		return nil, err
	}
	var had [2]string
	for i, s := range p.schemas() { // both are looked at before either is changed
		if err := p.ensureDatabase(ctx, s.database, logger, notes); err != nil {
			return nil, err
		}
		if had[i], err = p.installed(ctx, s); err != nil {
			return nil, err
		}
	}
	for i, s := range p.schemas() {
		if err := p.upgrade(s, had[i], logger, notes); err != nil {
			return nil, err
		}
	}
	return held, nil
}

// ensureDatabase creates a database that is not there.
func (p *postgres) ensureDatabase(ctx context.Context, name string, logger log.Logger, notes io.Writer) error {
	conn, err := p.open(ctx, name)
	if err == nil {
		return conn.Close(ctx)
	}
	if !hasCode(err, codeNoDatabase) {
		return err
	}
	// The tool's connection hides why it fails, so a look of our own comes first.
	if conn, err = p.open(ctx, maintenanceDatabase); err != nil {
		return fmt.Errorf("database %s is not there, and to create it: %w", name, err)
	}
	if err := conn.Close(ctx); err != nil {
		return p.explain(maintenanceDatabase, err)
	}
	err = schematool.DoCreateDatabase(p.sql(name, 1), maintenanceDatabase, logger)
	switch {
	case hasCode(err, codeDuplicate, codeUnique): // another one has made it meanwhile
		return nil
	case hasCode(err, codeDenied):
		return fmt.Errorf("--db: the role %s may not create the database %s (%s): have an administrator create both, "+
			"createdb -O %[1]s %[4]s and createdb -O %[1]s %[5]s, or ALTER ROLE %[1]s CREATEDB",
			p.conn.User, name, p.server(), p.mainDB(), p.visibilityDB())
	case err != nil:
		return p.explain(name, err)
	}
	fmt.Fprintf(notes, "PostgreSQL: created the database %s\n", name)
	return nil
}

// refuseCluster keeps us out of the database of a Temporal cluster that runs: its servers
// write a heartbeat into it every ten seconds.
func (p *postgres) refuseCluster(ctx context.Context) error {
	conn, err := p.open(ctx, p.mainDB())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // only read
	var there bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('cluster_membership') IS NOT NULL`).Scan(&there); err != nil || !there {
		return p.explain(p.mainDB(), err)
	}
	var address string
	err = conn.QueryRow(ctx, `SELECT rpc_address FROM cluster_membership
		WHERE last_heartbeat > (now() AT TIME ZONE 'UTC') - interval '20 seconds' LIMIT 1`).Scan(&address)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return p.explain(p.mainDB(), err)
	}
	return fmt.Errorf("%s is in use by a Temporal server at %s: name another database", p.named(p.mainDB()), address)
}

// installed is the version of the schema in a database, [initialVersion] when there is none.
// A database of something else, or of a newer server, is an error.
func (p *postgres) installed(ctx context.Context, s schemaOf) (string, error) {
	conn, err := p.open(ctx, s.database)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }() // only read
	foreign := fmt.Errorf("%s is a database of something else: name one of its own for Temporal", p.named(s.database))

	var versioned, landmark bool
	var tables int
	err = conn.QueryRow(ctx, `SELECT to_regclass('schema_version') IS NOT NULL, to_regclass($1) IS NOT NULL,
		(SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind IN ('r', 'p'))`,
		s.landmark).Scan(&versioned, &landmark, &tables)
	switch {
	case err != nil:
		return "", p.explain(s.database, err)
	case !versioned && tables == 0:
		return initialVersion, nil
	case !versioned:
		return "", foreign
	}
	var name, has string
	rows, err := conn.Query(ctx, `SELECT db_name, curr_version FROM schema_version WHERE version_partition = 0 ORDER BY db_name = $1`, s.database)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&name, &has}, func() error { return nil }) // ours comes last
	}
	switch {
	case hasCode(err, codeUndefinedColumn):
		return "", foreign
	case err != nil:
		return "", p.explain(s.database, err)
	case name == "": // a set-up that was interrupted goes on
		return initialVersion, nil
	case name != s.database:
		return "", fmt.Errorf("%s holds the Temporal schema of database %s: give it its old name back", p.named(s.database), name)
	}
	return has, p.comparable(s, has, landmark)
}

// comparable refuses a version that this server cannot have upgraded or cannot use.
func (p *postgres) comparable(s schemaOf, has string, landmark bool) error {
	found, err := semver.ParseTolerant(has)
	if err != nil {
		return fmt.Errorf("%s has the schema version %q, which is none of Temporal's: %w", p.named(s.database), has, err)
	}
	wanted, err := semver.ParseTolerant(s.version)
	switch {
	case err != nil:
		return fmt.Errorf("version %q of Temporal's own schema: %w", s.version, err)
	case found.GT(wanted):
		return fmt.Errorf("%s has the schema %s of a newer Temporal server; this one knows up to %s: "+
			"use the temporal-dev that made it, or another database", p.named(s.database), has, s.version)
	case has != initialVersion && !landmark:
		return fmt.Errorf("%s has a Temporal schema without the table %s, so it is another of Temporal's databases: "+
			"name the main one, without %s", p.named(s.database), s.landmark, visibilitySuffix)
	}
	return nil
}

// upgrade runs Temporal's own schema tool from the version that a database has. It is
// repeatable: what it finds done from an interrupted run it leaves.
func (p *postgres) upgrade(s schemaOf, had string, logger log.Logger, notes io.Writer) error {
	if had == s.version {
		return nil
	}
	conn, err := schematool.NewConnection(p.sql(s.database, 1), logger)
	if err != nil {
		return p.explain(s.database, err)
	}
	defer conn.Close()
	if had == initialVersion {
		err := schema.NewSetupSchemaTask(conn, &schema.SetupConfig{InitialVersion: initialVersion}, logger).Run()
		if err != nil {
			return fmt.Errorf("set up Temporal's schema: %w", p.explain(s.database, err))
		}
	}
	err = schema.NewUpdateSchemaTask(conn, &schema.UpdateConfig{DBName: s.database, SchemaName: s.assets}, logger).Run()
	if err != nil {
		return fmt.Errorf("upgrade Temporal's schema from %s to %s: %w", had, s.version, p.explain(s.database, err))
	}
	if had == initialVersion {
		fmt.Fprintf(notes, "PostgreSQL: set up Temporal's schema %s in %s\n", s.version, s.database)
	} else {
		fmt.Fprintf(notes, "PostgreSQL: upgraded Temporal's schema in %s from %s to %s\n", s.database, had, s.version)
	}
	return nil
}
