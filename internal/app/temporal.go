package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/internal/private"
)

// DefaultTaskQueue is where imports run unless $IDENTITYMESH_TASK_QUEUE says otherwise.
const DefaultTaskQueue = "identitymesh-okta"

// EnvAPIKeyFile is a file with Temporal's API key, read for each call: a key that is
// replaced there counts at once. Temporal's own TEMPORAL_API_KEY counts until the
// process ends.
const EnvAPIKeyFile = "IDENTITYMESH_TEMPORAL_API_KEY_FILE" //nolint:gosec // a variable's name

// TaskQueue is the Temporal task queue of this process.
func TaskQueue() string { return cmp.Or(os.Getenv(EnvTaskQueue), DefaultTaskQueue) }

// TemporalOptions reads the connection settings as Temporal's own tools do:
// TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TLS and API-key variables, config profiles. To
// those it adds certificates that are read again for each connection, an API key from
// [EnvAPIKeyFile], and the payload codec of package codec. No error holds the API key.
func TemporalOptions(logger log.Logger) (client.Options, error) {
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{})
	if err != nil {
		return client.Options{}, fmt.Errorf("read Temporal's connection settings: %w", hideText(err))
	}
	file := os.Getenv(EnvAPIKeyFile)
	if file != "" && profile.APIKey != "" {
		return client.Options{}, fmt.Errorf("both %s and TEMPORAL_API_KEY (or api_key in the config profile) are set: keep one", EnvAPIKeyFile)
	}
	// A key copied with its newline is no header.
	profile.APIKey = strings.TrimSpace(profile.APIKey)
	if err := checkAPIKey(profile.APIKey); profile.APIKey != "" && err != nil {
		return client.Options{}, fmt.Errorf("TEMPORAL_API_KEY (or api_key in the config profile): %w", err)
	}
	if file != "" && profile.TLS == nil {
		profile.TLS = &envconfig.ClientConfigTLS{} // an API key travels under TLS only
	}
	o, err := profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return client.Options{}, fmt.Errorf("read Temporal's connection settings: %w; %s", err, remedyTLSFiles)
	}
	if file != "" {
		if _, err := apiKey(file); err != nil {
			return client.Options{}, err
		}
		o.Credentials = client.NewAPIKeyDynamicCredentials(func(context.Context) (string, error) { return apiKey(file) })
	}
	if o.Credentials != nil && o.ConnectionOptions.TLS == nil {
		return client.Options{}, errors.New("an API key for Temporal is set and TLS is turned off (TEMPORAL_TLS): the key would travel in the clear")
	}
	o.HostPort = cmp.Or(o.HostPort, "127.0.0.1:7233")
	o.Namespace = cmp.Or(o.Namespace, client.DefaultNamespace)
	o.Logger = logger
	o.Identity = identity()
	if o.ConnectionOptions.TLS != nil {
		o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions,
			grpc.WithTransportCredentials(newReloading(profile, o.ConnectionOptions.TLS, logger)))
	}
	o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(hideKey))
	payloads, err := codec.FromEnvironment()
	if err != nil {
		return client.Options{}, err
	}
	payloads.Apply(&o)
	return o, nil
}

// line finds the place in an error of the TOML parser.
var line = regexp.MustCompile(`line \d+`)

// hideText replaces an error of the TOML parser, which quotes what it could not read: a
// key without its quotation marks, say.
func hideText(err error) error {
	text := err.Error()
	if !strings.Contains(text, "failed parsing config") {
		return err
	}
	where := cmp.Or(os.Getenv("TEMPORAL_CONFIG_FILE"), envconfig.DefaultConfigFilePath())
	if at := line.FindString(text); at != "" {
		where += ", " + at
	}
	return fmt.Errorf("the config file (%s) is not valid TOML, or has a value of the wrong kind", where)
}

// apiKey reads the key's file.
func apiKey(file string) (string, error) {
	text, err := private.Read(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", EnvAPIKeyFile, err)
	}
	defer clear(text)
	key := strings.TrimSpace(string(text))
	if err := checkAPIKey(key); err != nil {
		return "", fmt.Errorf("%s: %s %w", EnvAPIKeyFile, file, err)
	}
	return key, nil
}

// checkAPIKey says whether a key can be sent at all, without repeating it.
func checkAPIKey(key string) error {
	switch {
	case key == "":
		return errors.New("holds no API key")
	case strings.ContainsFunc(key, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }):
		return errors.New("holds more than one API key in one line of ASCII text")
	default:
		return nil
	}
}

// hideKey takes the API key out of errors: a proxy may echo the request's headers.
func hideKey(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err == nil {
		return nil
	}
	sent, _ := metadata.FromOutgoingContext(ctx)
	for _, header := range sent.Get("authorization") {
		key := strings.TrimPrefix(header, "Bearer ")
		if key != "" && strings.Contains(fmt.Sprint(err, status.Convert(err).Proto()), key) {
			s := status.Convert(err)
			err = status.Error(s.Code(), strings.ReplaceAll(s.Message(), key, "[API key]")) // the details are left out
		}
	}
	return err
}

// DialTemporal connects once. An error says where it looked, what is wrong and what to
// check. A zero timeout means ten seconds.
func DialTemporal(ctx context.Context, o client.Options, timeout time.Duration) (client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(timeout, 10*time.Second))
	defer cancel()
	c, err := client.DialContext(ctx, o)
	if err != nil {
		err = fmt.Errorf("reach Temporal at %s (namespace %s): %w", o.HostPort, o.Namespace, err)
		if explained := ExplainTemporal(err, o); explained != err { //nolint:errorlint // the same error, not a like one
			return nil, explained
		}
		if strings.Contains(err.Error(), remedyMark) { // the handshake has explained itself
			return nil, err
		}
		if o.ConnectionOptions.TLS == nil && speaksTLS(err) {
			return nil, fmt.Errorf("%w; the server seems to want TLS: set TEMPORAL_TLS=true", err)
		}
		return nil, fmt.Errorf("%w; is the server up, and is TEMPORAL_ADDRESS right?", err)
	}
	return c, nil
}

// speaksTLS says whether a connection without TLS ended as those do that a TLS server
// ends.
func speaksTLS(err error) bool {
	text := err.Error()
	return strings.Contains(text, "server preface") || strings.Contains(text, "connection reset")
}

// ExplainTemporal adds to an error of Temporal what to check, where that is known: who
// we are, and the namespace. Any other error is returned as it is.
func ExplainTemporal(err error, o client.Options) error {
	var missing *serviceerror.NamespaceNotFound
	switch code := status.Code(serviceStatus(err)); {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return fmt.Errorf("%w; there is no namespace %q at %s: check TEMPORAL_NAMESPACE (on Temporal Cloud it is NAME.ACCOUNT)", err, o.Namespace, o.HostPort)
	case code == codes.Unauthenticated, code == codes.PermissionDenied:
		if o.Credentials != nil {
			return fmt.Errorf("%w; Temporal refuses the API key for namespace %q: is it the right one, not expired, and allowed in this namespace? Check TEMPORAL_API_KEY, api_key in the config profile, or %s",
				err, o.Namespace, EnvAPIKeyFile)
		}
		return fmt.Errorf("%w; Temporal wants to know who asks: set TEMPORAL_API_KEY, or TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH, and check that they may use namespace %q",
			err, o.Namespace)
	default:
		return err
	}
}

// serviceStatus finds the gRPC status inside an error of the SDK.
func serviceStatus(err error) error {
	var s serviceerror.ServiceError
	if errors.As(err, &s) {
		return s.Status().Err()
	}
	return err
}

func identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("identitymesh@%s:%d", host, os.Getpid())
}
