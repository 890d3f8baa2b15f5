//go:build wasip1

// wasi:http by hand: the functions of wit/deps/http.wit and io.wit as the component model's ABI has them. What a
// function gives back is written to memory that we name: first whether it failed, then the value.

package wasihttp

import (
	"bytes"
	"io"
	"net/http"
	"structs"
	"unsafe"
)

// A handle is what the host keeps for us: a request, a body, a stream.
type handle = int32

// A result whose value is a handle. What went wrong is in its place otherwise.
type handleResult struct {
	_      structs.HostLayout
	failed uint8
	value  handle
}

// A list, of bytes for the most part. Addresses have 32 bits outside of Go.
type list struct {
	_      structs.HostLayout
	start  uint32
	length uint32
}

// A list behind a number: of a result, whether it failed; of an optional text, whether it is there; of a method, which
// one it is, and the list has the name of those that are none of the usual ones.
type caseOfList struct {
	_     structs.HostLayout
	kind  uint8
	value list
}

type field struct {
	_           structs.HostLayout
	name, value list
}

// Larger than any result whose value is not looked at.
type anyResult [8]uint64

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-request.method
func requestMethod(request handle, method *caseOfList)

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-request.path-with-query
func requestPath(request handle, path *caseOfList)

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-request.headers
func requestHeaders(request handle) handle

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-request.consume
func requestConsume(request handle, body *handleResult)

//go:wasmimport wasi:http/types@0.2.10 [method]incoming-body.stream
func incomingStream(body handle, stream *handleResult)

//go:wasmimport wasi:io/streams@0.2.10 [method]input-stream.blocking-read
func streamRead(stream handle, most uint64, read *caseOfList)

//go:wasmimport wasi:http/types@0.2.10 [constructor]fields
func fieldsNew() handle

//go:wasmimport wasi:http/types@0.2.10 [method]fields.entries
func fieldsEntries(fields handle, entries *list)

//go:wasmimport wasi:http/types@0.2.10 [method]fields.append
func fieldsAppend(fields handle, name string, value string, result *anyResult)

//go:wasmimport wasi:http/types@0.2.10 [constructor]outgoing-response
func responseNew(headers handle) handle

//go:wasmimport wasi:http/types@0.2.10 [method]outgoing-response.set-status-code
func responseSetStatus(response handle, status int32) int32

//go:wasmimport wasi:http/types@0.2.10 [method]outgoing-response.body
func responseBody(response handle, body *handleResult)

// The numbers between are those of an error, which is never sent here.
//
//go:wasmimport wasi:http/types@0.2.10 [static]response-outparam.set
func outparamSet(out handle, failed int32, response handle, _ int32, _ int64, _, _, _, _ int32)

//go:wasmimport wasi:http/types@0.2.10 [method]outgoing-body.write
func outgoingStream(body handle, stream *handleResult)

//go:wasmimport wasi:io/streams@0.2.10 [method]output-stream.blocking-write-and-flush
func streamWrite(stream handle, content string, result *anyResult)

//go:wasmimport wasi:io/streams@0.2.10 [resource-drop]output-stream
func streamDrop(stream handle)

//go:wasmimport wasi:http/types@0.2.10 [static]outgoing-body.finish
func outgoingFinish(body handle, hasTrailers int32, trailers handle, result *anyResult)

// The memory that the host gets for what it hands over, and what is left of it. It is made ahead: while the host asks for
// it, Go may not call the host, as its garbage collector would.
var whole, left []uint64

// The most bytes of a request's method, path or headers.
const head = 512 << 10

// Makes room for so many bytes. What was handed over before has been copied by then.
func room(bytes int) {
	if len(whole)*8 < bytes {
		whole = make([]uint64, bytes/8+1)
	}
	left = whole
}

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	start := unsafe.Pointer(unsafe.SliceData(left))
	left = left[(size+7)/8:]
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(start), size), unsafe.Slice((*byte)(old), oldSize))
	}
	return start
}

func (list list) address() unsafe.Pointer { return unsafe.Pointer(uintptr(list.start)) }

func (list list) bytes() []byte { return unsafe.Slice((*byte)(list.address()), list.length) }

//go:wasmexport wasi:http/incoming-handler@0.2.10#handle
func handleIncoming(incoming, out handle) {
	request, err := http.NewRequest(method(incoming), path(incoming), &body{request: incoming})
	if err != nil {
		panic(err)
	}
	request.Header = headers(incoming)
	request.Host = request.Header.Get("Host")
	response := &response{header: http.Header{}, status: http.StatusOK}
	Handler.ServeHTTP(response, request)
	response.send(out)
}

func method(incoming handle) string {
	names := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
	var method caseOfList
	room(head)
	requestMethod(incoming, &method)
	if int(method.kind) < len(names) {
		return names[method.kind]
	}
	return string(method.value.bytes())
}

func path(incoming handle) string {
	var path caseOfList
	room(head)
	requestPath(incoming, &path)
	if path.kind == 0 {
		return "/"
	}
	return string(path.value.bytes())
}

func headers(incoming handle) http.Header {
	var entries list
	room(head)
	fieldsEntries(requestHeaders(incoming), &entries)
	headers := http.Header{}
	for _, entry := range unsafe.Slice((*field)(entries.address()), entries.length) {
		headers.Add(string(entry.name.bytes()), string(entry.value.bytes()))
	}
	return headers
}

// The body of a request, which is asked for when it is read.
type body struct {
	request, stream handle
	isOpen, isOver  bool
}

func (body *body) Read(into []byte) (int, error) {
	if body.isOver {
		return 0, io.EOF
	}
	if !body.isOpen {
		var content, stream handleResult
		requestConsume(body.request, &content)
		incomingStream(content.value, &stream)
		if content.failed != 0 || stream.failed != 0 {
			return 0, io.ErrUnexpectedEOF
		}
		body.stream, body.isOpen = stream.value, true
	}
	var read caseOfList
	room(len(into))
	streamRead(body.stream, uint64(len(into)), &read)
	// An error says that the body is over, too: it ended, or the client left.
	if read.kind != 0 {
		body.isOver = true
		return 0, io.EOF
	}
	return copy(into, read.value.bytes()), nil
}

// A response, kept until the handler is done with it.
type response struct {
	header  http.Header
	status  int
	content bytes.Buffer
}

func (response *response) Header() http.Header { return response.header }

func (response *response) WriteHeader(status int) { response.status = status }

func (response *response) Write(content []byte) (int, error) { return response.content.Write(content) }

func (response *response) send(out handle) {
	var ignored anyResult
	headers := fieldsNew()
	for name, values := range response.header {
		for _, value := range values {
			fieldsAppend(headers, name, value, &ignored)
		}
	}
	outgoing := responseNew(headers)
	if responseSetStatus(outgoing, int32(response.status)) != 0 {
		panic("no status of a response")
	}
	var content, stream handleResult
	responseBody(outgoing, &content)
	outparamSet(out, 0, outgoing, 0, 0, 0, 0, 0, 0)
	outgoingStream(content.value, &stream)
	// One write takes at most 4096 bytes. A client that has left does not hear them: no matter.
	for rest := response.content.String(); rest != ""; {
		next := rest[:min(len(rest), 4096)]
		streamWrite(stream.value, next, &ignored)
		rest = rest[len(next):]
	}
	streamDrop(stream.value)
	outgoingFinish(content.value, 0, 0, &ignored)
}
