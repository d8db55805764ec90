/* Follows a package that is being made; what was shown once stays on the page meanwhile. */

const POLL_MS = 1_000;

async function follow(part) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (document.hidden) continue;
    let page;
    try {
      const reply = await fetch(part.dataset.building);
      if (!reply.ok || reply.redirected) continue;
      page = new DOMParser().parseFromString(await reply.text(), "text/html");
    } catch {
      continue;
    }
    const now = document.importNode(page.querySelector("section"), true);
    part.replaceWith(now);
    if (!now.dataset.building) return;
    part = now;
  }
}

document.getElementById("request-news")?.focus();
const building = document.querySelector("[data-building]");
if (building) follow(building);
