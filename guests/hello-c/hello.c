// Answers at once, like `hello`, from C and its standard library.
// The bindings (function.h and function.c) are generated from sdk/wit by `cargo xtask guests`.

#include <stdlib.h>
#include <string.h>

#include "function.h"

// The host refused something that no function could do without.
static void require(bool granted) {
  if (!granted) {
    abort();
  }
}

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t response_out) {
  wasi_http_types_incoming_request_drop_own(request);

  wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
  function_string_t name;
  function_string_set(&name, "content-type");
  const char *type = "text/plain; charset=utf-8";
  wasi_http_types_field_value_t value = {.ptr = (uint8_t *)type,
                                         .len = strlen(type)};
  wasi_http_types_header_error_t header_error;
  require(wasi_http_types_method_fields_append(
      wasi_http_types_borrow_fields(headers), &name, &value, &header_error));

  wasi_http_types_own_outgoing_response_t response =
      wasi_http_types_constructor_outgoing_response(headers);
  wasi_http_types_own_outgoing_body_t body;
  require(wasi_http_types_method_outgoing_response_body(
      wasi_http_types_borrow_outgoing_response(response), &body));
  wasi_http_types_result_own_outgoing_response_error_code_t result = {
      .is_err = false, .val.ok = response};
  wasi_http_types_static_response_outparam_set(response_out, &result);

  wasi_http_types_own_output_stream_t stream;
  require(wasi_http_types_method_outgoing_body_write(
      wasi_http_types_borrow_outgoing_body(body), &stream));
  const char *text = "Hello from C!\n";
  function_list_u8_t contents = {.ptr = (uint8_t *)text, .len = strlen(text)};
  wasi_io_streams_stream_error_t stream_error;
  // A client that has gone away is no failure of the guest.
  (void)wasi_io_streams_method_output_stream_blocking_write_and_flush(
      wasi_io_streams_borrow_output_stream(stream), &contents, &stream_error);
  wasi_io_streams_output_stream_drop_own(stream);

  wasi_http_types_error_code_t error;
  (void)wasi_http_types_static_outgoing_body_finish(body, NULL, &error);
}
