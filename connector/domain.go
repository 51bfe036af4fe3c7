package connector

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxHostLen is the longest host name, in characters (RFC 1035).
const maxHostLen = 253

var (
	hostLabel = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	// numericLabel as the last label makes browsers and resolvers read the whole name
	// as an IPv4 address.
	numericLabel = regexp.MustCompile(`^([0-9]+|0[xX][0-9a-fA-F]*)$`)
	// oktaDomains are the domains under which Okta serves orgs; there, and only
	// there, the host name of the admin console ends in -admin.
	oktaDomains = []string{"okta.com", "oktapreview.com", "okta-emea.com", "okta-gov.com", "okta.mil", "trexcloud.com"}
)

// checkDomain says whether domain is a loopback address, and what is wrong with
// it; "" when nothing is.
func checkDomain(domain string) (loopback bool, message string) {
	if message := checkDomainText(domain); message != "" {
		return false, message
	}
	host, port, message := splitPort(domain)
	if message != "" {
		return false, message
	}
	if port != "" {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
			return false, fmt.Sprintf("has the port %s; a port is a number from 1 to 65535", quote(port))
		}
	}
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(host[1 : len(host)-1])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return false, "holds no valid IPv6 address between [ and ]; write it as in [::1]:18080"
		}
		return checkAddr(addr)
	}
	if labels := strings.Split(host, "."); numericLabel.MatchString(labels[len(labels)-1]) {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return false, fmt.Sprintf("is neither a host name nor an IPv4 address: %s", quote(host))
		}
		return checkAddr(addr)
	}
	return checkHostName(strings.ToLower(host))
}

// checkDomainText finds the pieces of a URL that do not belong into a host name.
func checkDomainText(domain string) string {
	const form = "write the host name alone, such as contoso.okta.com"
	switch {
	case tokenShape.MatchString(domain):
		return "looks like an API token; " + form + ". " + tokenSecret.leaked
	case strings.TrimSpace(domain) == "":
		return "is empty; it must be the org's host name, such as contoso.okta.com"
	case strings.Contains(domain, "@"): // may hold a password: not shown
		return "must not hold a user name (@); " + form
	case strings.ContainsFunc(domain, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return "must not hold spaces or control characters; " + form
	case strings.Contains(domain, "://"):
		_, rest, _ := strings.Cut(domain, "://")
		if i := strings.IndexAny(rest, `/?#\`); i >= 0 {
			rest = rest[:i]
		}
		if rest == "" || len(rest) > maxHostLen {
			return "must not hold a scheme; " + form
		}
		if org, ok := apiHost(strings.ToLower(rest)); ok {
			rest = org // copied from the address bar of the admin console
		}
		return fmt.Sprintf("must not hold a scheme; write %q", rest)
	case strings.ContainsAny(domain, "?#"):
		return "must not hold a query or fragment; " + form
	case strings.ContainsAny(domain, `/\`):
		return "must not hold a path; " + form
	case strings.ContainsFunc(domain, func(r rune) bool { return r > unicode.MaxASCII }):
		return "must be ASCII; write an international name in its punycode form (xn--…)"
	}
	return ""
}

// splitPort cuts host:port. The brackets of an IPv6 address stay.
func splitPort(domain string) (host, port, message string) {
	if strings.HasPrefix(domain, "[") {
		end := strings.IndexByte(domain, ']')
		if end < 0 {
			return "", "", "has a [ without a ]; write an IPv6 address as in [::1]:18080"
		}
		host, rest := domain[:end+1], domain[end+1:]
		if rest == "" {
			return host, "", ""
		}
		if rest[0] != ':' || rest == ":" {
			return "", "", "has text other than :PORT after the ]"
		}
		return host, rest[1:], ""
	}
	if strings.Count(domain, ":") > 1 {
		return "", "", "must hold an IPv6 address in brackets, as in [::1]:18080"
	}
	host, port, found := strings.Cut(domain, ":")
	switch {
	case found && port == "":
		return "", "", "ends in a colon without a port"
	case host == "":
		return "", "", "has no host name before the port"
	}
	return host, port, ""
}

func checkAddr(addr netip.Addr) (loopback bool, message string) {
	addr = addr.Unmap()
	if addr.IsUnspecified() || addr.IsMulticast() {
		return false, "is an address that no server answers on; give the address of the org"
	}
	return addr.IsLoopback(), ""
}

func checkHostName(host string) (loopback bool, message string) {
	if len(host) > maxHostLen {
		return false, fmt.Sprintf("is longer than a host name can be (%d characters)", maxHostLen)
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !hostLabel.MatchString(label) {
			return false, fmt.Sprintf("is no host name: the part %s is not 1 to 63 letters, digits and inner dashes", quote(label))
		}
	}
	if org, ok := apiHost(host); ok {
		return false, fmt.Sprintf("is the address of the admin console, not of the API; use %s", org)
	}
	return host == "localhost", ""
}

// apiHost turns the host name of an admin console into that of its org; ok is
// false when host is none.
func apiHost(host string) (org string, ok bool) {
	first, parent, _ := strings.Cut(host, ".")
	name, isAdmin := strings.CutSuffix(first, "-admin")
	if !isAdmin || name == "" || !slices.Contains(oktaDomains, parent) {
		return "", false
	}
	return name + "." + parent, true
}
