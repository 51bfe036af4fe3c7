package mapping

// UserRows and GroupRows show the tables' first two columns to the tests.
func UserRows() [][2]string  { return columns(users) }
func GroupRows() [][2]string { return columns(groups) }

func columns[T any](t table[T]) [][2]string {
	rows := make([][2]string, 0, len(t))
	for _, r := range t {
		rows = append(rows, [2]string{r.okta, r.mesh})
	}
	return rows
}

// AppendText and AppendAny are held against each other by a test.
var (
	AppendText = appendText
	AppendAny  = appendAny
)
