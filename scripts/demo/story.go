package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/identitymesh/okta-connector/internal/stack"
)

// Rows of a long table that are shown, so that the story fits on a few screens.
const (
	feedRows = 16
	heldRows = 4
)

// story is the life of a connector: it imports everything, then what changes, then
// finds what Okta never announces, and asks before it deletes many.
func (s *show) story(ctx context.Context) error {
	people, err := s.Org.Active(ctx)
	if err != nil {
		return err
	}
	if len(people) < 100 {
		return fmt.Errorf("the org is too small for the demo: %d active users", len(people))
	}
	t := tale{show: s, people: people}
	for _, chapter := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"1. Everything is imported once", t.full},
		{"2. From then on a schedule reads what changes", t.scheduled},
		{"3. A hard delete, which Okta announces to nobody", t.hardDelete},
		{"4. Too many deletes at once wait for an operator", t.massDelete},
		{"5. What a consumer of the mesh has seen since the first import", t.feed},
	} {
		say("\n── %s ──\n", chapter.title)
		if err := chapter.tell(ctx); err != nil {
			return err
		}
	}
	say("\nThe demo is over; nothing is left running. `make up` keeps a stack up to look around in.")
	return nil
}

// tale is the story as far as it has been told.
type tale struct {
	*show

	people []stack.OrgUser // active at the beginning
	seq    int             // of the feed's last row after the first import
}

func (t *tale) full(ctx context.Context) error {
	if err := t.starter(ctx, "run", "demo", "--mode", "full", "--wait").ok(); err != nil {
		return err
	}
	r, err := t.Starter(ctx, nil, "", "changes", "demo", "--since", "0", "-o", "jsonl")
	if err != nil {
		return err
	}
	t.seq = lines(r.Stdout)
	return nil
}

func (t *tale) scheduled(ctx context.Context) error {
	if err := t.starter(ctx, "schedule", "apply", "demo", "--every", "15m", "--reconcile", "Sun 02:00").ok(); err != nil {
		return err
	}
	say("\nNow the org changes:")
	if err := change(ctx, t.Org, t.people, func(what string) { say("  - %s", what) }); err != nil {
		return err
	}
	before, err := t.LastRun(ctx)
	if err != nil {
		return err
	}
	say("\nIn place of a quarter of an hour's wait:\n")
	if err := t.starter(ctx, "schedule", "trigger", "demo").ok(); err != nil {
		return err
	}
	run, err := t.ended(ctx, before.RunID)
	if err != nil {
		return err
	}
	say("")
	if err := t.starter(ctx, "runs", "show", run).ok(); err != nil {
		return err
	}
	say("\nThe rest is done by hand, so that no tick comes in between:\n")
	return t.starter(ctx, "schedule", "pause", "demo", "--note", "a demonstration").ok()
}

// ended waits for the end of a run that came after another, and returns its id.
func (t *tale) ended(ctx context.Context, after string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		run, err := t.LastRun(ctx)
		switch {
		case err != nil:
			return "", errors.Join(err, ctx.Err())
		case run.RunID != after && run.Outcome != "":
			return run.RunID, nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return "", fmt.Errorf("the scheduled run did not end: %w", ctx.Err())
		}
	}
}

func (t *tale) hardDelete(ctx context.Context) error {
	gone := t.people[4]
	if err := t.Org.HardDelete(ctx, gone); err != nil {
		return err
	}
	say("%s is deleted in Okta, for good. A delta reads the changes of the last five\nminutes once more, because Okta's lists lag, finds nothing new, and does not see it:\n", gone.Name())
	if err := t.starter(ctx, "run", "demo", "--mode", "delta", "--wait").ok(); err != nil {
		return err
	}
	say("")
	if err := t.cut(ctx, 1, "objects", "demo", "--id", gone.ID).ok(); err != nil {
		return err
	}
	say("\nThe reconcile does, every Sunday or now: it walks the whole org and looks up whoever\nthe walk did not show. In the Web UI it is a child workflow of the run.\n")
	return t.starter(ctx, "run", "demo", "--mode", "full", "--wait").ok()
}

func (t *tale) massDelete(ctx context.Context) error {
	many := t.people[10 : 10+len(t.people)/7]
	if err := t.Org.HardDelete(ctx, many...); err != nil {
		return err
	}
	say("%d people are deleted in Okta at once. Is that meant, or did a script go wrong?\n", len(many))
	if err := t.starter(ctx, "run", "demo", "--mode", "full", "--wait").anyOf(heldDeletes); err != nil {
		return err
	}
	say("\nExit code 3: the run has done everything else, and these deletes wait, three days at\nmost. Then nothing would be deleted.\n")
	if err := t.cut(ctx, heldRows, "status", "demo").ok(); err != nil {
		return err
	}
	run, err := t.LastRun(ctx)
	if err != nil {
		return err
	}
	say("\nThey were to go. Each is looked up once more, then deleted:\n")
	return t.starter(ctx, "approve", run.RunID, "--yes", "--wait").ok()
}

func (t *tale) feed(ctx context.Context) error {
	since := strconv.Itoa(t.seq)
	if err := t.cut(ctx, feedRows, "changes", "demo", "--since", since).ok(); err != nil {
		return err
	}
	r, err := t.Starter(ctx, nil, "", "changes", "demo", "--since", since, "-o", "jsonl")
	if err != nil {
		return err
	}
	say("(%d rows in all, the rest of the same kind)\n", lines(r.Stdout))
	return t.cut(ctx, feedRows, "runs", "demo").ok()
}
