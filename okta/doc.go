// Package okta is a read client for the Okta Management API: users, groups and
// group members, page by page (facts.md is the truth it is built on).
//
// It knows nothing of the mesh or of Temporal, and it never retries: an error says what
// the caller should do next ([Kind], [RateLimitError]). A call is one HTTP exchange;
// only where Okta asks a service app for a nonce, or refuses its token in mid-run, it is
// sent once more, signed anew. It waits for no rate limit, but holds a call for some
// seconds at most where the answer of another one decides ([Limits]).
//
//   - It only reads: the lowest layer sends nothing but GETs, and the POST of a token
//     request (readonly.go).
//   - It signs with an API token ([APIToken]) or as a service app ([ServiceApp]), whose
//     access tokens are bound to a key of the process by DPoP where Okta allows it.
//   - Paging follows the next link of Okta as an opaque URL, of the org's own
//     origin only: the token would leak to any other (facts.md §1).
//   - Answers are decoded as a stream, row by row. Attributes that this package
//     does not know survive in Profile.
//   - Rate-limit headers are returned with every page and kept per bucket in
//     [Limits]; a bucket that is down to its reserve is not asked again before its
//     window is over (facts.md §5).
//   - Errors name the endpoint, Okta's code and summary, the request id and the
//     remedy. They hold no token, no query string and no profile data.
package okta
