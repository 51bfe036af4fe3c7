package okta

import (
	"context"
	"iter"
)

// Users walks all pages of [Client.ListUsers]. An error is yielded once, last,
// beside a zero User. The walk does not wait and does not retry.
func (c *Client) Users(ctx context.Context, o ListUsers) iter.Seq2[User, error] {
	return walk(c, request{endpoint: usersEndpoint}, func(next string) ([]User, *Page, error) {
		return c.ListUsers(ctx, o, next)
	})
}

// Groups walks all pages of [Client.ListGroups] as [Client.Users] does.
func (c *Client) Groups(ctx context.Context, o ListGroups) iter.Seq2[Group, error] {
	return walk(c, request{endpoint: groupsEndpoint}, func(next string) ([]Group, *Page, error) {
		return c.ListGroups(ctx, o, next)
	})
}

// GroupMembers walks all pages of [Client.ListGroupMembers] as [Client.Users] does.
func (c *Client) GroupMembers(ctx context.Context, groupID string, limit int) iter.Seq2[Member, error] {
	return walk(c, request{endpoint: membersEndpoint, id: groupID}, func(next string) ([]Member, *Page, error) {
		return c.ListGroupMembers(ctx, groupID, limit, next)
	})
}

// walk follows the next links. A loop over several pages is found by Brent's
// method: compare each link with one remembered at page 1, 2, 4, 8 …
func walk[T any](c *Client, r request, read func(next string) ([]T, *Page, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		var next, remembered string
		for page, power := 1, 1; ; page++ {
			rows, answer, err := read(next)
			if err != nil {
				yield(zero, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			next = answer.Next
			switch {
			case next == "":
				return
			case next == remembered:
				yield(zero, c.failure(r, "the next link repeats an earlier one: the listing would never end"))
				return
			case page == power:
				remembered, power = next, 2*power
			}
		}
	}
}
