package adoqueue

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"
)

// TestWhatStaysIsKeptOnce reads a list twice, with few changes between.
func TestWhatStaysIsKeptOnce(t *testing.T) {
	var body bytes.Buffer
	const n = 5000
	manyRequests(&body, n)
	read := func(list []byte, last *requestList) *requestList {
		t.Helper()
		next, err := decodeJobRequests(bytes.NewReader(list), last)
		if err != nil || len(next.requests) != n {
			t.Fatal(next, err)
		}
		return next
	}
	first := read(body.Bytes(), nil)
	second := read(body.Bytes(), first)
	if !slices.Equal(second.requests, first.requests) {
		t.Error("requests that stay as they are take memory twice")
	}
	if second.size() != first.size() {
		t.Errorf("the list has %d bytes at first and %d then", first.size(), second.size())
	}
	changed := read(bytes.Replace(body.Bytes(), []byte(`"requestId":7,`), []byte(`"requestId":7,"assignTime":"2026-01-05T09:00:00Z",`), 1), second)
	for i, r := range changed.requests {
		if before := second.requests[i]; (r == before) != (r.ID != 7) {
			t.Errorf("request %d is the one before: %t", r.ID, r == before)
		} else if &r.MatchedAgents[0] != &before.MatchedAgents[0] || &r.Demands[0] != &before.Demands[0] || unsafe.StringData(r.Definition) != unsafe.StringData(before.Definition) {
			t.Errorf("request %d has texts or lists of its own", r.ID)
		}
	}
}

// TestEqualJobRequests changes each field.
func TestEqualJobRequests(t *testing.T) {
	whole := func() JobRequest {
		return JobRequest{Demands: []Demand{ParseDemand("docker")}, MatchedAgents: []string{"agent-1"}}
	}
	a, b := whole(), whole()
	if !a.equal(&b) {
		t.Error("a request is not equal to itself")
	}
	for i := range reflect.TypeFor[JobRequest]().NumField() {
		other := whole()
		switch field := reflect.ValueOf(&other).Elem().Field(i); value := field.Addr().Interface().(type) {
		case *time.Time:
			*value = time.Unix(1, 0)
		case *[]Demand:
			*value = []Demand{ParseDemand("git")}
		case *[]string:
			*value = []string{"agent-2"}
		default:
			switch field.Kind() {
			case reflect.String:
				field.SetString("x")
			case reflect.Bool:
				field.SetBool(true)
			default:
				field.SetInt(1)
			}
		}
		if a.equal(&other) {
			t.Errorf("requests are equal that differ in %s", reflect.TypeFor[JobRequest]().Field(i).Name)
		}
	}
}
