/* Keeps the floor board live. Refuses to invent: every card comes as the server rendered it, and a
   card is known by its id, so the same visit is never on the board twice. */

const board = document.getElementById("floor");
const list = document.getElementById("floor-cards");
const empty = document.getElementById("floor-empty");
const state = document.getElementById("floor-state");
const announce = document.getElementById("floor-announce");

/* The digits of the rest of the page, also where a language has its own. */
const language = `${document.documentElement.lang || "en"}-u-nu-latn`;
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

/* The card of a visit, or the line that offers to undo; null when the reply is another page. */
function readItem(html, visit = "") {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const item = visit
    ? parsed.getElementById(`visit-${visit}`) ?? parsed.getElementById(`wrong-${visit}`)
    : parsed.querySelector('[id^="visit-"]');
  return item ? document.importNode(item, true) : null;
}

function place(card, focus = false) {
  const known = document.getElementById(card.id);
  const focused = focus || known?.contains(document.activeElement);
  if (known) {
    if (!focus) keepDraft(known, card);
    known.replaceWith(card);
  } else {
    const mine = Date.parse(card.dataset.arrived);
    const after = [...list.children].find((other) => Date.parse(other.dataset.arrived) < mine);
    list.insertBefore(card, after ?? null);
    card.classList.add("is-new");
    board.dispatchEvent(new Event("arrived"));
    announce.textContent = board.dataset.arrivedText.replace("%s", card.dataset.name);
  }
  if (focused) {
    const heading = card.querySelector("h2");
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  localise(card);
  tidy();
}

/* A note that is being written, or was asked about, is not lost when a colleague's tap renews the
   card. */
function keepDraft(known, card) {
  const [written, field] = [known, card].map((each) => each.querySelector("[data-draft]"));
  const asked = known.querySelector(".badge-note [role=alert]");
  if (!written || !field || (written.value === written.defaultValue && !asked)) return;
  field.value = written.value;
  field.closest("details").open = true;
}

function tidy() {
  const now = Date.now();
  for (const card of list.children) {
    if (now - Date.parse(card.dataset.arrived) > fadeMs) card.classList.add("is-old");
  }
  const newest = list.querySelector('[id^="visit-"]');
  if (newest) {
    const last = document.getElementById("floor-last");
    if (last && !(Date.parse(newest.dataset.arrived) <= Date.parse(last.dateTime))) {
      last.dateTime = newest.dataset.arrived;
      last.textContent = clock.format(new Date(newest.dataset.arrived));
      last.parentElement.hidden = false;
    }
  }
  empty.hidden = list.childElementCount > 0;
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

/* A pass was offered at the kiosk, without a word of to whom: said for two minutes, then gone. */
const lookAlike = document.getElementById("floor-look-alike");
let lookAlikeOver = 0;

function tellLookAlike(at) {
  const left = Date.parse(at) + Number(lookAlike.dataset.seconds) * 1000 - Date.now();
  lookAlike.hidden = false;
  clearTimeout(lookAlikeOver);
  /* Where this device's clock is off, the server said all the same that it was just now. */
  const stays = Math.min(Math.max(left, 10_000), Number(lookAlike.dataset.seconds) * 1000);
  lookAlikeOver = setTimeout(() => { lookAlike.hidden = true; }, stays);
}

function listen() {
  const source = new EventSource(board.dataset.eventsUrl);
  source.addEventListener("open", () => say("live"));
  source.addEventListener("error", () => {
    say("waiting");
    if (source.readyState === EventSource.CLOSED) setTimeout(comeBack, RETRY_MS);
  });
  source.addEventListener("visit", (event) => {
    const card = readItem(event.data);
    if (card) place(card);
  });
  /* Every visit that may still be shown: whoever took their consent back leaves at once. */
  source.addEventListener("here", (event) => {
    const here = new Set(event.data.trim().split(/\s+/).map((id) => `visit-${id}`));
    for (const card of list.querySelectorAll('[id^="visit-"]:not([data-leaving])')) {
      if (!here.has(card.id)) card.remove();
    }
    tidy();
  });
  source.addEventListener("look-alike", (event) => tellLookAlike(event.data));
  addEventListener("pagehide", () => source.close());
}

/* One tap: greet, not this person, or undo. The reply is what stands in the item's place. */
list.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-tap]");
  if (!form) return;
  event.preventDefault();
  const item = form.closest("li");
  /* Before they are disabled: the button that was tapped may say something too. */
  const body = new FormData(form, event.submitter);
  for (const button of item.querySelectorAll("button")) button.disabled = true;
  /* The stream may say that the card is gone before the reply brings its undo. */
  item.dataset.leaving = "";
  try {
    const reply = await fetch(form.action, {
      method: "POST",
      body,
      headers: { Accept: "text/html", "Consentry-Partial": "1" },
    });
    const fresh = readItem(await reply.text(), item.id.replace(/^(visit|wrong)-/, ""));
    if (fresh) swap(item, fresh);
    else if (reply.status === 204 || reply.status === 404) item.remove();
    else throw new Error("no card in the reply");
    tidy();
  } catch {
    /* Without a card in the reply the plain form knows the way: a log-in, or a sentence why not. */
    delete item.dataset.leaving;
    for (const button of item.querySelectorAll("button")) button.disabled = false;
    if (navigator.onLine) form.submit();
    else announce.textContent = board.dataset.failedText;
  }
});

/* A code for the kiosk stands where its button was, and goes when its time is over. */
board.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-witness]");
  if (!form) return;
  event.preventDefault();
  const section = form.closest("section");
  form.querySelector("button").disabled = true;
  try {
    const reply = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { Accept: "text/html", "Consentry-Partial": "1" },
    });
    const parsed = new DOMParser().parseFromString(await reply.text(), "text/html");
    const fresh = parsed.getElementById("floor-witness");
    if (!fresh) throw new Error("no code in the reply");
    section.replaceWith(document.importNode(fresh, true));
    hideWitness();
  } catch {
    form.querySelector("button").disabled = false;
    announce.textContent = board.dataset.failedText;
  }
});

/* A card is scanned or typed. What was wrong stands at the field, with what was typed; who it is
   comes as any arrival does. */
const enter = document.getElementById("floor-enter");
if (enter) enter.hidden = false;
enter?.addEventListener("toggle", () => {
  if (enter.open) enter.querySelector("input[name=card]").focus();
});
enter?.addEventListener("submit", async (event) => {
  const form = event.target;
  event.preventDefault();
  /* A scanner may send its Enter twice. */
  if (form.dataset.sent !== undefined) return;
  form.dataset.sent = "";
  try {
    const reply = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      headers: { Accept: "text/html", "Consentry-Partial": "1" },
    });
    const parsed = new DOMParser().parseFromString(await reply.text(), "text/html");
    const fresh = parsed.getElementById("floor-card-in");
    if (!fresh) throw new Error("no form in the reply");
    form.replaceWith(document.importNode(fresh, true));
    const field = enter.querySelector("input[name=card]");
    field.focus();
    field.select();
  } catch {
    delete form.dataset.sent;
    if (navigator.onLine) form.submit();
    else announce.textContent = board.dataset.failedText;
  }
});

let witnessOver = 0;

function hideWitness() {
  const code = document.querySelector("[data-witness-seconds]");
  clearTimeout(witnessOver);
  if (code) witnessOver = setTimeout(() => code.remove(), Number(code.dataset.witnessSeconds) * 1000);
}

function swap(item, fresh) {
  if (fresh.id.startsWith("visit-")) {
    if (item.id !== fresh.id) item.remove();
    place(fresh, true);
    return;
  }
  /* A colleague's greeting may have renewed the card meanwhile. */
  (document.getElementById(item.id) ?? item).replaceWith(fresh);
  fresh.querySelector("button").focus({ preventScroll: true });
  announce.textContent = fresh.querySelector("p").textContent;
  fade(fresh);
}

/* An undo goes by itself, but not from under somebody's finger or focus. */
function fade(line, seconds = Number(line.dataset.seconds)) {
  setTimeout(() => {
    if (line.matches(":hover") || line.querySelector(":focus-visible")) return fade(line, 5);
    line.remove();
    return tidy();
  }, seconds * 1000);
}

/* A page kept in the browser's back/forward cache holds yesterday's floor. */
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

localise(document);
if (lookAlike.dataset.at) tellLookAlike(lookAlike.dataset.at);
for (const line of list.querySelectorAll("[data-seconds]")) fade(line);
hideWitness();
tidy();
setInterval(tidy, 30_000);
listen();
