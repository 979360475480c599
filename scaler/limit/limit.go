// Package limit bounds what the callers of a server may use at once, so that no
// caller uses up what the others need.
package limit

import (
	"net"
	"sync"
)

// Shares divides a number of places among peers. A peer gets another place while
// it has fewer than are free: alone it gets half of them, and n peers that take
// all they can get leave an (n+1)th for the next.
type Shares struct {
	size int

	mu    sync.Mutex
	taken int
	by    map[string]int // peer; without those that have none
}

// NewShares returns that many places.
func NewShares(size int) *Shares { return &Shares{size: size, by: map[string]int{}} }

// Take reports whether the peer gets a place. Return releases it.
func (s *Shares) Take(peer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[peer] >= s.size-s.taken {
		return false
	}
	s.by[peer]++
	s.taken++
	return true
}

// Return releases a place that the peer has taken.
func (s *Shares) Return(peer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	s.by[peer]--
	if s.by[peer] == 0 {
		delete(s.by, peer)
	}
}

// Peer returns what identifies a caller by its address: the host without the port.
func Peer(addr net.Addr) string {
	if addr == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return host
}
