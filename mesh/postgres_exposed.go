package mesh

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
)

// Exposed says, for a warning, that whoever is between this machine and the database that
// url names could read or change what travels: "" when nobody could, when the database is
// on this machine, and of a URL that cannot be used.
func Exposed(url string) string {
	if !isPostgres(url) {
		return ""
	}
	config, _, err := pgConfig(url)
	if err != nil {
		return ""
	}
	if why := exposed(config.Host, config.TLSConfig); why != "" {
		return why
	}
	for _, f := range config.Fallbacks { // other hosts, and prefer's way without TLS
		if why := exposed(f.Host, f.TLSConfig); why != "" {
			return why
		}
	}
	return ""
}

func exposed(host string, c *tls.Config) string {
	ip := net.ParseIP(host)
	switch {
	case strings.HasPrefix(host, "/"), host == "localhost", ip != nil && ip.IsLoopback():
		return ""
	case c == nil:
		return fmt.Sprintf("the connection to %s may go without TLS", host)
	case c.InsecureSkipVerify: // pgx checks the authority of verify-ca by itself, not the name
		return fmt.Sprintf("the connection to %s takes the certificate of another server", host)
	default:
		return ""
	}
}
