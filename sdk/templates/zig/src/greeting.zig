const std = @import("std");

pub fn greeting(allocator: std.mem.Allocator, path: []const u8, query: []const u8) ![]const u8 {
    const name = parameter(query, "name") orelse "world";
    return std.fmt.allocPrint(allocator, "Hello, {s}! This is Zig, and you asked for {s}\n", .{ name, path });
}

/// The value of a parameter of the query, as it is written there.
fn parameter(query: []const u8, name: []const u8) ?[]const u8 {
    var pairs = std.mem.splitScalar(u8, query, '&');
    while (pairs.next()) |pair| {
        var parts = std.mem.splitScalar(u8, pair, '=');
        if (std.mem.eql(u8, parts.first(), name)) return parts.rest();
    }
    return null;
}

test "greets by name" {
    const named = try greeting(std.testing.allocator, "/tea", "x=1&name=Ada");
    defer std.testing.allocator.free(named);
    try std.testing.expectEqualStrings("Hello, Ada! This is Zig, and you asked for /tea\n", named);
    const plain = try greeting(std.testing.allocator, "/", "");
    defer std.testing.allocator.free(plain);
    try std.testing.expectEqualStrings("Hello, world! This is Zig, and you asked for /\n", plain);
}
