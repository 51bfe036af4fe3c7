package oktasim_test

import (
	"context"
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
