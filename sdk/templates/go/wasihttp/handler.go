// Package wasihttp serves a Go HTTP handler as a function.
package wasihttp

import "net/http"

// Handler answers every request. Set it in an init function: nothing else runs before the first request.
var Handler http.Handler
