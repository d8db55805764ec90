/* Opens a receipt from the code in the address's fragment, which no server ever sees, and waits for
   the certificate. It keeps nothing: the code is wiped from the address before it is used. */

import { showPass } from "./show-pass.js";

const POLL_MS = 3_000;
const POLLS = 300; // a quarter of an hour: what an erasure may take at most

function openFromFragment(form) {
  const code = location.hash.slice(1).replace(/[^\w-]/g, "");
  if (!code) return;
  history.replaceState(null, "", location.pathname);
  form.elements.secret.value = code;
  form.requestSubmit();
}

async function waitForCertificate(form) {
  for (let poll = 0; poll < POLLS; poll += 1) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (document.hidden) continue;
    let page;
    try {
      const reply = await fetch(form.action, { method: "POST", body: new FormData(form) });
      if (!reply.ok) continue;
      page = new DOMParser().parseFromString(await reply.text(), "text/html");
    } catch {
      continue;
    }
    const now = page.getElementById("letter");
    if (now && !now.hasAttribute("data-pending")) {
      document.getElementById("letter").replaceWith(document.importNode(now, true));
      const title = document.querySelector("#letter h1");
      title.tabIndex = -1;
      title.focus();
      localise();
      return;
    }
  }
}

function localise() {
  const page = document.documentElement.lang || "en";
  const reader = navigator.languages.find((tag) => tag.split("-")[0] === page.split("-")[0]);
  /* A region may have another calendar and other digits than the dates that the server wrote. */
  const when = new Intl.DateTimeFormat(reader ?? page, {
    dateStyle: "long", timeStyle: "short", calendar: "gregory", numberingSystem: "latn",
  });
  for (const time of document.querySelectorAll("time[data-when]")) {
    time.textContent = when.format(new Date(time.dateTime));
  }
}

const open = document.getElementById("receipt-open");
if (open) {
  openFromFragment(open);
  addEventListener("hashchange", () => openFromFragment(open));
}

const pending = document.querySelector("#letter[data-pending] #receipt-again");
if (pending) waitForCertificate(pending);

/* The language form would come back with GET and lose the code, which never stands in an address:
   set the language, then open the same receipt again by POST. */
function keepCodeThroughLanguage(secret) {
  const languages = document.querySelector("form.languages");
  languages?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = new FormData(languages);
    if (event.submitter?.name) body.set(event.submitter.name, event.submitter.value);
    body.set("next", "/receipt/");
    try {
      await fetch(languages.action, { method: "POST", body });
    } finally {
      const again = document.createElement("form");
      again.method = "post";
      again.action = "/receipt/";
      again.hidden = true;
      const token = secret.form.elements.csrfmiddlewaretoken;
      again.append(secret.cloneNode(), token.cloneNode());
      document.body.append(again);
      again.submit();
    }
  });
}

const picture = document.getElementById("picture");
if (picture) showPass(picture);

/* What was just done, or why it was not, is read first. */
document.getElementById("letter-news")?.focus();

const secret = document.querySelector('#letter input[name="secret"]');
if (secret) keepCodeThroughLanguage(secret);

/* A back button must not show the letter to the next person on a shared tablet. */
addEventListener("pageshow", (event) => {
  if (event.persisted && document.querySelector("#letter, #receipt-open")) location.replace("/receipt/");
});

localise();
