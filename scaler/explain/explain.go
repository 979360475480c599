// Package explain says for each pipeline job how far it has come on its way to an
// agent, which link of that way is broken, and what to do about it.
//
// It reads the decisions of an engine as they are made, and remembers of them what
// a later decision no longer shows: when each step of a request was reached, for an
// hour, and the last decisions of each pool.
package explain
