/* A request about one's data. As in the opt-in, what is typed lives in this page's memory only:
   leaving, starting over, or a minute without a touch drop it. It is sent once, at the end. */

import { RequestError, signed } from "./device.js";
import { watch } from "./idle.js";
import { reachable } from "./reach.js";
import { clearProblem, screen, show, shown, tell } from "./screens.js";
import { say } from "./words.js";

const root = document.getElementById("ask");
const { home, go } = root.dataset;
const form = document.getElementById("ask-form");
const { reach, words } = form.elements;
const send = form.querySelector("[type=submit]");

let chosen = null;
/* Sent again under the same name while nothing was changed: a lost answer does not make it two. */
let attempt = crypto.randomUUID();
let underWay = false;

function choose(button) {
  chosen = button;
  attempt = crypto.randomUUID();
  for (const other of root.querySelectorAll("[data-kind]")) {
    other.setAttribute("aria-pressed", String(other === button));
  }
  for (const node of root.querySelectorAll("[data-kind-said]")) {
    node.textContent = button.textContent;
  }
  words.required = "inWords" in button.dataset;
  root.querySelector("[data-words-must]").hidden = !words.required;
  root.querySelector("[data-words-may]").hidden = words.required;
  show("reach");
}

async function submit(event) {
  event.preventDefault();
  clearProblem(form);
  for (const input of [reach, words]) input.removeAttribute("aria-invalid");
  if (!reach.value.trim()) return refuseIn(reach, "reach_missing");
  if (words.required && !words.value.trim()) return refuseIn(words, "words_missing");
  setUnderWay(true);
  try {
    const body = { attempt, kind: chosen.dataset.kind, reach: reach.value, words: words.value };
    const reply = await signed(go, JSON.stringify(body));
    finish(await reply.json());
  } catch (error) {
    const own = error instanceof RequestError && error.code === "device" ? "device" : "offline";
    tell("reach", error.text || say(own));
  } finally {
    setUnderWay(false);
  }
}

function finish({ number, until }) {
  form.reset();
  root.querySelector("[data-number]").textContent = number;
  root.querySelector("[data-until]").textContent = until;
  show("done");
}

function refuseIn(input, word) {
  input.setAttribute("aria-invalid", "true");
  tell("reach", say(word));
  input.focus();
}

function setUnderWay(now) {
  underWay = now;
  document.querySelector(".corner").inert = now;
  send.disabled = now;
}

function forget() {
  form.reset();
  chosen = null;
  attempt = crypto.randomUUID();
  for (const node of root.querySelectorAll("[data-kind-said], [data-number], [data-until]")) {
    node.replaceChildren();
  }
}

/** Drop everything and go where the next person begins; without a network, say so and wait. */
async function leave() {
  forget();
  show("leaving");
  const again = screen("leaving").querySelector("[data-gone]");
  again.hidden = true;
  if (await reachable(home)) return location.replace(home);
  again.hidden = false;
  tell("leaving", say("forgotten"));
}

form.addEventListener("submit", submit);
form.addEventListener("input", () => {
  attempt = crypto.randomUUID();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("kind" in button.dataset) choose(button);
  else if ("back" in button.dataset) show("kind");
  else if ("leave" in button.dataset) leave();
  else if ("close" in button.dataset) button.closest("dialog").close();
});
addEventListener("pagehide", forget);
addEventListener("pageshow", (event) => {
  if (event.persisted) leave();
});
watch(document.getElementById("idle-dialog"), leave, () => underWay || shown() === "leaving");

/* Until here a tap would have gone nowhere. */
root.inert = false;
show("kind");
