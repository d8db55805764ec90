/* Follows a package that is being made, and lets what was shown once be read first. */

const POLL_MS = 1_500;

async function follow() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (document.hidden) continue;
    let page;
    try {
      const reply = await fetch(`${location.pathname.replace(/[^/]+\/act\/$/, "change/")}`);
      if (!reply.ok || reply.redirected) continue;
      page = new DOMParser().parseFromString(await reply.text(), "text/html");
    } catch {
      continue;
    }
    const before = document.querySelector("[data-building]");
    const now = page.querySelector('[data-testid="request-finish"]');
    if (!now) return location.assign(location.pathname.replace(/[^/]+\/act\/$/, "change/"));
    before.replaceWith(document.importNode(now, true));
    if (!now.hasAttribute("data-building")) return undefined;
  }
}

document.getElementById("request-news")?.focus();
if (document.querySelector("[data-building]")) follow();
