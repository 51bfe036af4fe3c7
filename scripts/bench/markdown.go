package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// notesMark begins what people write into the document: it stays when it is written anew.
const notesMark = "<!-- notes -->"

// writeKeepingNotes replaces the tables of a document.
func writeKeepingNotes(path, tables string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the notes: %w", err)
	}
	text := tables + "\n" + notesMark + "\n"
	if _, notes, ok := strings.Cut(string(old), notesMark+"\n"); ok {
		text += notes
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // documentation
		return fmt.Errorf("write the tables: %w", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // documentation
		return fmt.Errorf("write the tables: %w", err)
	}
	return nil
}

// markdown is the report for people.
func (r *report) markdown() string {
	var b strings.Builder
	m := r.Machine
	title := "Benchmarks"
	if r.Database != databaseNames[sqlite] {
		title += " on " + r.Database
	}
	fmt.Fprintf(&b, `# %s

%s, %d cores, %d GiB; %s; %s; load average before: %s. Commit %s, %s, by

    %s

Everything shares the machine: Temporal, worker, %s, and the simulated org, which takes %s for each call before it begins to answer. Figures of several measurements are their median, and their range below it.
`, title, m.CPU, m.Cores, m.MemGiB, m.Kernel, m.Go, m.Load, m.Commit, m.Date, r.Command, r.Database, strings.Replace(latency, "ms", " ms", 1))
	r.writeTargets(&b)
	r.writeResults(&b)
	r.writeGrowth(&b)
	r.writeShares(&b)
	return b.String()
}

// table writes a table; the first column is text, the others are numbers.
func table(b *strings.Builder, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(b, "|---%s|\n", strings.Repeat("|---:", len(row)-1))
		}
	}
}

func (r *report) writeTargets(b *strings.Builder) {
	all := r.targets()
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## Targets\n\nOf wall times the median counts, of everything else the worst.")
	if r.Database != databaseNames[sqlite] {
		fmt.Fprintf(b, " They were set for %s; here the server's work shares the two cores.", databaseNames[sqlite])
	}
	fmt.Fprint(b, "\n\n")
	rows := [][]string{{"", "Target", "Measured", "Met"}}
	for _, t := range all {
		met := "**no**"
		if t.Met {
			met = "yes"
		}
		rows = append(rows, []string{t.What, t.Limit, t.Found, met})
	}
	table(b, rows)
}

func (r *report) writeResults(b *strings.Builder) {
	rows := [][]string{{"", "Calls", "429s", "In flight", "Wall", "Run row", "× bare loop", "Worker's memory", "CPU worker", "CPU Temporal", "CPU simulator", "Feed rows", "Events", "Database"}}
	for _, name := range []string{"full", "again", "delta", "rate", "wait", "kill", "large-full", "large-again", "large-delta"} {
		if s := r.find(name); s != nil {
			rows = append(rows, row(s))
		}
	}
	if len(rows) == 1 {
		return
	}
	fmt.Fprintf(b, `
## Imports

%s, unless a row says otherwise. Wall is %s with its own start, Run row the duration that the run records. The bare loop makes the same calls, %d at a time, and throws the answers away: beside it, figures of two machines can be compared. Memory is the peak of a fresh worker, events those of one execution of the workflow that reads.

`, middleOrg, "`starter run --wait`", inFlight)
	table(b, rows)
}

// String names the org for people.
func (o orgSize) String() string {
	return fmt.Sprintf("%s users, %s groups, %s memberships", thousands(int64(o.Users)), thousands(int64(o.Groups)), thousands(int64(o.Memberships)))
}

// row is a line of the table of imports.
func row(r *result) []string {
	title := fmt.Sprintf("%s (%d×)", r.Title, len(r.Samples))
	if r.Org != middleOrg {
		title += ", " + thousands(int64(r.Org.Users)) + " users"
	}
	return []string{
		title,
		show(of(r, calls), plain), show(of(r, limited), plain), show(of(r, open), plain),
		show(of(r, wall), seconds), show(of(r, func(s sample) int64 { return s.RunMs }), seconds),
		show(of(r, sample.ratio), times),
		show(of(r, rss), megabytes),
		show(of(r, func(s sample) int64 { return s.WorkerMs }), seconds),
		show(of(r, func(s sample) int64 { return s.TemporalMs }), seconds),
		show(of(r, func(s sample) int64 { return s.SimulatorMs }), seconds),
		show(of(r, func(s sample) int { return s.Feed }), plain),
		show(of(r, longest), plain) + continued(r),
		show(of(r, func(s sample) int64 { return s.DBBytes }), megabytes),
	}
}

// continued tells of a workflow that continued as new.
func continued(r *result) string {
	if n := of(r, func(s sample) int { return s.Executions }).most; n > 1 {
		return fmt.Sprintf(" in each of %d", n)
	}
	return ""
}

func times(f float64) string {
	if f == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", f)
}

// show writes a median, and the range when there is one.
func show[T cmp.Ordered](s spread[T], format func(T) string) string {
	median, least, most := format(s.median), format(s.least), format(s.most)
	if least == most {
		return median
	}
	return fmt.Sprintf("%s<br>%s–%s", median, least, most)
}

func (r *report) writeGrowth(b *strings.Builder) {
	rows := [][]string{{"", "Calls", "Wall", "× bare loop", "Worker's memory", "Events", "History", "Database", "Calls per 1,000 users", "Wall per 1,000 users", "Events per 1,000 users", "Database per user"}}
	for _, name := range []string{"small-full", "full", "large-full", "small-again", "again", "large-again", "small-delta", "delta", "large-delta"} {
		if s := r.find(name); s != nil {
			rows = append(rows, growthRow(s))
		}
	}
	if r.find("small-full") == nil && r.find("large-full") == nil {
		return
	}
	fmt.Fprintf(b, "\n## Growth\n\n")
	for _, o := range []orgSize{smallOrg, middleOrg, largeOrg} {
		fmt.Fprintf(b, "- %s\n", o)
	}
	b.WriteString("\n")
	table(b, rows)
}

func growthRow(r *result) []string {
	thousand := float64(r.Org.Users) / 1000
	n, t, e := of(r, calls).median, of(r, wall).median, of(r, longest).median
	db := of(r, func(s sample) int64 { return s.DBBytes }).median
	return []string{
		r.Title + ", " + thousands(int64(r.Org.Users)) + " users",
		plain(n), seconds(t), times(of(r, sample.ratio).median), megabytes(of(r, rss).most), plain(e) + continued(r),
		fmt.Sprintf("%d kB", of(r, func(s sample) int64 { return s.HistoryBytes }).median>>10), megabytes(db),
		fmt.Sprintf("%.1f", float64(n)/thousand), fmt.Sprintf("%.0f ms", float64(t)/thousand),
		fmt.Sprintf("%.1f", float64(e)/thousand), fmt.Sprintf("%.1f kB", float64(db)/1024/float64(r.Org.Users)),
	}
}

func (r *report) writeShares(b *strings.Builder) {
	if len(r.Shares) == 0 {
		return
	}
	fmt.Fprintf(b, `
## Where the time goes

CPU time of one import (%s): of the worker by its profile, each sample to the innermost package of the list that is on its stack, and of the other processes. The worker's clock for its parts is below: activities run side by side, so a part may take longer than the import.

`, middleOrg)
	head, rows := []string{""}, map[string][]string{}
	var order []string
	put := func(name, value string) {
		if rows[name] == nil {
			order = append(order, name)
		}
		rows[name] = append(rows[name], value)
	}
	for _, s := range r.Shares {
		head = append(head, s.Title)
		s.put(put)
	}
	lines := [][]string{head}
	for _, name := range order {
		lines = append(lines, append([]string{name}, rows[name]...))
	}
	table(b, lines)
}

// put writes a column of the table of shares.
func (s shares) put(put func(name, value string)) {
	var sum int64
	for _, f := range s.Families {
		sum += f.Ms
	}
	put("**worker**", "**"+seconds(sum)+"**")
	for _, f := range s.Families {
		put(f.Name, fmt.Sprintf("%s, %s", seconds(f.Ms), percent(float64(f.Ms)/float64(max(sum, 1)))))
	}
	put("**Temporal server**", "**"+seconds(s.TemporalMs)+"**")
	put("**simulated org**", "**"+seconds(s.SimulatorMs)+"**")
	for _, t := range s.Timers {
		put("clock: "+t.Name, fmt.Sprintf("%s in %s", seconds(t.Ms), thousands(t.Count)))
	}
}

// thousands writes a number with commas.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var groups []string
	for len(digits) > 3 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	groups = append(groups, digits)
	slices.Reverse(groups)
	return strings.Join(groups, ",")
}
