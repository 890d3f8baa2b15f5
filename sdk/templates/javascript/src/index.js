// Called for every request.
addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname, searchParams } = new URL(request.url);
  if (request.method === "POST") {
    return answerJson(request);
  }
  const name = searchParams.get("name") ?? "world";
  return new Response(`Hello, ${name}! This is JavaScript, and you asked for ${pathname}\n`, {
    headers: { "content-type": "text/plain; charset=utf-8" },
  });
}

// curl -d '{"name": "Ada"}' URL
async function answerJson(request) {
  const headers = { "content-type": "application/json" };
  try {
    const { name } = await request.json();
    return new Response(JSON.stringify({ hello: name ?? "world" }), { headers });
  } catch (error) {
    return new Response(JSON.stringify({ error: `not JSON: ${error.message}` }), { status: 400, headers });
  }
}
