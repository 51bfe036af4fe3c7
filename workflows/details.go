package workflows

import (
	"fmt"
	"strings"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
)

// Search attributes of an import. Whoever starts it sets all three, the outcome to
// [Running], where the server knows them; the workflow moves the outcome only then,
// since an attribute that the server does not know would stop it.
var (
	ConnectorAttribute = temporal.NewSearchAttributeKeyKeyword("IdentityMeshConnector")
	ModeAttribute      = temporal.NewSearchAttributeKeyKeyword("IdentityMeshMode")
	OutcomeAttribute   = temporal.NewSearchAttributeKeyKeyword("IdentityMeshOutcome")
)

// Running is the outcome of an import that has not ended, as a search attribute.
const Running = "Running"

// phase moves the import to a phase and tells the Web UI.
func (r *pass) phase(ctx workflow.Context, p Phase) {
	if r.st.Progress.Phase != p {
		r.log.Info("Phase", "phase", p)
	}
	r.st.Progress.Phase = p
	r.details(ctx)
}

// completed notes what a run that ended without an error did.
func (r *pass) completed(ctx workflow.Context, result *ImportResult) {
	p := &r.st.Progress
	p.Counts, p.NewWatermark = result.Counts, result.Watermark
	p.APICalls = max(p.APICalls, result.APICalls) // with those of lost attempts
	r.ended(ctx, string(result.Outcome), "")
}

// ended notes how the run ended, for the query, the Web UI and searches.
func (r *pass) ended(ctx workflow.Context, outcome, message string) {
	r.st.Progress.Outcome, r.st.Progress.Error = outcome, message
	r.phase(ctx, Ended)
	outcomeIs(ctx, r.log, outcome)
}

// outcomeIs makes the end of a workflow a search attribute, where the server knows it.
func outcomeIs(ctx workflow.Context, logger log.Logger, outcome string) {
	if _, known := workflow.GetTypedSearchAttributes(ctx).GetKeyword(OutcomeAttribute); !known {
		return
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, OutcomeAttribute.ValueSet(outcome)); err != nil {
		logger.Warn("The outcome could not be made a search attribute", "error", err)
	}
}

// mode makes the mode that the run has taken a search attribute.
func (r *pass) mode(ctx workflow.Context) {
	if _, known := workflow.GetTypedSearchAttributes(ctx).GetKeyword(ModeAttribute); !known {
		return
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, ModeAttribute.ValueSet(string(r.st.Progress.Mode))); err != nil {
		r.log.Warn("The mode could not be made a search attribute", "error", err)
	}
}

// childOptions are the options of a child workflow, which carries the run's search
// attributes where the server knows them.
func (r *pass) childOptions(ctx workflow.Context, id, mode, summary string) workflow.ChildWorkflowOptions {
	o := workflow.ChildWorkflowOptions{
		WorkflowID:          id,
		StaticSummary:       summary,
		WaitForCancellation: true,
		ParentClosePolicy:   enums.PARENT_CLOSE_POLICY_TERMINATE,
	}
	known := workflow.GetTypedSearchAttributes(ctx)
	if _, ok := known.GetKeyword(ConnectorAttribute); ok {
		o.TypedSearchAttributes = temporal.NewSearchAttributes(
			ConnectorAttribute.ValueSet(r.st.Progress.Connector),
			ModeAttribute.ValueSet(mode),
			OutcomeAttribute.ValueSet(Running))
	}
	return o
}

// details writes what the Web UI shows of a run while it runs and after.
func (r *pass) details(ctx workflow.Context) {
	p := r.st.Progress
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** import of **%s**: %s", p.Mode, p.Connector, p.Phase)
	if p.Outcome != "" {
		fmt.Fprintf(&b, ", **%s**", p.Outcome)
	}
	b.WriteString("\n\n")
	if p.DryRun {
		b.WriteString("A dry run: nothing is written.\n\n")
	}
	if p.Note != "" {
		fmt.Fprintf(&b, "%s\n\n", p.Note)
	}
	if p.Watermark != nil {
		fmt.Fprintf(&b, "Changes since `%s`.\n\n", p.Watermark)
	}
	if p.Child != "" {
		fmt.Fprintf(&b, "The child workflow `%s` shows the progress.\n\n", p.Child)
	}
	if p.HeldBy != "" {
		fmt.Fprintf(&b, "Waiting for run `%s`, which is importing this connector.\n\n", p.HeldBy)
	}
	stream := func(name string, s StreamProgress) {
		if s.Enabled {
			fmt.Fprintf(&b, "- %s: %d in %d pages%s\n", name, s.Seen, s.Pages, tick(s.Done))
		}
	}
	stream("users", p.Users)
	stream("groups", p.Groups)
	if m := p.Members; m.Enabled {
		fmt.Fprintf(&b, "- members: %d in %d pages, %d of %d groups%s\n", m.Seen, m.Pages, m.Read, m.Groups, tick(m.Done))
	}
	if p.Missing > 0 {
		fmt.Fprintf(&b, "- may have left: %d, looked up %d\n", p.Missing, p.LookedUp)
	}
	for _, typ := range activities.ObjectTypes {
		if n := p.Held[typ]; n > 0 {
			fmt.Fprintf(&b, "- **deletes held back: %d %ss**\n", n, typ)
		}
	}
	fmt.Fprintf(&b, "- calls to Okta: %d, waits for the rate limit: %d\n", p.APICalls, p.Waits)
	for _, typ := range activities.ObjectTypes {
		if c := p.Counts[typ]; c.Added+c.Updated+c.Deleted > 0 {
			fmt.Fprintf(&b, "- %s: %d added, %d updated, %d deleted\n", typ, c.Added, c.Updated, c.Deleted)
		}
	}
	if p.NewWatermark != nil {
		fmt.Fprintf(&b, "- watermark: `%s`\n", p.NewWatermark)
	}
	if p.Outcome == string(activities.HeldDeletes) && !p.DryRun {
		fmt.Fprintf(&b, "\nThe workflow `%s` holds the deletes: look at them with `starter status %s`, answer with `starter approve %[3]s` or `starter reject %[3]s`.\n",
			HoldWorkflowID(p.Connector), p.Connector, p.RunID)
	}
	if p.Error != "" {
		fmt.Fprintf(&b, "\n%s\n", p.Error)
	}
	workflow.SetCurrentDetails(ctx, b.String())
}

func tick(done bool) string {
	if done {
		return " ✓"
	}
	return ""
}
