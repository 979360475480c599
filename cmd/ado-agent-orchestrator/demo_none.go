//go:build nodemo

package main

import "github.com/alecthomas/kong"

// more is empty in a released build: the demo brings the stand-in of Azure DevOps
// with it.
var more kong.Plugins
