package mesh

import (
	"context"
	"sync"
)

// maxLineages bounds how many connectors a process remembers, dry runs' copies among them.
const maxLineages = 4096

// lineages is what this process has seen committed, by connector: as long as nobody says
// that the database was restored, all of it is there for ever. A database that was put back
// to an earlier state beneath a process would otherwise get rows by keys that the process
// remembers and that belong to somebody else by now (docs/adr/0016).
type lineages struct {
	mu   sync.Mutex
	of   map[string]lineage
	last uint32
}

type lineage struct {
	epoch string
	// number names the epoch in this process: what keyCache knows, it knows of one epoch.
	number uint32
	seq    int64 // the last row of the feed
	key    int64 // the largest key of im_ids, and whose it is
	id     string
}

// get returns what is known of a connector.
func (l *lineages) get(connector string) lineage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[connector]
}

// number returns the number of the connector's epoch. Of another epoch than the known one,
// nothing is known.
func (l *lineages) number(connector, epoch string) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.of[connector]
	if ok && known.epoch == epoch {
		return known.number
	}
	if l.of == nil || len(l.of) >= maxLineages {
		l.of = map[string]lineage{}
	}
	l.last++
	l.of[connector] = lineage{epoch: epoch, number: l.last}
	return l.last
}

// saw remembers what was committed under the epoch called number.
func (l *lineages) saw(connector string, number uint32, seq, key int64, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.of[connector]
	if !ok || known.number != number {
		return
	}
	known.seq = max(known.seq, seq)
	if key > known.key {
		known.key, known.id = key, id
	}
	l.of[connector] = known
}

// descends notes the epoch of the transaction's connector. It returns a [*RestoredError] when
// the database holds less than this process saw committed: there says that the largest key
// that it knows is there.
func (t *tx) descends(known lineage, epoch string, there bool) error {
	if known.epoch == epoch && (t.seq < known.seq || !there) {
		return &RestoredError{Connector: t.fence.Connector, Row: known.seq, Last: t.seq}
	}
	t.lineage = t.store.lineages.number(t.fence.Connector, epoch)
	return nil
}

// remember has the process remember, once the transaction is committed, how far it went.
func (t *tx) remember() {
	t.afterCommit = append(t.afterCommit, func() {
		t.store.lineages.saw(t.fence.Connector, t.lineage, t.seq, t.topKey, t.topID)
	})
}

// met notes keys that the transaction has found or given.
func (t *tx) met(found map[string]int64) {
	for id, key := range found {
		if key > t.topKey {
			t.topKey, t.topID = key, id
		}
	}
}

// forgotten says whether the database knows nothing of a run that has begun: its row is
// removed long after its end, if ever. That of a dry run goes with the copy it wrote to.
func (t *tx) forgotten(ctx context.Context, connector, runID string) (bool, error) {
	var n int
	if RealName(connector) != connector {
		return false, nil
	}
	_, err := first(ctx, t, []any{&n}, `SELECT count(*) FROM im_runs WHERE run_id = ?`, runID)
	return n == 0, err
}
