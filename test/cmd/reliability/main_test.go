package main

import (
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/faults"
)

// TestOnlyTimeHasASecondChance tries faults again that were late and nothing else.
func TestOnlyTimeHasASecondChance(t *testing.T) {
	s := settings{within: faults.RecoverWithin}
	chosen := faults.All()[:4]
	late := s.within + time.Second
	results := []faults.Result{
		{Fault: chosen[0].Name, Recovered: late},
		{Fault: chosen[1].Name, Recovered: late, Lost: 1},
		{Fault: chosen[2].Name, Recovered: s.within},
		{}, // it could not be tried
	}
	tries := map[string]int{}
	err := s.tryLateAgain(chosen, results, func(f faults.Fault) (faults.Result, error) {
		tries[f.Name]++
		return faults.Result{Fault: f.Name, Recovered: time.Duration(tries[f.Name]) * time.Second}, nil
	})
	if err != nil || len(tries) != 1 || tries[chosen[0].Name] != 2 || results[0].Recovered != 2*time.Second {
		t.Errorf("tries %v, %v, %v", tries, results[0], err)
	}
	if err := s.problems(tried(results)); err == nil {
		t.Error("a lost job is no problem")
	}
	results[1].Lost, results[1].Recovered = 0, 0
	if err := s.problems(tried(results)); err != nil {
		t.Errorf("all is well: %v", err)
	}
}
