// Package okta is a read client for the Okta Management API: users, groups and
// group members, page by page (facts.md is the truth it is built on).
//
// It knows nothing of the mesh or of Temporal, and it never sleeps and never
// retries: every call is one HTTP exchange at most, and an error says what the
// caller should do next ([Kind], [RateLimitError]).
//
//   - Paging follows the next link of Okta as an opaque URL, of the org's own
//     origin only: the token would leak to any other (facts.md §1).
//   - Answers are decoded as a stream, row by row. Attributes that this package
//     does not know survive in Profile.
//   - Rate-limit headers are returned with every page and kept per bucket in
//     [Limits]; a bucket that is used up is not asked again before its reset
//     (facts.md §5).
//   - Errors name the endpoint, Okta's code and summary, the request id and the
//     remedy. They hold no token, no query string and no profile data.
package okta
