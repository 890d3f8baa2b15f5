import { greeting } from "./greeting";

// Called for every request.
addEventListener("fetch", (event) => {
  const fetch = event as FetchEvent;
  fetch.respondWith(answer(fetch.request));
});

async function answer(request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  if (request.method === "POST") {
    return answerJson(request);
  }
  return new Response(greeting(pathname, searchParams.get("name")), {
    headers: { "content-type": "text/plain; charset=utf-8" },
  });
}

// curl -d '{"name": "Ada"}' URL
async function answerJson(request: Request): Promise<Response> {
  const headers = { "content-type": "application/json" };
  try {
    const { name }: { name?: string } = await request.json();
    return new Response(JSON.stringify({ hello: name ?? "world" }), { headers });
  } catch (error) {
    return new Response(JSON.stringify({ error: `not JSON: ${error}` }), { status: 400, headers });
  }
}
