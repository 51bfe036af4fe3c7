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
// # Meanness
//
// A [Clock] moves time: stamps, the Date header, rate windows and lag follow it.
// [Org.SetLag] puts what the org shows behind its writes, by kind of answer.
// [Server.SetFault] makes it answer 200 with what is not so. [Server.SetLimits] and
// [Server.Spend] tighten its rate limits while it runs. [Scenarios] are the
// recorded timelines; [Org.Truth] is what an importer must have in the end, and
// [Server.Transport] asks without a socket.
//
// # Service apps
//
// [Config].Apps are OAuth 2.0 service apps. The token endpoint, /oauth2/v1/token, is as
// strict as Okta's about assertions and DPoP proofs, and API calls are about tokens,
// proofs and scopes; see [App]. [Server.RotateNonce] and [Server.RevokeTokens] make what
// rarely happens happen.
//
// # Control API
//
// What Okta does not have lives under /_sim/, which needs no token and is not
// counted: GET /_sim/stats and POST /_sim/stats/reset. With [Config].Control, the
// command's --control, the same and more lives under /-/, for scripts:
//
//	GET    /-/clock            {"now":"2026-03-14T15:09:26Z"}
//	POST   /-/clock            {"advance":"15m"}, {"set":"2026-03-14T00:00:00Z"} or {"freeze":true}
//	GET    /-/lag              the lag in force
//	POST   /-/lag              {"search":"5s","members":"2s","membershipStamp":"3s","groupStamp":"0s","everyone":"1m","wobble":true}; what is absent is none
//	GET    /-/fault            the faults that are set, with the answers left to each
//	POST   /-/fault            {"name":"drop-rows","count":1,"share":0.5,"ids":["00u…"],"path":"/api/v1/users"}; see [Fault]
//	DELETE /-/fault?name=…     clears one, without a name all
//	GET    /-/limits           the limits in force
//	POST   /-/limits           {"rate":600,"concurrency":75}; what is absent limits nothing
//	POST   /-/spend            {"bucket":"/api/v1/groups","calls":100}: what other clients use; answers {"spent":100}
//	GET    /-/stats            as /_sim/stats; POST /-/stats/reset starts anew
//	POST   /-/touch            {"groups":["00g…"]}: see [Org.TouchMembership]
//	DELETE /-/attribute?name=… see [Org.RemoveAttribute]
//	GET    /-/oauth            the service apps, the tokens that live, whether API calls need a nonce
//	POST   /-/oauth            {"rotateNonce":true,"refuseOld":true,"nonceOnAPI":true,"revokeTokens":true}; what is absent is left alone
//
// An answer is JSON; a request that is refused is answered 400, 404, 405 or 409
// with a line of text.
package oktasim
