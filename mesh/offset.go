package mesh

import (
	"fmt"
	"strconv"
	"strings"
)

// Offset is a consumer's place in a feed: the last row that he has handled, and the epoch in
// which it has that number. It is written EPOCH:SEQ, or SEQ alone.
type Offset struct {
	// Epoch is [Feed.Epoch] when the row was read. Empty, it is not known: then a restored
	// database cannot be told from the one that was read.
	Epoch string
	Seq   int64
}

// String is what [ParseOffset] reads.
func (o Offset) String() string {
	if o.Epoch == "" {
		return strconv.FormatInt(o.Seq, 10)
	}
	return o.Epoch + ":" + strconv.FormatInt(o.Seq, 10)
}

// ParseOffset reads EPOCH:SEQ or SEQ.
func ParseOffset(text string) (o Offset, err error) {
	epoch, seq, both := strings.Cut(text, ":")
	if !both {
		epoch, seq = "", text
	}
	o = Offset{Epoch: epoch}
	if o.Seq, err = strconv.ParseInt(seq, 10, 64); err != nil || o.Seq < 0 || both && epoch == "" {
		return Offset{}, fmt.Errorf("%q is no offset: want EPOCH:SEQ as 'starter feed show' and the rows of 'starter changes' name them, or the SEQ of a row alone, from 0", text)
	}
	return o, nil
}
