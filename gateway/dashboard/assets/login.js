// Who came by a link from elsewhere may have a session all the same: the browser keeps its cookie back from such a visit.
// Asked from here, it is there.
"use strict";
(async () => {
  const next = document.querySelector("form").dataset.next;
  if (document.getElementById("problem")) return;
  const answer = await fetch("/login/session");
  if (answer.ok && (await answer.json())) location.replace(next);
})();
