package okta

import (
	"errors"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest texts of an answer that an error quotes, in characters.
const (
	maxQuote   = 120 // of a body that is not JSON
	maxSummary = 400 // of errorSummary, errorCauses and error_description
	maxCauses  = 10
	maxCause   = 1000 // of an error below HTTP
)

// address is what looks like an e-mail address or a login: errors travel through
// logs and Temporal, where people's data must not be.
var address = regexp.MustCompile(`[^\s"'<>(),;:]+@[\pL\pN-]+(\.[\pL\pN-]+)+`)

// newScrubber returns a function that replaces the token by "[token]", in the
// spellings in which a server or an error text may echo it.
func newScrubber(token string) func(string) string {
	quoted := strconv.Quote(token)
	r := strings.NewReplacer(
		token, "[token]",
		quoted[1:len(quoted)-1], "[token]",
		url.QueryEscape(token), "[token]",
		html.EscapeString(token), "[token]",
	)
	return r.Replace
}

// tidy makes a text of the server fit for an error: without the token, on one
// line, printable, and at most limit characters long.
func (c *Client) tidy(text string, limit int) string {
	text = c.scrub(text)
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	// Again: what was dropped may have stood inside the token.
	text = c.scrub(strings.Join(strings.Fields(text), " "))
	text = address.ReplaceAllString(text, "[e-mail]")
	for i := range text {
		if limit--; limit < 0 {
			return text[:i] + "…"
		}
	}
	return text
}

// clean returns err, or its bare text made fit for an error where it is not: the errors
// of net/http quote what the other side sent.
func (c *Client) clean(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if tidied := c.tidy(text, maxCause); tidied != text {
		return errors.New(tidied)
	}
	return err
}
