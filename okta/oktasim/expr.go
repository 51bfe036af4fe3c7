package oktasim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	filter "github.com/scim2/filter-parser/v2"
)

// kind is the type of a property as the expression language sees it.
type kind int

const (
	text kind = iota
	moment
	number
	truth
)

// property is one name that an expression may use, with how to read it off a T.
// Exactly one of text, when and raw is set.
type property[T any] struct {
	kind kind
	ops  []filter.CompareOperator
	text func(*T) string // "" is absent
	when func(*T) stamp  // 0 is absent
	raw  func(*T) []byte // a profile attribute as JSON, nil or null is absent; arrays match by element
	// exact is an id: two that differ only in case are two objects.
	exact bool
}

// vocabulary is what an endpoint's filter or search understands.
type vocabulary[T any] struct {
	resolve func(path string) (property[T], bool)
	// fold compares text without regard to case: search does, filter does not
	// (SPEC listUsers). Diacritical marks count in both.
	fold bool
}

type predicate[T any] func(*T) bool

var (
	opsEqual   = []filter.CompareOperator{filter.EQ}
	opsEqualPr = []filter.CompareOperator{filter.EQ, filter.PR}
	opsFilterT = []filter.CompareOperator{filter.EQ, filter.GT, filter.GE, filter.LT, filter.LE}
	opsGroupT  = []filter.CompareOperator{filter.EQ, filter.GT, filter.LT}
	opsRange   = []filter.CompareOperator{filter.EQ, filter.GT, filter.GE, filter.LT, filter.LE, filter.PR}
	opsText    = []filter.CompareOperator{filter.EQ, filter.GT, filter.GE, filter.LT, filter.LE, filter.PR, filter.SW}
	opsTextCo  = []filter.CompareOperator{filter.EQ, filter.GT, filter.GE, filter.LT, filter.LE, filter.PR, filter.SW, filter.CO}
)

// maxExpression bounds an expression: "an overly complex or long search query
// can result in an error" (SPEC listUsers). The number is this simulator's.
const maxExpression = 8192

// compileExpression parses a SCIM expression and binds it to the vocabulary.
// Whatever Okta does not document is refused with 400 E0000031.
func compileExpression[T any](v vocabulary[T], expression string) (predicate[T], error) {
	if len(expression) > maxExpression {
		return nil, errExpression(fmt.Sprintf("The expression is longer than %d characters.", maxExpression))
	}
	tree, err := filter.ParseFilter([]byte(strings.TrimSpace(expression)))
	if err != nil {
		return nil, errExpression("The expression is not well-formed: " + err.Error())
	}
	return bind(v, tree)
}

func bind[T any](v vocabulary[T], e filter.Expression) (predicate[T], error) {
	switch e := e.(type) {
	case *filter.LogicalExpression:
		left, err := bind(v, e.Left)
		if err != nil {
			return nil, err
		}
		right, err := bind(v, e.Right)
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(string(e.Operator), string(filter.AND)) {
			return func(t *T) bool { return left(t) && right(t) }, nil
		}
		return func(t *T) bool { return left(t) || right(t) }, nil
	case *filter.AttributeExpression:
		return bindComparison(v, e)
	case *filter.NotExpression:
		return nil, errExpression("The operator 'not' is not supported.")
	default:
		return nil, errExpression("Expressions in brackets are not supported.")
	}
}

func bindComparison[T any](v vocabulary[T], e *filter.AttributeExpression) (predicate[T], error) {
	path := e.AttributePath.String()
	p, ok := v.resolve(path)
	if !ok {
		return nil, errExpression(fmt.Sprintf("The property '%s' cannot be used in this expression.", path))
	}
	op := filter.CompareOperator(strings.ToLower(string(e.Operator)))
	if !slices.Contains(p.ops, op) {
		return nil, errExpression(fmt.Sprintf("The operator '%s' is not supported for the property '%s'.", op, path))
	}
	if op == filter.PR {
		return p.present, nil
	}
	mismatch := errExpression(fmt.Sprintf("The value for the property '%s' has the wrong type.", path))
	switch p.kind {
	case moment:
		s, _ := e.CompareValue.(string)
		want, ok := parseStamp(s)
		if !ok {
			return nil, mismatch
		}
		return func(t *T) bool {
			got := p.when(t)
			return got != 0 && holds(op, compare(got, want))
		}, nil
	case number:
		want, ok := asNumber(e.CompareValue)
		if !ok {
			return nil, mismatch
		}
		return func(t *T) bool {
			return anyElement(p.raw(t), func(raw []byte) bool {
				var got float64
				return json.Unmarshal(raw, &got) == nil && holds(op, compare(got, want))
			})
		}, nil
	case truth:
		want, ok := e.CompareValue.(bool)
		if !ok {
			return nil, mismatch
		}
		return func(t *T) bool {
			raw := p.raw(t)
			return !isNull(raw) && (raw[0] == 't') == want
		}, nil
	default:
		want, ok := e.CompareValue.(string)
		if !ok {
			return nil, mismatch
		}
		// The parser leaves the escapes of a JSON string in place.
		if strings.Contains(want, `\`) && json.Unmarshal([]byte(`"`+want+`"`), &want) != nil {
			return nil, mismatch
		}
		fold := v.fold && !p.exact
		if fold {
			want = strings.ToLower(want)
		}
		match := func(got string) bool {
			if fold {
				got = strings.ToLower(got)
			}
			switch op {
			case filter.SW:
				return strings.HasPrefix(got, want)
			case filter.CO:
				return strings.Contains(got, want)
			default:
				return holds(op, strings.Compare(got, want))
			}
		}
		if p.text != nil {
			return func(t *T) bool {
				got := p.text(t)
				return got != "" && match(got)
			}, nil
		}
		return func(t *T) bool {
			return anyElement(p.raw(t), func(raw []byte) bool { return raw[0] == '"' && match(rawText(raw)) })
		}, nil
	}
}

func (p property[T]) present(t *T) bool {
	switch {
	case p.text != nil:
		return p.text(t) != ""
	case p.when != nil:
		return p.when(t) != 0
	}
	raw := p.raw(t)
	return !isNull(raw) && string(raw) != "[]" && string(raw) != `""`
}

// anyElement applies match to a value, or to the elements of an array until one
// matches.
func anyElement(raw []byte, match func([]byte) bool) bool {
	if isNull(raw) {
		return false
	}
	if raw[0] != '[' {
		return match(raw)
	}
	for i := 1; i < len(raw) && raw[i] != ']'; {
		next := skipValue(raw, i)
		if match(raw[i:next]) {
			return true
		}
		i = next
		if raw[i] == ',' {
			i++
		}
	}
	return false
}

func compare[N stamp | float64](a, b N) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func holds(op filter.CompareOperator, c int) bool {
	switch op {
	case filter.EQ:
		return c == 0
	case filter.GT:
		return c > 0
	case filter.GE:
		return c >= 0
	case filter.LT:
		return c < 0
	default:
		return c <= 0
	}
}

func asNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// sortKey is a value in the order of sortBy: absent ones last, then by number or
// text, as a page's cursor carries it.
type sortKey struct {
	Absent bool    `json:"a,omitempty"`
	Num    float64 `json:"n,omitempty"`
	Text   string  `json:"t,omitempty"`
	ID     string  `json:"i"`
}

func (k sortKey) compare(other sortKey, descending bool) int {
	c := 0
	switch {
	case k.Absent != other.Absent && k.Absent:
		c = 1
	case k.Absent != other.Absent:
		c = -1
	default:
		if c = compare(k.Num, other.Num); c == 0 {
			c = strings.Compare(k.Text, other.Text)
		}
	}
	if descending {
		c = -c
	}
	if c == 0 { // ties are ordered by id whatever the direction
		c = strings.Compare(k.ID, other.ID)
	}
	return c
}

func (p property[T]) sortKey(t *T, id string) sortKey {
	if !p.present(t) {
		return sortKey{Absent: true, ID: id}
	}
	switch {
	case p.text != nil:
		return sortKey{Text: strings.ToLower(p.text(t)), ID: id}
	case p.when != nil:
		return sortKey{Num: float64(p.when(t)), ID: id}
	}
	raw := p.raw(t)
	var n float64
	if p.kind == number && json.Unmarshal(raw, &n) == nil {
		return sortKey{Num: n, ID: id}
	}
	if raw[0] == '"' {
		return sortKey{Text: strings.ToLower(rawText(raw)), ID: id}
	}
	return sortKey{Text: string(raw), ID: id}
}
