// wasi:http by hand: the functions of wit/deps/http.wit and io.wit as the component model's ABI has them.
// For more of WASI, let wit-bindgen write such a file: `wit-bindgen c wit --world function`.

#include "http.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPES "wasi:http/types@0.2.10"
#define STREAMS "wasi:io/streams@0.2.10"
#define IMPORT(module, name)                                                   \
  extern __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

// What the host keeps for us: a request, a body, a stream.
typedef int32_t handle_t;

typedef struct {
  char *bytes;
  size_t length;
} string_t;

// Results: what went wrong does not matter here, only whether something did.
typedef struct {
  bool is_error;
  handle_t value;
} handle_result;

typedef struct {
  bool is_error;
  string_t value;
  int32_t unused;
} string_result;

typedef struct {
  bool is_some;
  string_t value;
} string_option;

// Larger than any result whose content is not looked at.
typedef struct {
  uint64_t words[8];
} any_result;

// Which method it is, and its name if it is none of the usual ones.
typedef struct {
  uint8_t kind;
  string_t other;
} method_t;

IMPORT(TYPES, "[method]incoming-request.method")
void request_method(handle_t request, method_t *method);
IMPORT(TYPES, "[method]incoming-request.path-with-query")
void request_path(handle_t request, string_option *path);
IMPORT(TYPES, "[method]incoming-request.consume")
void request_consume(handle_t request, handle_result *body);
IMPORT(TYPES, "[method]incoming-body.stream")
void incoming_stream(handle_t body, handle_result *stream);
IMPORT(STREAMS, "[method]input-stream.blocking-read")
void stream_read(handle_t stream, int64_t most, string_result *bytes);
IMPORT(TYPES, "[constructor]fields")
handle_t fields_new(void);
IMPORT(TYPES, "[method]fields.append")
void fields_append(handle_t fields, const char *name, size_t name_length,
                   const char *value, size_t value_length, any_result *result);
IMPORT(TYPES, "[constructor]outgoing-response")
handle_t response_new(handle_t headers);
IMPORT(TYPES, "[method]outgoing-response.set-status-code")
int32_t response_set_status(handle_t response, int32_t status);
IMPORT(TYPES, "[method]outgoing-response.body")
void response_body(handle_t response, handle_result *body);
// The numbers between are those of an error, which we never send.
IMPORT(TYPES, "[static]response-outparam.set")
void outparam_set(handle_t out, int32_t is_error, handle_t response, int32_t,
                  int64_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(TYPES, "[method]outgoing-body.write")
void outgoing_stream(handle_t body, handle_result *stream);
IMPORT(STREAMS, "[method]output-stream.blocking-write-and-flush")
void stream_write(handle_t stream, const char *bytes, size_t length,
                  any_result *result);
IMPORT(STREAMS, "[resource-drop]output-stream")
void stream_drop(handle_t stream);
IMPORT(TYPES, "[static]outgoing-body.finish")
void outgoing_finish(handle_t body, int32_t has_trailers, handle_t trailers,
                     any_result *result);

// Where the response goes.
static handle_t out;

// How the host gets memory for what it hands over.
EXPORT("cabi_realloc")
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  (void)old_size;
  void *bytes = size == 0 ? (void *)align : realloc(old, size);
  if (!bytes) {
    abort();
  }
  return bytes;
}

// The host refused what no function could do without.
static void require(bool granted) {
  if (!granted) {
    abort();
  }
}

// A copy that ends with a zero.
static char *text(const char *bytes, size_t length) {
  char *copy = cabi_realloc(NULL, 0, 1, length + 1);
  memcpy(copy, bytes, length);
  copy[length] = 0;
  return copy;
}

static const char *method_name(handle_t request) {
  static const char *const names[] = {"GET",     "HEAD",    "POST",
                                      "PUT",     "DELETE",  "CONNECT",
                                      "OPTIONS", "TRACE",   "PATCH"};
  method_t method = {0};
  request_method(request, &method);
  return method.kind < sizeof names / sizeof *names
             ? names[method.kind]
             : text(method.other.bytes, method.other.length);
}

EXPORT("wasi:http/incoming-handler@0.2.10#handle")
void handle_incoming(handle_t incoming, handle_t response_out) {
  out = response_out;
  string_option target = {0};
  request_path(incoming, &target);
  char *path = target.is_some ? text(target.value.bytes, target.value.length)
                              : text("/", 1);
  char *question_mark = strchr(path, '?');
  if (question_mark) {
    *question_mark = 0;
  }
  http_request request = {.method = method_name(incoming),
                          .path = path,
                          .query = question_mark ? question_mark + 1 : "",
                          .resource = incoming};
  handle(&request);
}

static int hex(char digit) {
  if (digit >= '0' && digit <= '9') {
    return digit - '0';
  }
  char lower = digit | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Replaces %20 and + by what they stand for.
static char *decode(char *value) {
  char *to = value;
  for (char *from = value; *from; from++) {
    if (*from == '%' && hex(from[1]) >= 0 && hex(from[2]) >= 0) {
      *to++ = (char)(hex(from[1]) << 4 | hex(from[2]));
      from += 2;
    } else {
      *to++ = *from == '+' ? ' ' : *from;
    }
  }
  *to = 0;
  return value;
}

const char *http_query(const http_request *request, const char *name) {
  size_t length = strlen(name);
  for (const char *pair = request->query; *pair;) {
    size_t end = strcspn(pair, "&");
    if (strncmp(pair, name, length) == 0 && pair[length] == '=') {
      return decode(text(pair + length + 1, end - length - 1));
    }
    pair += end + (pair[end] == '&');
  }
  return NULL;
}

const char *http_body(const http_request *request, size_t *length) {
  handle_result body, stream;
  request_consume(request->resource, &body);
  require(!body.is_error);
  incoming_stream(body.value, &stream);
  require(!stream.is_error);
  char *all = text("", 0);
  *length = 0;
  for (;;) {
    string_result chunk;
    stream_read(stream.value, 65536, &chunk);
    // An error says that the body is over, too: it ended, or the client left.
    if (chunk.is_error) {
      return all;
    }
    all = cabi_realloc(all, 0, 1, *length + chunk.value.length + 1);
    memcpy(all + *length, chunk.value.bytes, chunk.value.length);
    *length += chunk.value.length;
    all[*length] = 0;
  }
}

void http_respond(uint16_t status, const char *content_type, const char *format,
                  ...) {
  va_list arguments;
  va_start(arguments, format);
  char *content = NULL;
  int length = vasprintf(&content, format, arguments);
  va_end(arguments);
  require(length >= 0);

  any_result ignored;
  handle_t headers = fields_new();
  fields_append(headers, "content-type", strlen("content-type"), content_type,
                strlen(content_type), &ignored);
  handle_t response = response_new(headers);
  require(response_set_status(response, status) == 0);
  handle_result body, stream;
  response_body(response, &body);
  require(!body.is_error);
  outparam_set(out, 0, response, 0, 0, 0, 0, 0, 0);

  outgoing_stream(body.value, &stream);
  require(!stream.is_error);
  // One write takes at most 4096 bytes. A client that has left does not hear them: no matter.
  for (int at = 0; at < length; at += 4096) {
    int left = length - at;
    stream_write(stream.value, content + at, left < 4096 ? left : 4096,
                 &ignored);
  }
  stream_drop(stream.value);
  outgoing_finish(body.value, 0, 0, &ignored);
}
