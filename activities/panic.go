package activities

import (
	"fmt"
	"runtime/debug"
)

// panicked is a panic on its way to the activity's own goroutine, where Temporal turns
// it into a failed attempt. In any other one it ends the worker, and with it the runs of
// all connectors.
type panicked struct {
	value any
	stack []byte // of where it happened
}

func (p *panicked) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

// catch runs fn and returns its panic, nil without one.
func catch(fn func()) (p *panicked) {
	defer func() {
		if value := recover(); value != nil {
			p = &panicked{value, debug.Stack()}
		}
	}()
	fn()
	return nil
}

// raise goes on with a panic that was caught, if there is one.
func (p *panicked) raise() {
	if p != nil {
		panic(p)
	}
}
