package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestRestoreDrill loses the database's last three runs, Temporal's state, or both, and does
// what docs/restore.md says.
func TestRestoreDrill(t *testing.T) {
	t.Parallel()
	for _, lost := range []struct {
		name                        string
		database, temporal, stopped bool
	}{
		{name: "the database", database: true, stopped: true},
		{name: "Temporal", temporal: true, stopped: true},
		{name: "both", database: true, temporal: true, stopped: true},
		{name: "the database beneath running workers", database: true},
	} {
		t.Run(lost.name, func(t *testing.T) {
			t.Parallel()
			t.Run("sqlite", func(t *testing.T) {
				t.Parallel()
				newDrill(t, "").run(lost.database, lost.temporal, lost.stopped)
			})
			t.Run("postgres", func(t *testing.T) {
				t.Parallel()
				server, _ := pgtest.Shared(t)
				newDrill(t, server.URL(server.Database(t))).run(lost.database, lost.temporal, lost.stopped)
			})
		})
	}
}

// drill is an org with a history, its backup, and a consumer.
type drill struct {
	*world

	consumer         *consumer
	worker           *stack.Process
	backup, schedule string // files
	held             string // the run that held deletes
	zombie, workflow string // the run that was under way
	paused           *stopper
	back             string // a user who was deactivated and is active again
}

func newDrill(t *testing.T, db string) *drill {
	w := newWorldOn(t, db, oktasim.Config{Org: generated(t, 120, 30)}, map[string]any{"PageSize": 20})
	_, err := w.stack.Temporal(t.Context())
	require.NoError(t, err)
	return &drill{world: w, consumer: &consumer{world: w}, backup: filepath.Join(w.stack.Dir, "backup"), schedule: filepath.Join(w.stack.Dir, "schedules.json")}
}

func (d *drill) run(database, temporal, stopped bool) {
	d.prepare()
	d.threeRuns()
	d.inFlight()
	epoch := d.consumer.offset
	if stopped {
		d.worker.Kill()
		d.paused.release()
	}
	if temporal {
		_, err := d.stack.Temporal(d.Context()) // another one, which knows nothing
		require.NoError(d, err)
		d.clients = map[string]client.Client{}
	}
	if database {
		d.restore()
	}
	if !stopped {
		d.paused.release()
		d.zombieFails()
	}
	if temporal {
		d.temporalAnew(database)
	}
	if stopped {
		d.worker = d.world.worker()
	}
	d.heal(database)
	if database {
		d.consumersAreTold(epoch)
	}
	d.approve(d.holder())
	d.requireTrue()
	d.requireNoMistakes(database)
	d.consumer.follow()
	d.consumer.check()
}

// prepare imports the org, holds deletes, and takes the backup.
func (d *drill) prepare() {
	d.worker = d.world.worker()
	d.completed()
	d.ok(d.starter("", "schedule", "apply", d.name, "--every", "24h", "--reconcile", "Sun 02:00", "--timezone", "Europe/Berlin"))
	d.ok(d.starter("", "schedule", "pause", d.name, "--note", "drill"))
	require.NoError(d, os.WriteFile(d.schedule, []byte(d.ok(d.starter("", "schedule", "export"))), 0o600))
	for _, id := range d.org().GroupIDsByType("OKTA_GROUP")[6:] {
		require.NoError(d, d.org().DeleteGroup(id))
	}
	row, r := d.runMode("full")
	require.Equal(d, "HeldDeletes", row.Outcome, "%+v\n%s", row, r.Stderr)
	d.held = row.RunID
	d.consumer.readAnew()
	d.ok(d.starter("", "feed", "ack", d.name, d.consumer.offset, "--reader", "warehouse"))
	d.takeBackup()
}

// takeBackup does so while a worker runs.
func (d *drill) takeBackup() {
	if d.stack.DB == "" {
		d.ok(d.starter("", "backup", d.backup))
		return
	}
	d.command("pg_dump", "--format=custom", "--file="+d.backup, d.stack.DB)
}

func (d *drill) command(name string, args ...string) {
	d.Helper()
	out, err := exec.CommandContext(d.Context(), name, args...).CombinedOutput()
	require.NoError(d, err, "%s %v\n%s", name, args, out)
}

// threeRuns is what the backup does not know.
func (d *drill) threeRuns() {
	org := d.org()
	active := org.UserIDsByStatus("ACTIVE")
	groups := org.GroupIDsByType("OKTA_GROUP")
	// A delta: adds, updates, deactivations.
	d.back = active[len(active)-1] // the mass deactivation takes the first ones
	require.NoError(d, org.SetStatus(d.back, "DEPROVISIONED"))
	require.NoError(d, org.SetStatus(active[1], "DEPROVISIONED"))
	require.NoError(d, org.UpdateUser(active[2], map[string]any{"title": "of the lost"}))
	d.hire("lost1@example.com")
	require.NoError(d, org.AddMember(groups[0], active[2]))
	d.completedMode("delta")
	// A reconcile: users and a group that are gone for good, and the answer to the hold.
	require.NoError(d, org.DeleteUser(active[1]))
	require.NoError(d, org.SetStatus(active[3], "DEPROVISIONED"))
	require.NoError(d, org.DeleteUser(active[3]))
	require.NoError(d, org.DeleteGroup(groups[1]))
	row, _ := d.runMode("full")
	require.Equal(d, "HeldDeletes", row.Outcome, row.Error)
	require.Equal(d, 1, row.Counts["User"].Deleted)
	d.approve(row.RunID)
	require.False(d, d.has("Group "+groups[1]))
	// A delta: one who comes back.
	require.NoError(d, org.SetStatus(d.back, "ACTIVE"))
	d.hire("lost2@example.com")
	d.completedMode("delta")
	require.True(d, d.has("User "+d.back))
	deactivate(d.world, 30)
	held(d.world, "delta", 30)
	d.consumer.follow()
	d.consumer.check()
	d.ok(d.starter("", "feed", "ack", d.name, d.consumer.offset, "--reader", "warehouse"))
}

func (d *drill) hire(login string) {
	_, err := d.org().CreateUser(map[string]any{"login": login, "email": login, "firstName": "New", "lastName": "Hire"}, true)
	require.NoError(d, err)
}

// inFlight leaves a run under way, with a page in hand.
func (d *drill) inFlight() {
	d.paused = stopAtPage(d.T, d.sim)
	d.zombie = d.start()
	<-d.paused.reached
	d.workflow = workflowID(d.world, d.zombie)
}

// restore puts the database back, as docs/restore.md says.
func (d *drill) restore() {
	if d.stack.DB == "" {
		d.ok(d.starter("", "restore", d.backup, "--yes"))
		return
	}
	d.command("pg_restore", "--clean", "--if-exists", "--single-transaction", "--dbname="+d.stack.DB, d.backup)
	d.ok(d.starter("", "restored", "--all", "--yes"))
}

// zombieFails: the run whose worker nobody stopped cannot write, and says why.
func (d *drill) zombieFails() {
	err := d.client().GetWorkflow(d.Context(), d.workflow, d.zombie).Get(d.Context(), nil)
	require.ErrorContains(d, err, "it knows nothing of run "+d.zombie)
	require.ErrorContains(d, err, "starter restored")
}

// temporalAnew gives an empty Temporal back what it had.
func (d *drill) temporalAnew(database bool) {
	out := d.ok(d.starter("", "schedule", "apply", "-f", d.schedule))
	require.Contains(d, out, "created: every 24h, reconcile Sun 02:00 Europe/Berlin")
	require.Contains(d, d.ok(d.starter("", "schedule", "show", d.name)), "drill", "paused, as it was")
	if !database { // what was under way has its lease
		require.Contains(d, d.ok(d.starter("", "cancel", d.zombie)), "no longer knows")
	}
}

// heal runs as the schedule does.
func (d *drill) heal(database bool) {
	if !database {
		d.completedMode("auto")
		return
	}
	r := d.starter("", "approve", d.held, "--yes") // was answered in the time that is lost
	require.Equal(d, 1, r.Code)
	require.Contains(d, r.Stderr, "restored from a backup")
	row, r := d.runMode("auto")
	require.Equal(d, "HeldDeletes", row.Outcome, "%+v\n%s", row, r.Stderr)
	require.Equal(d, "Full", row.Mode)
	require.Contains(d, row.Note, "the mesh database was restored from a backup")
	require.Positive(d, row.Counts["Group"].Held)
	require.Positive(d, row.Counts["User"].Held)
}

// holder is the run that the hold is answered by.
func (d *drill) holder() string {
	h, err := d.store().Hold(d.Context(), d.name, 0)
	require.NoError(d, err)
	return h.RunID
}

// consumersAreTold: an offset of before is refused, and reading anew is what helps.
func (d *drill) consumersAreTold(before string) {
	for _, args := range [][]string{
		{"changes", d.name, "--since", before, "-o", "jsonl"},
		{"changes", d.name, "--since", before, "-o", "jsonl", "--follow"},
		{"changes", d.name, "--reader", "warehouse", "-o", "jsonl"},
		{"feed", "ack", d.name, before, "--reader", "warehouse"},
	} {
		r := d.starter("", args...)
		require.Equal(d, 5, r.Code, "%v %s", args, r.Stderr)
		require.Empty(d, r.Stdout)
		require.Contains(d, r.Stderr, "Read the objects anew")
	}
	d.consumer.readAnew()
	d.ok(d.starter("", "feed", "ack", d.name, d.consumer.offset, "--reader", "warehouse"))
	require.Empty(d, d.ok(d.starter("", "changes", d.name, "--reader", "warehouse", "-o", "jsonl")))
}

// approve has the deletes that a run held carried out.
func (d *drill) approve(run string) {
	row, r := d.rowOf(d.starter("", "approve", run, "--yes", "--wait", "-o", "json"))
	require.Equal(d, "Completed", row.Outcome, "%+v\n%s", row, r.Stderr)
}

// requireNoMistakes: nobody is deleted who is alive.
func (d *drill) requireNoMistakes(database bool) {
	last := map[string]string{}
	for _, c := range d.changes(0) {
		if database && c.ExternalID == d.back {
			require.NotEqual(d, "Delete", c.Op, "he was away only in the time that is lost")
		}
		last[c.Type+" "+c.ExternalID] = c.Op
	}
	truth := d.org().Truth()
	for id, u := range truth.Users {
		if u.Status != "DEPROVISIONED" {
			require.Contains(d, []string{"Add", "Update"}, last["User "+id], id)
		}
	}
	for id := range truth.Groups {
		require.Contains(d, []string{"Add", "Update"}, last["Group "+id], id)
	}
}

// consumer keeps a copy of the objects with the commands that docs/changes.md names.
type consumer struct {
	*world

	offset string
	copy   map[string]object
}

// readAnew notes where the feed ends, then reads the objects.
func (c *consumer) readAnew() {
	var feed struct{ Offset string }
	decode(c.world, c.ok(c.starter("", "feed", "show", c.name, "-o", "json")), &feed)
	c.offset, c.copy = feed.Offset, c.objects()
}

// follow applies what came since.
func (c *consumer) follow() {
	for _, ch := range lines[dated](c.world, c.ok(c.starter("", "changes", c.name, "--since", c.offset, "-o", "jsonl"))) {
		c.apply(ch)
	}
}

// dated is a change with its epoch.
type dated struct {
	change

	Epoch string
}

func (c *consumer) apply(ch dated) {
	c.offset = ch.Epoch + ":" + fmt.Sprint(ch.Seq)
	key := ch.Type + " " + ch.ExternalID
	if ch.Op == "Delete" {
		delete(c.copy, key)
		return
	}
	c.copy[key] = object{Type: ch.Type, ExternalID: ch.ExternalID, State: "live", Attributes: ch.Attributes}
}

func (c *consumer) check() { requireSame(c.T, c.objects(), c.copy) }
