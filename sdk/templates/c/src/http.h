// HTTP for functions in C: one request, one response. http.c has how it is done, to be changed at will.
//
// Every request has an instance of its own, memory included: nothing has to be freed.

#ifndef HTTP_H
#define HTTP_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  const char *method; // "GET"
  const char *path;   // "/some/path"
  const char *query;  // "name=Ada", without its question mark; "" if there is none
  int32_t resource;   // what the host knows it by
} http_request;

// To be defined by the function: answers a request.
void handle(const http_request *request);

// The value of a parameter of the query, decoded; NULL if it is not there.
const char *http_query(const http_request *request, const char *name);

// The whole body, which is read once, with a zero after it; its length goes to `length`.
const char *http_body(const http_request *request, size_t *length);

// Sends the response: a text, made as by printf. Once for a request.
void http_respond(uint16_t status, const char *content_type, const char *format,
                  ...) __attribute__((format(printf, 3, 4)));

#endif
