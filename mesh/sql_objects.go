package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// objectID names an object within its connector.
type objectID struct {
	typ    ObjectType
	oktaID string
}

func idOf(o Object) objectID { return objectID{o.Type, o.OktaID} }

// objectState is what the store holds of one object, with the changes of this
// transaction applied in memory and written at its end.
type objectState struct {
	key      int64
	exists   bool // a row of im_objects
	live     bool
	outside  bool // known and current, but not in the mesh: see ObjectPage.MembersOnly
	external string
	hash     []byte
	stamp    int64
	wishes   bool            // waits for another external id
	content  bool            // has the external id that he waited to give up
	was      json.RawMessage // as stored, nil: not read
	attrs    json.RawMessage // as they shall be, nil: untouched

	seen      bool
	seenStamp int64
	staged    string // kind of the staged row, "" without one
	reason    Reason // of a staged delete
	payload   Object // of a staged add or rename; of a delete, what it looked like

	touchObject, touchStaged bool
	revived                  bool   // came into the mesh
	returned                 bool   // was there before
	entered                  bool   // came back, but stays outside
	left                     Reason // why somebody outside is no longer known
	alive                    bool   // live and seen as such
}

// holder is a live object's claim on an external id.
type holder struct {
	typ  ObjectType
	fold string
}

// objectWriter compares the objects of a page with the store and writes what differs.
type objectWriter struct {
	*tx
	ignore      []string
	membersOnly bool // users who are not live stay outside
	knownOnly   bool // ids that the store has never met are left alone, none counts as seen

	states  map[objectID]*objectState
	byKey   map[int64]*objectState // those that were there
	order   []objectID
	holders map[holder]int64
	feed    []feedRow
	counts  map[ObjectType]Counts
}

// externalFold is equal for external ids that must not be live together: Okta takes
// logins that differ only in case for one (facts.md §8), while its ids are exact.
func externalFold(o Object) string {
	if o.Type == User && o.ExternalID != o.OktaID {
		return strings.ToLower(o.ExternalID)
	}
	return o.ExternalID
}

// checkObject refuses what could not be read back.
func checkObject(o Object, idOnly bool) error {
	switch {
	case o.Type != User && o.Type != Group:
		return &ConflictError{fmt.Sprintf("object %s has type %q: only users and groups are written as objects", o.OktaID, o.Type)}
	case o.OktaID == "":
		return &ConflictError{fmt.Sprintf("a %s without an Okta id cannot be written", o.Type)}
	case idOnly:
		return nil
	case o.Delete == "" && (o.ExternalID == "" || len(o.Attributes) == 0 || o.Hash == nil):
		return &ConflictError{fmt.Sprintf("%s %s lacks an external id, attributes or a hash", o.Type, o.OktaID)}
	}
	return nil
}

// write applies the objects in order and writes what changed.
func (w *objectWriter) write(ctx context.Context, objects []Object) error {
	for _, o := range objects {
		if err := w.apply(ctx, o); err != nil {
			return err
		}
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	for _, typ := range ObjectTypes {
		if err := w.addCounts(ctx, typ, w.counts[typ]); err != nil {
			return err
		}
	}
	return w.appendFeed(ctx, w.feed)
}

// apply decides what one answer of Okta means. The newest answer wins; an older
// one only proves that the object is there.
func (w *objectWriter) apply(ctx context.Context, o Object) error {
	s := w.states[idOf(o)]
	c := w.counts[o.Type]
	defer func() { w.counts[o.Type] = c }()

	firstSight := !s.seen
	if firstSight {
		c.Seen++
	}
	stamp := toMillis(o.Stamp)
	stale := stamp != 0 && stamp < max(s.stamp, s.seenStamp)
	s.seen, s.seenStamp = true, max(s.seenStamp, stamp)
	if s.staged == stagedDelete && s.reason == "" {
		s.unstage() // a candidate of the sweep that is there after all
	}
	switch {
	case stale:
		if firstSight && s.live && s.staged == "" {
			c.Unchanged++
		}
	case o.Delete != "":
		s.leave(o)
	case s.live && s.external != o.ExternalID:
		s.alive = true
		s.stage(stagedRename, o)
	case s.live:
		s.alive = true
		s.unstage()
		changed, err := w.update(ctx, s, o)
		if err != nil {
			return err
		}
		if changed {
			c.Updated++
		} else if firstSight {
			c.Unchanged++
		}
	case w.membersOnly && o.Type == User:
		s.keepOutside(o)
	default:
		claim := holder{o.Type, externalFold(o)}
		if _, held := w.holders[claim]; held {
			s.stage(stagedAdd, o)
			break
		}
		s.unstage()
		w.holders[claim] = s.key
		w.add(s, o)
		s.returned = s.exists
		c.Added++
	}
	return nil
}

func (s *objectState) stage(kind string, o Object) {
	s.staged, s.reason, s.payload, s.touchStaged = kind, "", o, true
}

func (s *objectState) unstage() {
	if s.staged != "" {
		s.staged, s.reason, s.touchStaged = "", "", true
	}
}

// leave stages the Delete of a live object. Somebody outside leaves without a word.
func (s *objectState) leave(o Object) {
	s.unstage()
	switch {
	case s.live:
		s.stage(stagedDelete, o)
		s.reason, s.alive = o.Delete, false
	case s.outside:
		s.outside, s.left, s.touchObject = false, o.Delete, true
		s.stamp = max(s.stamp, toMillis(o.Stamp))
	}
}

// add makes the object live.
func (w *objectWriter) add(s *objectState, o Object) {
	s.revived, s.live, s.outside, s.left = true, true, false, ""
	s.take(o)
	w.feed = append(w.feed, feedRow{op: Add, typ: o.Type, key: s.key, external: o.ExternalID, attrs: o.Attributes})
}

func (s *objectState) take(o Object) {
	s.external, s.attrs, s.hash, s.touchObject = o.ExternalID, o.Attributes, o.Hash, true
	s.stamp = max(s.stamp, toMillis(o.Stamp))
}

// update compares a live object with a new answer and says whether the feed got a
// row. Where only ignored attributes differ, the stored attributes stay what the
// feed last said, and the hash is refreshed so that the next look is cheap.
func (w *objectWriter) update(ctx context.Context, s *objectState, o Object) (bool, error) {
	s.content = s.wishes
	if newer := toMillis(o.Stamp); newer > s.stamp || s.content {
		s.stamp, s.touchObject = max(s.stamp, newer), true
	}
	if bytes.Equal(s.hash, o.Hash) {
		return false, nil
	}
	if s.attrs == nil {
		if s.was == nil {
			if err := w.readAttributes(ctx, []int64{s.key}); err != nil {
				return false, err
			}
		}
		s.attrs = s.was
	}
	changed, err := changedNames(s.attrs, o.Attributes, w.ignore)
	if err != nil {
		return false, fmt.Errorf("compare the attributes of %s %s: %w", o.Type, o.OktaID, err)
	}
	if len(changed) == 0 {
		s.hash, s.touchObject = o.Hash, true
		return false, nil
	}
	s.take(o)
	w.feed = append(w.feed, feedRow{op: Update, typ: o.Type, key: s.key, external: o.ExternalID, attrs: o.Attributes, changed: changed})
	return true, nil
}
