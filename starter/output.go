package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// format is a value of --output.
type format string

// The formats.
const (
	table  format = "table" // for people; its layout may change
	asJSON format = "json"  // for scripts: one JSON value
	jsonl  format = "jsonl" // for scripts: one JSON object a line
)

// formatFlag is --output with the formats that a command knows, the first being
// the default.
type formatFlag struct {
	value   format
	allowed []format
}

// String implements pflag.Value.
func (f *formatFlag) String() string { return string(f.value) }

// Type implements pflag.Value.
func (f *formatFlag) Type() string { return "format" }

// Set implements pflag.Value.
func (f *formatFlag) Set(s string) error {
	v := format(strings.ToLower(s))
	if !slices.Contains(f.allowed, v) {
		return fmt.Errorf("want %s", f.list())
	}
	f.value = v
	return nil
}

func (f *formatFlag) list() string {
	names := make([]string, len(f.allowed))
	for i, a := range f.allowed {
		names[i] = string(a)
	}
	return strings.Join(names, " or ")
}

// addFormat gives cmd an --output flag.
func addFormat(cmd *cobra.Command, allowed ...format) *formatFlag {
	f := &formatFlag{value: allowed[0], allowed: allowed}
	cmd.Flags().VarP(f, "output", "o", "output as "+f.list())
	names := make([]cobra.Completion, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	mustRegister(cmd, "output", names)
	return f
}

// mustRegister completes a flag's values. It fails only for a flag that does not
// exist, which is a mistake of this program.
func mustRegister(cmd *cobra.Command, flag string, values []cobra.Completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

// encoder writes JSON as the mesh holds it: "<" stays "<". What a terminal might obey is
// written as an escape, which says the same: the output of -o json is often looked at.
func encoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(escaper{w})
	enc.SetEscapeHTML(false)
	return enc
}

// escaper writes JSON with the harmful characters of its texts as \u escapes. A JSON
// encoder writes each value in one piece, and such characters stand in texts only.
type escaper struct{ w io.Writer }

// Write implements [io.Writer].
func (e escaper) Write(p []byte) (int, error) {
	at := bytes.IndexFunc(p, harmfulInJSON)
	if at < 0 {
		return e.w.Write(p)
	}
	safe := bytes.NewBuffer(make([]byte, 0, len(p)+64))
	for rest := p; ; at = bytes.IndexFunc(rest, harmfulInJSON) {
		if at < 0 {
			safe.Write(rest)
			break
		}
		safe.Write(rest[:at])
		r, size := utf8.DecodeRune(rest[at:])
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(safe, `\u%04x`, unit)
		}
		rest = rest[at+size:]
	}
	if _, err := e.w.Write(safe.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// harmfulInJSON leaves the line breaks and blanks between values alone.
func harmfulInJSON(r rune) bool { return r >= 0x7f && harmful(r) }

// printJSON writes one indented JSON value.
func printJSON(w io.Writer, v any) error {
	enc := encoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printTable writes rows under a header, each column as wide as its widest cell.
// It holds all rows: lists that grow with the org are streamed instead.
func printTable(w io.Writer, header []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		if _, err := fmt.Fprintln(tw, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// field is a line of printFields.
type field struct{ name, value string }

// printFields writes "name  value" lines.
func printFields(w io.Writer, fields []field) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range fields {
		if _, err := fmt.Fprintf(tw, "%s\t%s\n", f.name, printable(f.value)); err != nil {
			return err
		}
	}
	return tw.Flush()
}
