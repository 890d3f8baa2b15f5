package main

import (
	"fmt"
	"net/http"

	"{{name}}/wasihttp"
)

func init() {
	wasihttp.Handler = http.HandlerFunc(hello)
}

// The platform calls the handler, and never this.
func main() {}

// Called for every request.
func hello(response http.ResponseWriter, request *http.Request) {
	name := request.URL.Query().Get("name")
	if name == "" {
		name = "world"
	}
	response.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(response, "Hello, %s! This is Go, and you asked for %s\n", name, request.URL.Path)
}
