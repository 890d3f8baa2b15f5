const greeting = @import("greeting.zig").greeting;
const http = @import("http.zig");

/// Called for every request.
fn hello(request: http.Request) !void {
    const text = try greeting(http.allocator, request.path, request.query);
    try http.respond(200, "text/plain; charset=utf-8", text);
}

comptime {
    http.serve(hello);
}
