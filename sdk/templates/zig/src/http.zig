//! wasi:http by hand: the functions of wit/deps/http.wit and io.wit as the component model's ABI has them. What a
//! function gives back is written to memory that we name: first whether it failed, then the value.

const std = @import("std");

/// Every request has an instance of its own, memory included: nothing has to be freed.
pub const allocator = std.heap.wasm_allocator;

pub const Request = struct {
    /// "/some/path"
    path: []const u8,
    /// "name=Ada", without its question mark; "" if there is none.
    query: []const u8,
    resource: Handle,

    /// The whole body, which can be read once.
    pub fn body(request: Request) ![]const u8 {
        const content = try types.consume(request.resource);
        const stream = try types.incomingStream(content);
        var all: std.ArrayList(u8) = .empty;
        while (true) {
            var read: ListResult = undefined;
            wasi.@"[method]input-stream.blocking-read"(stream, 65536, &read);
            // An error says that the body is over, too: it ended, or the client left.
            if (read.failed) return all.items;
            try all.appendSlice(allocator, read.value.bytes());
        }
    }
};

/// Makes `answer` what is called for every request.
pub fn serve(comptime answer: fn (Request) anyerror!void) void {
    const Exported = struct {
        fn handle(incoming: Handle, out: Handle) callconv(.c) void {
            response_out = out;
            var target: ListResult = undefined;
            wasi.@"[method]incoming-request.path-with-query"(incoming, &target);
            // Of an optional text the first byte says whether it is there.
            const path_with_query = if (target.failed) target.value.bytes() else "/";
            var parts = std.mem.splitScalar(u8, path_with_query, '?');
            answer(.{ .path = parts.first(), .query = parts.rest(), .resource = incoming }) catch
                respond(500, "text/plain; charset=utf-8", "the function failed\n") catch @trap();
        }
    };
    @export(&Exported.handle, .{ .name = "wasi:http/incoming-handler@0.2.10#handle" });
}

/// Sends the response, once for a request.
pub fn respond(status: u16, content_type: []const u8, content: []const u8) !void {
    var ignored: AnyResult = undefined;
    const name = "content-type";
    const headers = wasi.@"[constructor]fields"();
    wasi.@"[method]fields.append"(headers, name, name.len, content_type.ptr, content_type.len, &ignored);
    const response = wasi.@"[constructor]outgoing-response"(headers);
    if (wasi.@"[method]outgoing-response.set-status-code"(response, status) != 0) return error.NoStatus;
    const body = try types.outgoingBody(response);
    wasi.@"[static]response-outparam.set"(response_out, 0, response, 0, 0, 0, 0, 0, 0);
    const stream = try types.outgoingStream(body);
    // One write takes at most 4096 bytes. A client that has left does not hear them: no matter.
    var chunks = std.mem.window(u8, content, 4096, 4096);
    while (chunks.next()) |chunk| {
        wasi.@"[method]output-stream.blocking-write-and-flush"(stream, chunk.ptr, chunk.len, &ignored);
    }
    wasi.@"[resource-drop]output-stream"(stream);
    wasi.@"[static]outgoing-body.finish"(body, 0, 0, &ignored);
}

/// What the host keeps for us: a request, a body, a stream.
const Handle = i32;

/// Where the response goes.
var response_out: Handle = undefined;

const HandleResult = extern struct { failed: bool, value: Handle };
const List = extern struct {
    start: [*]const u8,
    length: usize,

    fn bytes(list: List) []const u8 {
        return list.start[0..list.length];
    }
};
const ListResult = extern struct { failed: bool, value: List };
/// Larger than any result whose value is not looked at.
const AnyResult = extern struct { words: [8]u64 };

/// How the host gets memory for what it hands over.
export fn cabi_realloc(old: [*]u8, old_size: usize, alignment: usize, size: usize) [*]u8 {
    // The strictest alignment that any of the types above has.
    _ = alignment;
    const new = allocator.alignedAlloc(u8, .@"8", size) catch @trap();
    @memcpy(new[0..old_size], old[0..old_size]);
    return new.ptr;
}

/// Functions that give back a handle, or fail.
const types = struct {
    fn consume(request: Handle) !Handle {
        return value(wasi.@"[method]incoming-request.consume", request);
    }
    fn incomingStream(body: Handle) !Handle {
        return value(wasi.@"[method]incoming-body.stream", body);
    }
    fn outgoingBody(response: Handle) !Handle {
        return value(wasi.@"[method]outgoing-response.body", response);
    }
    fn outgoingStream(body: Handle) !Handle {
        return value(wasi.@"[method]outgoing-body.write", body);
    }
    fn value(function: anytype, of: Handle) !Handle {
        var result: HandleResult = undefined;
        function(of, &result);
        return if (result.failed) error.Refused else result.value;
    }
};

const wasi = struct {
    extern "wasi:http/types@0.2.10" fn @"[method]incoming-request.path-with-query"(Handle, *ListResult) void;
    extern "wasi:http/types@0.2.10" fn @"[method]incoming-request.consume"(Handle, *HandleResult) void;
    extern "wasi:http/types@0.2.10" fn @"[method]incoming-body.stream"(Handle, *HandleResult) void;
    extern "wasi:io/streams@0.2.10" fn @"[method]input-stream.blocking-read"(Handle, u64, *ListResult) void;
    extern "wasi:http/types@0.2.10" fn @"[constructor]fields"() Handle;
    extern "wasi:http/types@0.2.10" fn @"[method]fields.append"(Handle, [*]const u8, usize, [*]const u8, usize, *AnyResult) void;
    extern "wasi:http/types@0.2.10" fn @"[constructor]outgoing-response"(Handle) Handle;
    extern "wasi:http/types@0.2.10" fn @"[method]outgoing-response.set-status-code"(Handle, i32) i32;
    extern "wasi:http/types@0.2.10" fn @"[method]outgoing-response.body"(Handle, *HandleResult) void;
    // The numbers after the response are those of an error, which is never sent here.
    extern "wasi:http/types@0.2.10" fn @"[static]response-outparam.set"(Handle, i32, Handle, i32, i64, i32, i32, i32, i32) void;
    extern "wasi:http/types@0.2.10" fn @"[method]outgoing-body.write"(Handle, *HandleResult) void;
    extern "wasi:io/streams@0.2.10" fn @"[method]output-stream.blocking-write-and-flush"(Handle, [*]const u8, usize, *AnyResult) void;
    extern "wasi:io/streams@0.2.10" fn @"[resource-drop]output-stream"(Handle) void;
    extern "wasi:http/types@0.2.10" fn @"[static]outgoing-body.finish"(Handle, i32, Handle, *AnyResult) void;
};
