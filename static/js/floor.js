/* Keeps the floor board live. Refuses to invent: every card comes as the server rendered it, and a
   card is known by its id, so the same visit is never on the board twice. */

const board = document.getElementById("floor");
const list = document.getElementById("floor-cards");
const empty = document.getElementById("floor-empty");
const state = document.getElementById("floor-state");
const announce = document.getElementById("floor-announce");

const language = document.documentElement.lang || "en";
const clock = new Intl.DateTimeFormat(language, {
  hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const ago = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
const DAY = 86_400_000;
const RETRY_MS = 5_000;
const fadeMs = Number(board.dataset.fadeMinutes || 30) * 60_000;

/* Times arrive in UTC; the wall shows the clock that hangs beside it. */
function localise(root) {
  for (const time of root.querySelectorAll("time[data-clock]")) {
    time.textContent = clock.format(new Date(time.dateTime));
  }
  for (const time of root.querySelectorAll("time[data-ago]:not([title])")) {
    const [year, month, day] = time.dateTime.split("-").map(Number);
    const today = new Date();
    const days = Math.round(
      (Date.UTC(today.getFullYear(), today.getMonth(), today.getDate()) -
        Date.UTC(year, month - 1, day)) / DAY,
    );
    time.title = time.textContent;
    if (days < 14) time.textContent = ago.format(-days, "day");
    else if (days < 60) time.textContent = ago.format(-Math.round(days / 7), "week");
    else if (days < 730) time.textContent = ago.format(-Math.round(days / 30.44), "month");
    else time.textContent = ago.format(-Math.round(days / 365.25), "year");
  }
}

function readCard(html, id) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const card = id ? parsed.getElementById(id) : parsed.querySelector('[id^="visit-"]');
  return card ? document.importNode(card, true) : null;
}

function place(card, focus = false) {
  const known = document.getElementById(card.id);
  if (known) {
    const focused = focus || known.contains(document.activeElement);
    known.replaceWith(card);
    if (focused) {
      const heading = card.querySelector("h2");
      heading.tabIndex = -1;
      heading.focus({ preventScroll: true });
    }
  } else {
    const mine = Number(card.dataset.sequence);
    const after = [...list.children].find((other) => Number(other.dataset.sequence) < mine);
    list.insertBefore(card, after ?? null);
    card.classList.add("is-new");
    announce.textContent = board.dataset.arrivedText.replace("%s", card.dataset.name);
  }
  localise(card);
  tidy();
}

function tidy() {
  const now = Date.now();
  for (const card of list.children) {
    if (now - Date.parse(card.dataset.arrived) > fadeMs) card.classList.add("is-old");
  }
  const newest = list.firstElementChild;
  if (newest) {
    const last = document.getElementById("floor-last");
    if (last && !(Date.parse(newest.dataset.arrived) <= Date.parse(last.dateTime))) {
      last.dateTime = newest.dataset.arrived;
      last.textContent = clock.format(new Date(newest.dataset.arrived));
      last.parentElement.hidden = false;
    }
  }
  empty.hidden = Boolean(newest);
}

function say(word) {
  state.dataset.state = word;
  state.querySelector("[data-word]").textContent = state.dataset[`${word}Text`];
}

/* The server ended the stream for good (signed out, or it is being restarted). Come back only when
   it answers, so that a wall display never turns into the browser's own error page. */
async function comeBack() {
  try {
    const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (reply.ok) {
      location.reload();
      return;
    }
  } catch {
    /* not reachable yet */
  }
  setTimeout(comeBack, RETRY_MS);
}

function listen() {
  const source = new EventSource(board.dataset.eventsUrl);
  source.addEventListener("open", () => say("live"));
  source.addEventListener("error", () => {
    say("waiting");
    if (source.readyState === EventSource.CLOSED) setTimeout(comeBack, RETRY_MS);
  });
  source.addEventListener("visit", (event) => {
    const card = readCard(event.data);
    if (card) place(card);
  });
  /* Every visit that may still be shown: whoever took their consent back leaves at once. */
  source.addEventListener("here", (event) => {
    const here = new Set(event.data.trim().split(/\s+/).map((id) => `visit-${id}`));
    for (const card of [...list.children]) if (!here.has(card.id)) card.remove();
    tidy();
  });
  addEventListener("pagehide", () => source.close());
}

list.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-greet]");
  if (!form) return;
  event.preventDefault();
  const button = form.querySelector("button");
  const id = form.closest('[id^="visit-"]').id;
  button.disabled = true;
  try {
    const reply = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { Accept: "text/html", "Consentry-Partial": "1" },
    });
    const card = readCard(await reply.text(), id);
    if (!card) throw new Error("no card in the reply");
    place(card, true);
  } catch {
    /* Without a card in the reply the plain form knows the way: a log-in, or a sentence why not. */
    button.disabled = false;
    if (navigator.onLine) form.submit();
    else announce.textContent = board.dataset.failedText;
  }
});

/* A page kept in the browser's back/forward cache holds yesterday's floor. */
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

localise(document);
tidy();
setInterval(tidy, 30_000);
listen();
