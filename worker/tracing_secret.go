package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// headerVariables hold the headers for the traces' receiver, a token among them as a rule:
// name=value, percent-encoded, separated by commas.
var headerVariables = []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"}

// shortestSecret is the length below which a value is no secret but "1" or "prod", which
// would take letters out of every message.
const shortestSecret = 8

// traceSecrets returns what of the headers must not be shown, or an error where a header is
// none: OpenTelemetry would print it.
func traceSecrets() (values []string, _ error) {
	for _, variable := range headerVariables {
		text := os.Getenv(variable)
		if text == "" {
			continue
		}
		for i, header := range strings.Split(text, ",") {
			name, value, ok := strings.Cut(header, "=")
			plain, err := url.PathUnescape(strings.TrimSpace(value))
			if !ok || err != nil || strings.TrimSpace(name) == "" {
				return nil, fmt.Errorf("%s: entry %d is no header: write name=value, percent-encoded, with commas between", variable, i+1)
			}
			values = append(values, plain, strings.TrimSpace(value))
			if fields := strings.Fields(plain); len(fields) > 1 { // Bearer and the token
				token := fields[len(fields)-1]
				values = append(values, token, url.PathEscape(token))
			}
		}
	}
	return values, nil
}

// traceError is err without what the receiver answered, which may repeat the headers.
func traceError(err error, secrets []string) error {
	text, _, _ := strings.Cut(err.Error(), " (body: ")
	for _, secret := range secrets {
		if len(secret) >= shortestSecret {
			text = strings.ReplaceAll(text, secret, "[header]")
		}
	}
	return errors.New(text)
}
