/* Takes the code of a link out of the address's fragment, which no server ever sees, before anybody
   can read it over a shoulder. It downloads nothing by itself. */

const form = document.getElementById("package-open");

function fill() {
  const code = location.hash.slice(1).replace(/[^\w-]/g, "");
  if (!code) return;
  history.replaceState(null, "", location.pathname);
  form.elements.secret.value = code;
}

if (form) {
  fill();
  addEventListener("hashchange", fill);
}
