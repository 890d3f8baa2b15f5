package main

import (
	"net/http/httptest"
	"testing"
)

func TestGreetsByName(t *testing.T) {
	for path, want := range map[string]string{
		"/tea?name=Ada": "Hello, Ada! This is Go, and you asked for /tea\n",
		"/":             "Hello, world! This is Go, and you asked for /\n",
	} {
		response := httptest.NewRecorder()
		hello(response, httptest.NewRequest("GET", path, nil))
		if got := response.Body.String(); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}
