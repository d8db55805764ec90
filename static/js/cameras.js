/* Keeps the cards of the cameras fresh: fetches this page again and takes its list. Whoever is
   inside a card with the keyboard is left alone. */

const EVERY = 5000;

async function refresh() {
  const shown = document.querySelector(".cameras");
  if (document.hidden || shown.contains(document.activeElement)) return;
  const answer = await fetch(location.href);
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector(".cameras");
  if (fresh) shown.replaceWith(document.adoptNode(fresh));
}

setInterval(() => refresh().catch(() => {}), EVERY);
