// Who came by a link from elsewhere has a session that the browser kept back: asked from here, it is there.
"use strict";
(() => {
  const next = document.querySelector("form").dataset.next;
  if (document.getElementById("problem")) return;
  fetch("/live/overview").then(
    (answer) => { if (answer.ok) location.replace(next); },
    () => {},
  );
})();
