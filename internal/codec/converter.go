package codec

import (
	"context"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Apply has a client, and the workers made from it, use the codec. Failures are
// encrypted, their messages and stack traces too, when the codec has keys; encrypted
// ones are read in any case.
func (c *Codec) Apply(o *client.Options) {
	dc := c.DataConverter()
	o.DataConverter = dc
	o.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          dc,
		EncodeCommonAttributes: c.KeyID() != "",
	})
}

// DataConverter returns the SDK's default converter behind the codec.
func (c *Codec) DataConverter() converter.DataConverter {
	return &dataConverter{DataConverter: converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)}
}

// dataConverter makes a missing key stop a workflow instead of failing it.
type dataConverter struct {
	converter.DataConverter
	blocks bool
}

var _ workflow.ContextAware = (*dataConverter)(nil)

// WithContext implements [workflow.ContextAware].
func (d *dataConverter) WithContext(context.Context) converter.DataConverter { return d }

// WithWorkflowContext implements [workflow.ContextAware]. Inside a workflow an error of
// the input fails the workflow for good, while a panic fails the task, which Temporal
// tries again: a worker that was started without a key must not end the imports and
// holds that it cannot read.
func (d *dataConverter) WithWorkflowContext(workflow.Context) converter.DataConverter {
	return &dataConverter{DataConverter: d.DataConverter, blocks: true}
}

// FromPayload implements [converter.DataConverter].
func (d *dataConverter) FromPayload(p *commonpb.Payload, value any) error {
	return d.check(d.DataConverter.FromPayload(p, value))
}

// FromPayloads implements [converter.DataConverter].
func (d *dataConverter) FromPayloads(p *commonpb.Payloads, values ...any) error {
	return d.check(d.DataConverter.FromPayloads(p, values...))
}

func (d *dataConverter) check(err error) error {
	if d.blocks && IsKeyError(err) {
		panic(err)
	}
	return err
}
