// Package okta is a read client for the Okta Management API: users, groups and
// group members, page by page (facts.md is the truth it is built on).
//
// It knows nothing of the mesh or of Temporal, and it never retries: every call is
// one HTTP exchange at most, and an error says what the caller should do next
// ([Kind], [RateLimitError]). It waits for no rate limit, but holds a call for some
// seconds at most where the answer of another one decides ([Limits]).
//
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
