// Package pair lets two containers of a pod run one agent: the keeper's holds the
// credential, registers the agent and takes it out of the pool; the runner's has
// the registered agent only and runs the job. Neither can see the processes of
// the other. They share a folder with a socket, which jobs can reach too: what a
// runner says can affect only its pod.
//
// Each side sends all that it has to say, whenever that changes. So a keeper that
// was restarted misses nothing.
package pair

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"sync"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// maxMessage bounds a message; the largest has the agent's configuration.
const maxMessage = 1 << 20

// Facts are what a runner says of itself.
type Facts struct {
	Installed  bool `json:"installed,omitzero"`  // its image holds an agent
	Configured bool `json:"configured,omitzero"` // it has been given its configuration
	Working    bool `json:"working,omitzero"`    // its agent has a job
	Exited     bool `json:"exited,omitzero"`     // its agent has ended, with Code
	Code       int  `json:"code,omitzero"`
	Stopping   bool `json:"stopping,omitzero"` // its container is to end
	Hurry      bool `json:"hurry,omitzero"`    // and that at once
}

// Orders are what a keeper wants of its runner.
type Orders struct {
	// Package is what to fetch if there is no agent.
	Package *adoqueue.Package `json:"package,omitempty"`
	// Files are the configuration of the agent, which is to be started then.
	Files map[string][]byte `json:"files,omitempty"`
	Stop  Stop              `json:"stop,omitzero"`
	End   *End              `json:"end,omitempty"`
}

// Stop says how the agent is to be ended.
type Stop int

// The ways to end an agent.
const (
	GoOn Stop = iota
	Interrupt
	Kill
)

// End is how the runner's container is to end.
type End struct {
	Code    int    `json:"code"`
	Message string `json:"message,omitzero"` // why, if it failed
}

// side is one end of the conversation: the state that it sends.
type side[State any] struct {
	mu      sync.Mutex
	state   State
	changed chan struct{} // closed at the next change
}

func newSide[State any]() *side[State] { return &side[State]{changed: make(chan struct{})} }

func (s *side[State]) change(by func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	by(&s.state)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *side[State]) current() (state State, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.changed
}

// converse sends one side's state and hears the other's until the connection
// ends.
func converse[In, Out any](conn net.Conn, out *side[Out], heard func(In)) error {
	over := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		defer conn.Close() // which ends hearing
		encoder := json.NewEncoder(conn)
		for {
			state, changed := out.current()
			if err := encoder.Encode(state); err != nil {
				return
			}
			select {
			case <-changed:
			case <-over:
				return
			}
		}
	})
	err := hear(conn, heard)
	close(over)
	_ = conn.Close() // why it ended is in err
	sending.Wait()
	return err
}

func hear[In any](conn net.Conn, heard func(In)) error {
	messages := bufio.NewScanner(conn)
	messages.Buffer(nil, maxMessage)
	for messages.Scan() {
		var message In
		if err := json.Unmarshal(messages.Bytes(), &message); err != nil {
			return fmt.Errorf("message of the other container: %w", err)
		}
		heard(message)
	}
	return messages.Err()
}
