// Package oktasim is a simulated Okta org: the state of an org ([Org]) and an
// HTTP server ([Server]) that answers as Okta's Management API does.
//
// It is what the tests of this project trust, so where Okta is strict or
// surprising it is too (facts.md): the plain user list leaves out DEPROVISIONED
// users, stamps have whole seconds, absent attributes are absent, the Link
// header comes as two lines, a 429 has no Retry-After, DELETE of a user takes two
// calls, and a filter may name only what Okta documents. Where Okta's behaviour
// is not known, the choice is written at the code that makes it.
//
// An org comes from a file ([Load]) or is generated ([Generate]), and changes
// through Okta's own write endpoints or through the methods of [Org]:
//
//	org, err := oktasim.Generate(oktasim.Spec{Users: 100, Groups: 10, Seed: 1})
//	srv := httptest.NewServer(oktasim.New(oktasim.Config{Org: org}))
//
// What Okta does not have lives under /_sim/, which needs no token and is not
// counted: GET /_sim/stats and POST /_sim/stats/reset.
package oktasim
