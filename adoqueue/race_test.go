//go:build race

package adoqueue

func init() { raceEnabled = true }
