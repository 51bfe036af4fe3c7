package oktasim

import "time"

// stamp is a point in time in Unix milliseconds; 0 is null.
type stamp int64

const stampLayout = "2006-01-02T15:04:05.000Z"

// wholeSecond cuts t to the second, as all of Okta's stamps are (facts.md §14).
func wholeSecond(t time.Time) stamp { return stamp(t.Unix() * 1000) }

func (s stamp) String() string { return time.UnixMilli(int64(s)).UTC().Format(stampLayout) }

// time is the stamp as a time, the zero time for null.
func (s stamp) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(s)).UTC()
}

// appendTo appends the stamp as JSON.
func (s stamp) appendTo(dst []byte) []byte {
	if s == 0 {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = time.UnixMilli(int64(s)).UTC().AppendFormat(dst, stampLayout)
	return append(dst, '"')
}

func parseStamp(s string) (stamp, bool) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, false
	}
	return stamp(t.UnixMilli()), true
}
