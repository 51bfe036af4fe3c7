package okta

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The clock is never early, and after some calls late by little.
func TestOrgClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour, 300 * time.Millisecond} {
		random := rand.New(rand.NewPCG(1, 2))
		some := func() time.Duration { return time.Duration(random.IntN(10)) * time.Millisecond }
		var c orgClock
		now := noon.Add(123 * time.Millisecond) // on the org's clock
		local := func() time.Time { return now.Add(-ahead) }
		require.Equal(t, local(), c.at(local()), "nothing is known")
		for i := range 1000 {
			sent := local()
			now = now.Add(some())
			date := now.Truncate(time.Second)
			now = now.Add(some())
			c.learn(date, time.Time{}, sent, local())
			late := now.Sub(c.at(local()))
			require.GreaterOrEqual(t, late, time.Duration(0), "call %d, ahead %s", i, ahead)
			require.Less(t, late, 1020*time.Millisecond)
			if i > 900 {
				require.Less(t, late, 50*time.Millisecond)
			}
		}
	}
}

func TestOrgClockIsSet(t *testing.T) {
	t.Parallel()
	var c orgClock
	for _, set := range []time.Duration{0, time.Hour, -2 * time.Hour, -2*time.Hour - 10*time.Second} {
		c.learn(noon.Add(set), time.Time{}, noon, noon)
		require.Equal(t, noon.Add(set), c.at(noon))
	}
}

// Without a Date the window is taken to be a minute long, from the first call on.
func TestOrgClockWithoutDate(t *testing.T) {
	t.Parallel()
	var c orgClock
	c.learn(time.Time{}, time.Time{}, noon, noon)
	require.Equal(t, noon, c.at(noon))
	reset := noon.Add(time.Hour)
	c.learn(time.Time{}, reset, noon, noon)
	require.Equal(t, reset.Add(-time.Minute), c.at(noon))
	c.learn(time.Time{}, reset, noon.Add(20*time.Second), noon.Add(20*time.Second))
	require.Equal(t, reset.Add(-40*time.Second), c.at(noon.Add(20*time.Second)))
	c.learn(noon, time.Time{}, noon, noon)
	c.learn(time.Time{}, reset, noon, noon)
	require.Equal(t, noon, c.at(noon), "Date knows better")
}
