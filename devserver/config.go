package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.uber.org/zap/zapcore"
)

// Config says what to run. The zero value is not usable; parseFlags fills the
// defaults.
type Config struct {
	// IP is the address that the frontend and the Web UI listen on. Everything
	// else stays on loopback whatever it says.
	IP net.IP
	// Port is the frontend's gRPC port; 0 picks a free one.
	Port int
	// UIPort is the Web UI's HTTP port; 0 picks a free one. Unused when Headless.
	UIPort int
	// DBFile is the SQLite file that keeps the data; empty keeps it in memory, unless
	// Postgres is set.
	DBFile string
	// Postgres keeps the data in two databases of a PostgreSQL server instead.
	Postgres *postgres
	// TLSCert and TLSKey are the files of the frontend's certificate and key (PEM);
	// empty: no TLS. They are read again when they change.
	TLSCert, TLSKey string
	// TLSClientCA, when set, is the file of the authorities one of which must have
	// signed a client's certificate.
	TLSClientCA string
	// Namespaces are made ready before the server is announced. Never empty; the
	// first one is what the Web UI opens.
	Namespaces []string
	// SearchAttributes are made ready in every one of Namespaces.
	SearchAttributes map[string]enumspb.IndexedValueType
	// Headless leaves the Web UI out.
	Headless bool
	// AddressFile, when set, receives the frontend's host:port (line 1) and the
	// Web UI's URL (line 2, empty when Headless) once both are ready.
	AddressFile string
	// LogLevel is the least severe level of the server's log that is shown.
	LogLevel zapcore.Level
	// ShowVersion asks for the version only.
	ShowVersion bool
}

// connectorSearchAttributes are those that the import workflow sets on its runs.
// They are here so that no set-up step is needed before the first run.
var connectorSearchAttributes = map[string]enumspb.IndexedValueType{
	"IdentityMeshConnector": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"IdentityMeshMode":      enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"IdentityMeshOutcome":   enumspb.INDEXED_VALUE_TYPE_KEYWORD,
}

const usageHead = `temporal-dev runs a Temporal server and its Web UI in one process, for
development, demos and tests. No authentication, unless --tls-client-ca asks for
client certificates: keep it on loopback.

Usage:
  temporal-dev [flags]

Flags:
  --port N                  frontend gRPC port, 0 picks a free one (default 7233)
  --ui-port N               Web UI port, 0 picks a free one (default 8233)
  --ip IP                   address to listen on (default 127.0.0.1)
  --db FILE                 keep the data in this SQLite file (default: in memory)
  --db postgres://USER@HOST:PORT/NAME
                            keep it in the PostgreSQL databases NAME (default "temporal")
                            and NAME_visibility: created where they are missing and
                            allowed, upgraded where they are older. The password comes
                            from PGPASSWORD or PGPASSFILE (~/.pgpass)
  --tls-cert FILE           serve the frontend with TLS: certificate (PEM), and its chain
  --tls-key FILE            its private key (PEM)
  --tls-client-ca FILE      want client certificates of these authorities (PEM). With
                            TLS the Web UI stays on loopback: it has no login
  --namespace NAME          namespace to have ready; may be repeated (default "default")
  --search-attribute N=T    search attribute to have ready in those namespaces, besides
                            IdentityMeshConnector, IdentityMeshMode and
                            IdentityMeshOutcome; may be repeated. Types:
                            %s
  --headless                no Web UI
  --address-file FILE       write host:port and the Web UI's URL there once ready
  --log-level LEVEL         debug, info, warn, error or off (default error)
  --version                 print the version
  --help                    print this text

It prints its addresses on standard error when it is ready. Ctrl-C stops it.

Examples:
  temporal-dev --db temporal.db
  PGPASSFILE=/run/secrets/pgpass temporal-dev --db 'postgres://temporal@db.internal/temporal?sslmode=verify-full'
  temporal-dev --tls-cert tls.crt --tls-key tls.key --tls-client-ca ca.pem
`

const (
	// logOff leaves what ends the process. It must not lie higher: the server's
	// logger ends the process only for a message that it shows.
	logOff = zapcore.FatalLevel
	// logSilent shows nothing at all, for the time of a stop.
	logSilent = zapcore.FatalLevel + 1
)

// parseFlags reads the command line. It returns flag.ErrHelp after it has printed
// the help that was asked for; any other error is wrong usage.
func parseFlags(args []string, stdout io.Writer) (Config, error) {
	cfg := Config{SearchAttributes: maps.Clone(connectorSearchAttributes)}
	var ip, level, db string
	fs := flag.NewFlagSet("temporal-dev", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // run prints errors itself
	fs.Usage = func() {}
	fs.IntVar(&cfg.Port, "port", 7233, "")
	fs.IntVar(&cfg.UIPort, "ui-port", 8233, "")
	fs.StringVar(&ip, "ip", "127.0.0.1", "")
	fs.StringVar(&db, "db", "", "")
	fs.StringVar(&cfg.TLSCert, "tls-cert", "", "")
	fs.StringVar(&cfg.TLSKey, "tls-key", "", "")
	fs.StringVar(&cfg.TLSClientCA, "tls-client-ca", "", "")
	fs.Func("namespace", "", cfg.addNamespace)
	fs.Func("search-attribute", "", cfg.addSearchAttribute)
	fs.BoolVar(&cfg.Headless, "headless", false, "")
	fs.StringVar(&cfg.AddressFile, "address-file", "", "")
	fs.StringVar(&level, "log-level", "error", "")
	fs.BoolVar(&cfg.ShowVersion, "version", false, "")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			_, _ = fmt.Fprintf(stdout, usageHead, strings.Join(searchAttributeTypes(), ", "))
		}
		return Config{}, err
	}
	if fs.NArg() > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q: temporal-dev takes flags only", fs.Arg(0))
	}
	if len(cfg.Namespaces) == 0 {
		cfg.Namespaces = []string{"default"}
	}
	if ip == "localhost" {
		ip = "127.0.0.1"
	}
	if cfg.IP = net.ParseIP(ip); cfg.IP == nil {
		return Config{}, fmt.Errorf("--ip %q is not an IP address", ip)
	}
	for name, port := range map[string]int{"--port": cfg.Port, "--ui-port": cfg.UIPort} {
		if port < 0 || port > 65535 {
			return Config{}, fmt.Errorf("%s %d is not a port: use 0 to 65535, 0 picks a free one", name, port)
		}
	}
	if cfg.Port != 0 && cfg.Port == cfg.UIPort && !cfg.Headless {
		return Config{}, fmt.Errorf("--port and --ui-port are both %d: choose two different ports", cfg.Port)
	}
	switch {
	case (cfg.TLSCert == "") != (cfg.TLSKey == ""):
		return Config{}, errors.New("--tls-cert and --tls-key go together: name both files")
	case cfg.TLSClientCA != "" && cfg.TLSCert == "":
		return Config{}, errors.New("--tls-client-ca needs TLS: name --tls-cert and --tls-key as well")
	}
	// Not while parsing: the flag package quotes a value that is refused.
	if err := cfg.setDB(db); err != nil {
		return Config{}, fmt.Errorf("--db: %w", err)
	}
	var err error
	cfg.LogLevel, err = parseLevel(level)
	return cfg, err
}

// setDB takes a file or the URL of a PostgreSQL server.
func (c *Config) setDB(text string) (err error) {
	if scheme, _, ok := strings.Cut(text, "://"); ok && (scheme == "postgres" || scheme == "postgresql") {
		c.Postgres, err = parsePostgres(text)
		return err
	}
	c.DBFile = text
	return nil
}

// TLS says whether the frontend is served with TLS.
func (c *Config) TLS() bool { return c.TLSCert != "" }

// uiIP is where the Web UI listens. It talks to the server for whoever opens it, so it
// must not be a way around the client certificates.
func (c *Config) uiIP() net.IP {
	if c.TLS() && !c.IP.IsLoopback() {
		return loopback
	}
	return c.IP
}

func (c *Config) addNamespace(name string) error {
	if strings.TrimSpace(name) == "" {
		return errors.New("a namespace needs a name")
	}
	if !slices.Contains(c.Namespaces, name) {
		c.Namespaces = append(c.Namespaces, name)
	}
	return nil
}

func (c *Config) addSearchAttribute(text string) error {
	name, typeName, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return errors.New("use Name=Type, as in Region=Keyword")
	}
	for known, value := range enumspb.IndexedValueType_shorthandValue {
		if value == 0 || !strings.EqualFold(known, typeName) {
			continue
		}
		kind := enumspb.IndexedValueType(value)
		if had, ok := c.SearchAttributes[name]; ok && had != kind {
			return fmt.Errorf("search attribute %s is already a %s", name, had)
		}
		c.SearchAttributes[name] = kind
		return nil
	}
	return fmt.Errorf("unknown type %q: use one of %s", typeName, strings.Join(searchAttributeTypes(), ", "))
}

// searchAttributeTypes lists the type names in Temporal's own spelling.
func searchAttributeTypes() []string {
	var names []string
	for name, value := range enumspb.IndexedValueType_shorthandValue {
		if value != int32(enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func parseLevel(text string) (zapcore.Level, error) {
	if text == "off" {
		return logOff, nil
	}
	level, err := zapcore.ParseLevel(text)
	if err != nil || level > zapcore.ErrorLevel {
		return 0, fmt.Errorf("--log-level %q is unknown: use debug, info, warn, error or off", text)
	}
	return level, nil
}
