package entropic

import (
	"runtime"
	"sync"

	"kantor/losses/internal/vec"
)

// shelf is a pool of large buffers. A sync.Pool keeps one for every processor that gave one back, where the others do not look: of matrices that would be as
// many as there are processors. Like there, what nobody took between two collections of garbage is let go.
type shelf[T vec.Float] struct {
	mu      sync.Mutex
	kept    map[int][]resting[T] // by class
	watched bool                 // the next collection calls age
}

// resting is a buffer on a shelf.
type resting[T vec.Float] struct {
	buffer []T
	old    bool // it lay there at the last collection
}

// get returns the buffer of the class that was put there last. Nil: there is none.
func (s *shelf[T]) get(class int) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.kept[class]
	if len(all) == 0 {
		return nil
	}
	last := len(all) - 1
	b := all[last].buffer
	all[last] = resting[T]{}
	s.kept[class] = all[:last]
	return b
}

// put keeps a buffer of the class.
func (s *shelf[T]) put(class int, b []T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[int][]resting[T]{}
	}
	s.kept[class] = append(s.kept[class], resting[T]{buffer: b})
	if !s.watched {
		s.watched = true
		s.watch()
	}
}

// watch calls collected after the next collection of garbage.
func (s *shelf[T]) watch() {
	type garbage struct{ _ *int } // with a pointer, since tiny objects without may share memory, and live as long as any of them
	runtime.AddCleanup(new(garbage), func(s *shelf[T]) { s.collected() }, s)
}

// collected lets go of what was there at the collection before too.
func (s *shelf[T]) collected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for class, all := range s.kept {
		young := all[:0]
		for _, r := range all {
			if !r.old {
				young = append(young, resting[T]{buffer: r.buffer, old: true})
			}
		}
		clear(all[len(young):])
		if s.kept[class] = young; len(young) == 0 {
			delete(s.kept, class)
		}
	}
	if s.watched = len(s.kept) > 0; s.watched {
		s.watch()
	}
}
