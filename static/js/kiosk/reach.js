/* Whether another page of the kiosk answers. The browser's own page for a lost network would be the
   end of the way for whoever stands here, so no link is followed before that. */

const PATIENCE_MS = 8_000;

export async function reachable(address) {
  try {
    await fetch(address, {
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return true;
  } catch {
    return false;
  }
}

/** Let every link marked so be followed only while its page answers; else `lost()` says so. */
export function guardLinks(lost) {
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-move]");
    if (!link) return;
    event.preventDefault();
    if (await reachable(link.href)) location.assign(link.href);
    else lost();
  });
}
