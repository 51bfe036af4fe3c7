package okta

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadRate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		limit, remaining, reset []string
		want                    Rate
	}{
		"plain":        {[]string{"600"}, []string{"574"}, []string{"1598552424"}, Rate{Limit: 600, Remaining: 574, Reset: time.Unix(1598552424, 0).UTC(), Known: true}},
		"sent twice":   {[]string{"300", "600"}, []string{"7", "9"}, []string{"100", "200"}, Rate{Limit: 300, Remaining: 7, Reset: time.Unix(100, 0).UTC(), Known: true}},
		"joined":       {[]string{"300, 300"}, []string{"7,7"}, []string{"100 , 100"}, Rate{Limit: 300, Remaining: 7, Reset: time.Unix(100, 0).UTC(), Known: true}},
		"concurrency":  {[]string{"0"}, []string{"0"}, []string{"100"}, Rate{Reset: time.Unix(100, 0).UTC(), Known: true}},
		"none":         {nil, nil, nil, Rate{}},
		"no reset":     {[]string{"600"}, []string{"1"}, nil, Rate{Limit: 600, Remaining: 1}},
		"nonsense":     {[]string{"many"}, []string{"-1"}, []string{"100"}, Rate{Reset: time.Unix(100, 0).UTC()}},
		"out of range": {[]string{"99999999999999"}, []string{"1"}, []string{"100"}, Rate{Remaining: 1, Reset: time.Unix(100, 0).UTC()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{"X-Rate-Limit-Limit": tt.limit, "X-Rate-Limit-Remaining": tt.remaining, "X-Rate-Limit-Reset": tt.reset}
			tt.want.Bucket = "b"
			require.Equal(t, tt.want, readRate(h, "b"))
		})
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	for range 1000 {
		got := jitter(10 * time.Second)
		require.GreaterOrEqual(t, got, 5*time.Second)
		require.LessOrEqual(t, got, 10*time.Second)
	}
}
