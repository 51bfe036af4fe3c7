package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/identitymesh/okta-connector/mesh"
)

// holdSample is how many of the held deletes are shown.
const holdSample = 10

// holdFields are the lines of an open hold.
func holdFields(h *mesh.Hold) []field {
	counts := make([]string, 0, len(mesh.ObjectTypes))
	for _, t := range mesh.ObjectTypes {
		if n := h.Deletes[t]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s (of %d live)", n, t, h.Live[t]))
		}
	}
	reasons := make([]string, 0, len(h.Reasons))
	for _, r := range slices.Sorted(maps.Keys(h.Reasons)) {
		reasons = append(reasons, fmt.Sprintf("%d %s", h.Reasons[r], r))
	}
	fields := []field{
		{"Held deletes", orDash(strings.Join(counts, ", "))},
		{"Held because", orDash(strings.Join(reasons, ", "))},
		{"Held since", fmt.Sprintf("%s, changed %s by run %s", stamp(h.OpenedAt), stamp(h.ChangedAt), h.RunID)},
	}
	if h.ApprovedBy != "" {
		at := "-"
		if h.ApprovedAt != nil {
			at = stamp(*h.ApprovedAt)
		}
		return append(fields, field{"Approved", fmt.Sprintf("by %s, %s; not carried out yet", h.ApprovedBy, at)})
	}
	return append(fields,
		field{"Hold expires", stamp(h.ExpiresAt) + ", then nothing is deleted"},
		field{"To delete them", "starter approve " + h.RunID},
		field{"To keep them", "starter reject " + h.RunID})
}

// printHold shows an open hold with a sample of what it keeps back.
func printHold(w io.Writer, h *mesh.Hold) error {
	if err := printFields(w, append([]field{{"Connector", h.Connector}}, holdFields(h)...)); err != nil {
		return err
	}
	return printHeld(w, h)
}

// printHeld writes the sample of a hold, and how many more there are.
func printHeld(w io.Writer, h *mesh.Hold) error {
	if len(h.Sample) == 0 {
		return nil
	}
	header := []string{"HELD", "EXTERNAL ID", "REASON", "RUN"}
	rows := make([][]string, len(h.Sample))
	for i, d := range h.Sample {
		rows[i] = []string{string(d.Type), d.ExternalID, string(d.Reason), d.RunID}
	}
	if slices.ContainsFunc(h.Sample, func(d mesh.HeldDelete) bool { return d.OktaID != d.ExternalID }) {
		header = slices.Insert(header, 2, "OKTA ID")
		for i, d := range h.Sample {
			rows[i] = slices.Insert(rows[i], 2, d.OktaID)
		}
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := printTable(w, header, rows); err != nil {
		return err
	}
	if more := total(h.Deletes) - len(h.Sample); more > 0 {
		_, err := fmt.Fprintln(w, "… and "+strconv.Itoa(more)+" more")
		return err
	}
	return nil
}
