package oktasim_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/okta/okta-sdk-golang/v5/okta"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// sdkClient is Okta's official Go client, pointed at a simulated org.
func sdkClient(t *testing.T, s *sim) *okta.APIClient {
	t.Helper()
	cfg, err := okta.NewConfiguration(
		okta.WithOrgUrl(s.http.URL), okta.WithToken(oktasim.DefaultToken),
		okta.WithTestingDisableHttpsCheck(true), okta.WithCache(false), okta.WithRateLimitMaxRetries(0),
	)
	require.NoError(t, err)
	cfg.Host = strings.TrimPrefix(s.http.URL, "http://") // the SDK drops the port of the org URL
	return okta.NewAPIClient(cfg)
}

// done checks an answer of the SDK and closes its body.
func done(t *testing.T, resp *okta.APIResponse, err error) {
	t.Helper()
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}

// TestOfficialSDKReads pages through users, groups and members.
func TestOfficialSDKReads(t *testing.T) {
	t.Parallel()
	org := generated(t, 130, 12)
	s := newSim(t, org)
	client, ctx := sdkClient(t, s), t.Context()

	users, resp, err := client.UserAPI.ListUsers(ctx).Limit(50).Search("status pr").Execute()
	done(t, resp, err)
	for resp.HasNextPage() {
		var more []okta.User
		resp, err = resp.Next(&more)
		done(t, resp, err)
		users = append(users, more...)
	}
	var got []string
	for _, u := range users {
		got = append(got, u.GetId())
		want := profileOf(t, object(t, org.User(u.GetId())))
		require.Equal(t, want["lastName"], u.Profile.GetLastName())
	}
	require.Equal(t, org.UserIDs(), got)

	groups, resp, err := client.GroupAPI.ListGroups(ctx).Limit(200).Execute()
	done(t, resp, err)
	require.Len(t, groups, 12)
	for _, g := range groups {
		members, resp, err := client.GroupAPI.ListGroupUsers(ctx, g.GetId()).Limit(40).Execute()
		done(t, resp, err)
		for resp.HasNextPage() {
			var more []okta.GroupMember
			resp, err = resp.Next(&more)
			done(t, resp, err)
			members = append(members, more...)
		}
		require.Len(t, members, len(org.MemberIDs(g.GetId())))
	}

	types, resp, err := client.UserTypeAPI.ListUserTypes(ctx).Execute()
	done(t, resp, err)
	require.Len(t, types, 2)
	schema, resp, err := client.SchemaAPI.GetUserSchema(ctx, "default").Execute()
	done(t, resp, err)
	require.Contains(t, schema.Definitions.Custom.GetProperties(), "badgeNumber")
}

// TestOfficialSDKWrites drives the life of a user and of a group.
func TestOfficialSDKWrites(t *testing.T) {
	t.Parallel()
	org := generated(t, 20, 4)
	s := newSim(t, org)
	client, ctx := sdkClient(t, s), t.Context()

	profile := okta.NewUserProfile()
	profile.SetLogin("sdk@example.com")
	profile.SetEmail("sdk@example.com")
	profile.SetFirstName("Søren")
	profile.SetLastName("Kierkegaard")
	user, resp, err := client.UserAPI.CreateUser(ctx).Body(*okta.NewCreateUserRequest(*profile)).Activate(false).Execute()
	done(t, resp, err)
	require.Equal(t, oktasim.Staged, user.GetStatus())
	_, resp, err = client.UserAPI.CreateUser(ctx).Body(*okta.NewCreateUserRequest(*profile)).Execute()
	require.Error(t, err, "the login is taken")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)

	_, resp, err = client.UserAPI.ActivateUser(ctx, user.GetId()).SendEmail(false).Execute()
	done(t, resp, err)
	change := okta.NewUserProfile()
	change.SetTitle("Philosopher")
	update := okta.NewUpdateUserRequest()
	update.SetProfile(*change)
	user, resp, err = client.UserAPI.UpdateUser(ctx, user.GetId()).User(*update).Execute()
	done(t, resp, err)
	require.Equal(t, "Philosopher", user.Profile.GetTitle())
	require.Equal(t, "Søren", user.Profile.GetFirstName())

	groupProfile := okta.NewGroupProfile()
	groupProfile.SetName("Writers")
	group := okta.NewGroup()
	group.SetProfile(*groupProfile)
	group, resp, err = client.GroupAPI.CreateGroup(ctx).Group(*group).Execute()
	done(t, resp, err)
	groupProfile.SetDescription("Who write")
	renamed := okta.NewGroup()
	renamed.SetProfile(*groupProfile)
	_, resp, err = client.GroupAPI.ReplaceGroup(ctx, group.GetId()).Group(*renamed).Execute()
	done(t, resp, err)
	resp, err = client.GroupAPI.AssignUserToGroup(ctx, group.GetId(), user.GetId()).Execute()
	done(t, resp, err)
	require.Equal(t, []string{user.GetId()}, org.MemberIDs(group.GetId()))
	mine, resp, err := client.UserAPI.ListUserGroups(ctx, user.GetId()).Execute()
	done(t, resp, err)
	require.Len(t, mine, 2, "Everyone and Writers")
	resp, err = client.GroupAPI.UnassignUserFromGroup(ctx, group.GetId(), user.GetId()).Execute()
	done(t, resp, err)
	resp, err = client.GroupAPI.DeleteGroup(ctx, group.GetId()).Execute()
	done(t, resp, err)

	active := org.UserIDsByStatus(oktasim.Active)[0]
	for _, call := range []func(context.Context) (*okta.APIResponse, error){
		func(ctx context.Context) (*okta.APIResponse, error) {
			return client.UserAPI.SuspendUser(ctx, active).Execute()
		},
		func(ctx context.Context) (*okta.APIResponse, error) {
			return client.UserAPI.UnsuspendUser(ctx, active).Execute()
		},
		func(ctx context.Context) (*okta.APIResponse, error) {
			return client.UserAPI.DeactivateUser(ctx, active).Execute()
		},
		func(ctx context.Context) (*okta.APIResponse, error) {
			return client.UserAPI.DeleteUser(ctx, active).Execute()
		},
		func(ctx context.Context) (*okta.APIResponse, error) {
			return client.UserAPI.DeleteUser(ctx, user.GetId()).Execute()
		},
	} {
		resp, err := call(ctx)
		done(t, resp, err)
	}
	require.Nil(t, org.User(active))
	got, resp, err := client.UserAPI.GetUser(ctx, user.GetId()).Execute()
	done(t, resp, err)
	require.Equal(t, oktasim.Deprovisioned, got.GetStatus(), "the first delete deactivates")
	_, resp, err = client.UserAPI.GetUser(ctx, active).Execute()
	require.Error(t, err)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Contains(t, fmt.Sprint(err), "404")
}

// TestOfficialSDKAsServiceApp has Okta's own client dance for a token with a private key,
// with DPoP and without, and page through users with it. It sends its form in the query,
// an assertion without jti that lives for exactly an hour, and RSA proofs with a nonce.
func TestOfficialSDKAsServiceApp(t *testing.T) {
	t.Parallel()
	pemKey := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey())}))
	for _, noDPoP := range []bool{false, true} {
		t.Run(fmt.Sprintf("noDPoP=%t", noDPoP), func(t *testing.T) {
			t.Parallel()
			a := newApp(t, func(app *oktasim.App, c *oktasim.Config) {
				app.NoDPoP = noDPoP
				c.Clock = new(oktasim.Clock) // the SDK signs by this machine's
			})
			cfg, err := okta.NewConfiguration(
				okta.WithOrgUrl(a.http.URL), okta.WithAuthorizationMode("PrivateKey"), okta.WithClientId(appID),
				okta.WithScopes([]string{"okta.users.read", "okta.groups.read"}), okta.WithPrivateKey(pemKey), okta.WithPrivateKeyId("k1"),
				okta.WithTestingDisableHttpsCheck(true), okta.WithCache(false), okta.WithRateLimitMaxRetries(0),
			)
			require.NoError(t, err)
			cfg.Host = strings.TrimPrefix(a.http.URL, "http://")
			client := okta.NewAPIClient(cfg)

			users, resp, err := client.UserAPI.ListUsers(t.Context()).Execute()
			done(t, resp, err)
			require.NotEmpty(t, users)
			user, resp, err := client.UserAPI.GetUser(t.Context(), users[0].GetId()).Execute()
			done(t, resp, err)
			require.Equal(t, users[0].GetId(), user.GetId())
			groups, resp, err := client.GroupAPI.ListGroups(t.Context()).Execute()
			done(t, resp, err)
			require.Len(t, groups, 4)
			want := 1
			if !noDPoP {
				want = 3 // without a proof, without a nonce, with both
			}
			require.Equal(t, want, a.srv.Stats().ByEndpoint["POST /oauth2/v1/token"])
		})
	}
}
