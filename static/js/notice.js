/* The kiosk's screen beside the text follows what is typed. Without this module the button “Show”
   does the same; nothing is saved by either. */

const form = document.getElementById("text");
const frame = document.getElementById("kiosk");
const show = form.querySelector(".show");
/* What of the kiosk's page the text decides; the rest, a sheet that is open and how far it was
   scrolled, stays. */
const PARTS = ["[data-screen='notice']", ".sheet-body"];
const PAUSE = 250;

let timer = 0;
let asking = new AbortController();

async function follow() {
  asking.abort();
  asking = new AbortController();
  const options = { method: "POST", body: new FormData(form), signal: asking.signal };
  try {
    const reply = await fetch(show.formAction, options);
    if (!reply.ok) return;
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    for (const part of PARTS) {
      frame.contentDocument.querySelector(part).replaceChildren(...page.querySelector(part).childNodes);
    }
  } catch (error) {
    if (error.name !== "AbortError") show.hidden = false;
  }
}

form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(follow, PAUSE);
});
show.hidden = true;
