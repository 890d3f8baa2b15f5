addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

function answer(request) {
  const { pathname } = new URL(request.url);
  return new Response(`Hello from JavaScript! You asked for ${pathname}\n`, {
    headers: { "content-type": "text/plain; charset=utf-8" },
  });
}
