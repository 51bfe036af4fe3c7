package okta

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

// benchPage returns n users with the attributes of a full profile, as Okta sends them.
func benchPage(n int) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"00u%017d","status":"ACTIVE","created":"2026-05-15T17:24:32.000Z","activated":"2026-05-15T17:24:41.000Z",`+
			`"statusChanged":"2026-05-15T17:24:41.000Z","lastLogin":null,"lastUpdated":"2026-05-15T17:24:44.000Z","passwordChanged":null,`+
			`"type":{"id":"oty1"},"profile":{"mobilePhone":null,"secondEmail":null,"login":"user%d@example.com"`, i, i)
		for a := range 28 {
			fmt.Fprintf(&b, `,"attribute%d":"value %d of user %d"`, a, a, i)
		}
		fmt.Fprintf(&b, `},"_links":{"self":{"href":"https://contoso.okta.com/api/v1/users/00u%017d"}}}`, i)
	}
	b.WriteByte(']')
	return b.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	b.Run("200 users", func(b *testing.B) { benchDecode(b, 200, checkUser) })
	b.Run("1000 members", func(b *testing.B) { benchDecode(b, 1000, checkMember) })
}

func benchDecode[T any](b *testing.B, n int, check func(*T) (id, problem string)) {
	page := benchPage(n)
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		dec := json.NewDecoder(bytes.NewReader(page))
		dec.UseNumber()
		rows, err := decodeList(dec, check)
		if err != nil || len(rows) != n {
			b.Fatal(len(rows), err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
