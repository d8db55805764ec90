/* Sets up a tablet from a one-time code. */

import { enroll } from "./device.js";
import { say } from "./words.js";

const form = document.getElementById("enroll");
const problem = form.querySelector("[data-problem]");
const button = form.querySelector("[type=submit]");
const OWN_WORDS = { offline: "offline", insecure: "insecure" };

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = form.elements.code;
  problem.textContent = "";
  input.removeAttribute("aria-invalid");
  if (!input.value.trim()) return refuse(input, say("code_missing"));
  button.disabled = true;
  try {
    await enroll(input.value.trim());
    location.replace(location.pathname);
  } catch (error) {
    button.disabled = false;
    refuse(input, error.text || say(OWN_WORDS[error.code] ?? "offline"));
  }
});

function refuse(input, text) {
  problem.textContent = text;
  input.setAttribute("aria-invalid", "true");
  input.focus();
}
