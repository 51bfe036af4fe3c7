package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

// initOptions are the flags of `connector init`: answers given in advance. The
// token and the key have none, since arguments show in process lists and shell
// histories.
type initOptions struct {
	name, domain, ref string
	queue             string
	loopback          bool
	app               appOptions
}

func newConnectorInit(c *cli) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Store an Okta token or key and print a connector definition",
		Long: `Store an Okta API token, or the private key of an OAuth service app, and print a
connector definition (runbook, Step 2).

On a terminal it asks for the org's domain, how to sign in, the API token (not shown) or
the app's client id and the file of its private key, and the secret reference. Otherwise
the domain comes from --domain and the token from standard input, of which one trailing
newline is trimmed; with --client-id it is the key that comes from --key-file or from
standard input, as PEM or JWK. Neither is ever an argument.

The secret is stored sealed in the mesh database; the definition, which holds only the
reference, goes to standard output. Where IDENTITYMESH_SECRETS names a backend that this
program does not write, it asks for no secret and says how to store it there.`,
		Example: `  starter connector init > contoso.json
  starter connector init --domain contoso.okta.com < token.txt | starter connector apply -f -
  starter connector init --domain contoso.okta.com --client-id 0oa1gjh63g214q0Hq0g4 --key-file key.pem > contoso.json
  echo oktasim-token | starter connector init --name sim --domain 127.0.0.1:18080 --insecure-loopback`,
		Args: noArgs("answers can be given with --domain, --ref and --name; the token or key is asked for, or read from a file or standard input"),
		RunE: c.action(func(ctx context.Context, _ []string) error { return c.initConnector(ctx, o) }),
	}
	cmd.Flags().StringVar(&o.domain, "domain", "", "the org's domain without a scheme, such as contoso.okta.com")
	cmd.Flags().StringVar(&o.name, "name", "", "the connector's name (default: the first part of the domain)")
	cmd.Flags().StringVar(&o.ref, "ref", "", "the secret reference (default: secret://okta/NAME/apitoken, or …/privatekey)")
	o.app.flags(cmd)
	cmd.Flags().StringVar(&o.queue, "task-queue", "", "import on this Temporal task queue only: that of a worker in the org's network (docs/scaling.md)")
	cmd.Flags().BoolVar(&o.loopback, "insecure-loopback", false, "plain http, for a simulated org on a loopback address")
	return cmd
}

func (c *cli) initConnector(ctx context.Context, o initOptions) error {
	ask := c.tty.StdinIsTerminal()
	questions := c.asker()
	wrong := func(err error) error { return &usageError{err} } // what came with the flags
	if o.ref != "" {
		if _, err := secrets.ParseRef(o.ref); err != nil {
			return wrong(err)
		}
	}
	if o.domain == "" {
		if !ask {
			return usagef("give the org's domain with --domain: standard input is no terminal, so it is read as the token or key")
		}
		var err error
		if o.domain, err = questions.line(ctx, "Okta org domain, such as contoso.okta.com", ""); err != nil {
			return err
		}
		wrong = func(err error) error { return err } // an answer is no usage
	}
	// A wrong domain shows before the token is typed, and before anything is made of it.
	if err := o.check(); err != nil {
		return wrong(err)
	}
	if o.name == "" {
		o.name = nameOf(o.domain)
	}
	elsewhere, err := c.secretsAreElsewhere()
	if err != nil {
		return err
	}
	if err := c.noteRefusedQueue(o, elsewhere == nil); err != nil {
		return err
	}
	o.app.keyElsewhere = elsewhere != nil
	if err := o.app.ask(ctx, questions, ask); err != nil {
		return err
	}
	var secret []byte
	if elsewhere == nil {
		if secret, err = c.readCredential(ctx, o); err != nil {
			return err
		}
		defer clear(secret)
	}
	if o.ref == "" {
		o.ref = o.defaultRef()
		if ask {
			if o.ref, err = questions.line(ctx, "Secret reference", o.ref); err != nil {
				return err
			}
		}
	}
	def, err := o.definition(o.ref)
	if err != nil {
		return err
	}
	if elsewhere != nil {
		c.notef("the value of %s is not asked for, and standard input not read: this program does not write there; %s", o.ref, elsewhere(secrets.Ref(o.ref)))
		c.notef("save the definition below and apply it with: starter connector apply -f FILE")
	} else {
		if err := c.setSecret(ctx, o.ref, secret); err != nil {
			return err
		}
		c.notef("stored %s; save the definition below and apply it with: starter connector apply -f FILE", o.ref)
	}
	_, err = c.stdout.Write(def.JSON())
	return err
}

// noteRefusedQueue warns of a task queue that apply will refuse, before the secret is typed.
// The mesh is known when the secret goes there, or when it is a file that is there already:
// otherwise this machine may only be where the definition is written.
func (c *cli) noteRefusedQueue(o initOptions, opens bool) error {
	if o.queue == "" {
		return nil
	}
	url, err := c.database()
	if err != nil {
		return err
	}
	path, err := mesh.SQLiteFile(url)
	if err != nil { // PostgreSQL; a URL that cannot be read shows where it is opened
		return nil //nolint:nilerr // see above
	}
	if _, err := os.Stat(path); err != nil && !opens {
		return nil
	}
	def := connector.Template(o.name, o.domain, defaultRef(o.name))
	def.Config.TaskQueue = o.queue
	c.notef("warning: 'starter connector apply' refuses this definition on the mesh of this machine, %s: %s", path, def.CheckMesh(false))
	return nil
}

// check judges the domain and, where they were given, the name and the service app.
func (o initOptions) check() error {
	const some = "okta"
	def := connector.Template(cmp.Or(o.name, some), o.domain, defaultRef(some))
	def.Config.InsecureLoopback, def.Config.TaskQueue = o.loopback, o.queue
	if o.app.clientID != "" {
		def.Auth = o.app.auth(defaultRef(some))
	}
	err := def.Validate()
	if invalid, ok := errors.AsType[*connector.ValidationError](err); ok {
		invalid.Name = o.name
	}
	return err
}

// definition returns the checked definition with the token under ref.
func (o initOptions) definition(ref string) (*connector.Definition, error) {
	if _, err := secrets.ParseRef(ref); err != nil {
		return nil, err
	}
	def := connector.Template(o.name, o.domain, ref)
	def.Config.InsecureLoopback, def.Config.TaskQueue = o.loopback, o.queue
	if o.app.oauth() {
		def.Auth = o.app.auth(ref)
	}
	return checkDefinition(def.JSON())
}

// defaultRef is the runbook's stable name for an org's token.
func defaultRef(name string) string { return "secret://okta/" + name + "/apitoken" }

// nameOf makes a connector name of an org's domain: contoso.okta.com gives contoso.
func nameOf(domain string) string {
	host := domain
	if h, _, err := net.SplitHostPort(domain); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if net.ParseIP(host) != nil {
		return "okta"
	}
	name, _, _ := strings.Cut(host, ".")
	if name == "" {
		return "okta"
	}
	return name
}
