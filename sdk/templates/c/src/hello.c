#include "http.h"

// Called for every request.
void handle(const http_request *request) {
  const char *name = http_query(request, "name");
  http_respond(200, "text/plain; charset=utf-8",
               "Hello, %s! This is C, and you asked for %s\n",
               name ? name : "world", request->path);
}
