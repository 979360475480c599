package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// signals returns a context that the first signal to end cancels, and a channel
// that the second one closes. On Windows SIGTERM is the container's stop.
func signals(parent context.Context) (stopping context.Context, hurry <-chan struct{}, release func()) {
	stopping, cancel := context.WithCancelCause(parent)
	second := make(chan struct{})
	caught := make(chan os.Signal, 2)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-caught:
			cancel(errStopping)
		case <-stopping.Done():
			return
		}
		<-caught
		close(second)
	}()
	return stopping, second, func() {
		signal.Stop(caught)
		cancel(nil)
	}
}
