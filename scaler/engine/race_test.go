//go:build race

package engine_test

// Scenarios take ten times as long with the race detector.
func init() { *scenarios = 200 }
