/* The opt-in, one decision a screen. What the person says lives in this module's memory and nowhere
   else: leaving, starting over, or sixty seconds without a touch drop it. The server hears of it once,
   at the very end. */

import { Camera, WANTED, toBase64 } from "./camera.js";
import { RequestError, signed } from "./device.js";
import { watch } from "./idle.js";
import { guardLinks, reachable } from "./reach.js";
import { clearProblem, screen, show, shown, tell } from "./screens.js";
import { Signing } from "./signing.js";
import { say } from "./words.js";

const root = document.getElementById("kiosk");
const { home, here, notice, digest } = root.dataset;
/* The other stores that the question about them names. */
const stores = root.dataset.stores.split(" ").filter(Boolean);
const purposeKeys = [...root.querySelectorAll("[data-purpose]")].map((node) => node.dataset.purpose);
const first = `purpose-${purposeKeys[0]}`;
/* Recognition on arrival is what the rest stands on: by a face, in one or two ways, or, where every one
   of them was declined, by a card. Without any there is nothing to remember. */
const CARD = "card";
const recognition = [...root.querySelectorAll("[data-recognition]")].map((node) => node.dataset.purpose);
const faces = recognition.filter((key) => key !== CARD);

const nameForm = document.getElementById("name-form");
const camera = new Camera(document.getElementById("video"));
const guardianForm = document.getElementById("guardian-form");
const witnessForm = document.getElementById("witness-form");
const signature = new Signing(
  root.querySelector('[data-signing="signature"]'),
  document.getElementById("signature-typed"),
  () => signedAnew("signature"),
);
/* Only where the law lets a parent or guardian agree together with who is too young alone. */
const coSignature = guardianForm && new Signing(
  guardianForm.querySelector("[data-signing]"),
  document.getElementById("guardian-name"),
  () => signedAnew("guardian"),
);
const guidance = root.querySelector("[data-guidance]");
const oval = root.querySelector(".oval");
const stage = root.querySelector(".stage-look");
const idleDialog = document.getElementById("idle-dialog");
const noticeDialog = document.getElementById("notice-dialog");

const blank = () => ({
  attempt: crypto.randomUUID(),
  purposes: {},
  term: null,
  age: null,
  guarded: false,
  witnessed: false,
  /* They cannot make the movements; staff confirmed that they are here. */
  still: false,
  present: false,
  seen: null,
});
let state = blank();
/* The lane could mix this person up: they decide on a pass, or on a card, and no other face is asked for. */
let instead = "";
let mixedUp = "";
/* The count of a refusal on its way, of which there is one at most. */
let refused = null;
/* The finished form is on its way: whoever leaves now would miss the receipt. */
let underWay = false;
/* The attempt that was sent and not answered: whoever leaves then has it undone. */
let unsure = "";

/* ---- moving between screens ---- */

/** The screens in their order, as far as the answers so far lead. */
function order() {
  const witness = unwitnessed();
  const questions = purposeKeys.filter((key) => key !== CARD || asked(CARD));
  return [
    ...["notice", ...questions.map((key) => `purpose-${key}`), "term", "age", "name", "signature"],
    ...(state.guarded ? ["guardian"] : []),
    ...(witness || shown() === "witness" ? ["witness"] : []),
    ...(byFace() ? ["camera"] : []),
  ];
}

/** Whether a signature that needs a witness has none yet. */
function unwitnessed() {
  return (signature.typed || state.guarded) && !state.witnessed;
}

/** Whether staff are asked for the person before the camera, not for what was signed. */
function asksForPresence() {
  return state.still && !state.present && !unwitnessed();
}

function go(name, problem = "") {
  if (shown() === "camera" && name !== "camera") camera.close();
  if (name === "name") prepareName();
  if (name === "signature" || name === "guardian") fillAnswers();
  if (name === "witness") prepareWitness();
  root.querySelector("[data-network]").textContent = "";
  show(name, problem);
  if (name === "camera" && !problem) look();
}

/** The screen after this one. Whoever has a card has nothing to show to a camera, and is done. */
function next() {
  const screens = order();
  const following = screens[screens.indexOf(shown()) + 1];
  if (following) go(following);
  else submit();
}

function back() {
  const name = shown();
  if (instead && name === `purpose-${instead}`) return go("alike", mixedUp);
  if (name === "witness" && asksForPresence()) {
    state.still = false;
    return go("camera");
  }
  const screens = order();
  go(name === "young" ? "age" : screens[screens.indexOf(name) - 1]);
}

/** Drop everything and go where the next person begins; without a network, say so and wait. */
async function leave() {
  /* They were asked about a card as well, and go without an answer: their face they declined. */
  if (facesDeclined() && !unsure && shown() !== "done") countRefusal(faces.filter(asked));
  forget();
  if (shown() !== "leaving") show("leaving");
  clearProblem(screen("leaving"));
  setGone(false);
  try {
    await undo();
    await refused;
    if (await reachable(home)) return location.replace(home);
  } catch {
    /* said below */
  }
  setGone(true);
  tell("leaving", say("forgotten"));
}

function setGone(now) {
  screen("leaving").querySelector("[data-gone]").hidden = !now;
}

/** Have an attempt undone of which nobody here knows whether it succeeded. Throws RequestError. */
async function undo() {
  if (!unsure) return;
  await signed("/kiosk/undo/", JSON.stringify({ attempt: unsure }));
  unsure = "";
  /* That attempt can succeed no more; whoever changes their mind begins another. */
  anotherAttempt();
}

/** Whoever vouched for the former attempt has not seen this one. */
function anotherAttempt() {
  state.attempt = crypto.randomUUID();
  state.witnessed = false;
  state.still = false;
  state.present = false;
}

/** Stop: without a face, or without a card. What may have arrived is undone before anything is said. */
async function stop() {
  try {
    setUnderWay(true);
    await undo();
    if (byFace() && recognition.includes(CARD)) withoutFace();
    else decline(purposeKeys.filter(asked));
  } catch (error) {
    tell(shown(), error.text || say("unsure"));
  } finally {
    setUnderWay(false);
  }
}

/** They changed their mind about every face: what else they said stays, and is signed anew. */
function withoutFace() {
  for (const key of faces.filter(asked)) {
    state.purposes[key] = false;
    press(screen(`purpose-${key}`), "no");
  }
  camera.close();
  state.still = false;
  unsign();
  go("purpose-card");
}

function forget() {
  camera.close();
  state = blank();
  instead = "";
  mixedUp = "";
  nameForm.reset();
  guardianForm?.reset();
  witnessForm.reset();
  signature.reset();
  coSignature?.reset();
  for (const node of root.querySelectorAll(
    "[data-qr], [data-pass], [data-card-qr], [data-card-signs], [data-code], [data-until], [data-signed], " +
      "[data-answer-of], [data-term-until]",
  )) {
    node.replaceChildren();
  }
}

/* ---- answers ---- */

function answer(button) {
  const yes = button.dataset.answer === "yes";
  const name = shown();
  press(screen(name), button.dataset.answer);
  if (name === "age") {
    if (state.age !== yes) unsign();
    state.age = yes;
    state.guarded = false;
    return yes ? next() : go("young");
  }
  const key = screen(name).dataset.purpose;
  if (state.purposes[key] !== yes) {
    state.purposes[key] = yes;
    unsign();
  }
  if (key === CARD && !yes) return decline([...faces.filter(asked), CARD]);
  if (facesDeclined() && !asked(CARD)) return decline(faces.filter(asked));
  return yes && [instead, CARD].includes(key) && answered() ? go("signature") : next();
}

/** Show which of its two answers a screen has, if any. */
function press(node, given) {
  for (const button of node.querySelectorAll("[data-answer]")) {
    button.setAttribute("aria-pressed", String(button.dataset.answer === given));
  }
}

/** How long: of three equal buttons the one that is tapped, and none before. */
function chooseTerm(button) {
  const months = Number(button.dataset.term);
  if (state.term !== months) unsign();
  state.term = months;
  for (const other of screen("term").querySelectorAll("[data-term]")) {
    other.setAttribute("aria-pressed", String(other === button));
  }
  next();
}

/** The parent or guardian is here: they sign too, and staff see both. */
function withGuardian() {
  state.guarded = true;
  go("name");
}

/** What was signed were other answers. */
function unsign() {
  signature.clear();
  coSignature?.clear();
  state.seen = null;
}

/** Whether this question is part of what is signed. */
function asked(key) {
  if (key === CARD) return recognition.includes(CARD) && (instead === CARD || facesDeclined());
  return !instead || key === instead || !faces.includes(key);
}

/** Whether any kind of recognition by the face was agreed to. */
function byFace() {
  return faces.some((key) => state.purposes[key] === true);
}

/** Whether every kind of it that is asked for was declined. */
function facesDeclined() {
  const open = faces.filter(asked);
  return open.length > 0 && open.every((key) => state.purposes[key] === false);
}

/** Whether all the rest has been said before, so that only the signature is left. */
function answered() {
  const mayAgree = state.age === true || state.guarded;
  return state.term !== null && mayAgree && nameForm.elements.name.value.trim() !== "";
}

/** A decision of its own: nothing about how to be recognised is taken from before, and it is signed
    anew. `kind`: "pass" or "card". */
function takeInstead(kind) {
  instead = kind;
  const { term, age, guarded } = state;
  state = { ...blank(), purposes: { ...state.purposes }, term, age, guarded };
  for (const key of recognition) {
    delete state.purposes[key];
    press(screen(`purpose-${key}`), "");
  }
  unsign();
  go(`purpose-${kind}`);
}

/** The kind screen, and one more in the count of refusals. Nothing about who refused. */
function decline(purposes) {
  camera.close();
  state.seen = null;
  go("alternative");
  countRefusal(purposes);
}

function countRefusal(purposes) {
  /* Only a count: that it got lost is nothing to bother the person with. */
  refused ??= signed("/kiosk/refuse/", JSON.stringify({ purposes })).catch(() => {});
}

function fillAnswers() {
  for (const node of root.querySelectorAll("[data-answer-of]")) {
    const yes = state.purposes[node.dataset.answerOf] === true;
    node.textContent = say(yes ? "yes" : "no");
    node.dataset.yes = String(yes);
    node.parentElement.hidden = !asked(node.dataset.answerOf);
  }
  const term = screen("term").querySelector(`[data-term="${state.term}"]`);
  for (const node of root.querySelectorAll("[data-term-until]")) {
    node.textContent = term?.dataset.termEnd ?? "";
  }
}

/* ---- name ---- */

function prepareName() {
  const asked = state.purposes.contact === true;
  nameForm.querySelector("[data-contact]").hidden = !asked;
  if (!asked) nameForm.elements.contact.value = "";
}

function takeName(event) {
  event.preventDefault();
  const { name, contact } = nameForm.elements;
  clearProblem(nameForm);
  for (const input of [name, contact]) input.removeAttribute("aria-invalid");
  if (!name.value.trim()) return refuseIn(name, "name_missing");
  if (!contact.validity.valid) return refuseIn(contact, "contact_wrong");
  next();
}

function refuseIn(input, word) {
  input.setAttribute("aria-invalid", "true");
  tell("name", say(word));
  input.focus();
}

/* ---- signature ---- */

/** A signature changed: whoever saw the former one has not seen this. */
function signedAnew(name) {
  clearProblem(screen(name));
  if (state.witnessed || state.present) anotherAttempt();
}

function sign() {
  const { missing } = signature;
  if (!missing) return next();
  if (missing === "signature_short") signature.clear();
  tell("signature", say(missing));
}

function coSign(event) {
  event.preventDefault();
  const name = document.getElementById("guardian-name");
  name.removeAttribute("aria-invalid");
  if (!name.value.trim()) {
    name.setAttribute("aria-invalid", "true");
    tell("guardian", say("full_name_missing"));
    return name.focus();
  }
  const { missing } = coSignature;
  if (!missing) return next();
  if (missing === "signature_short") coSignature.clear();
  tell("guardian", say(missing));
}

/* ---- the witness ---- */

function prepareWitness() {
  witnessForm.reset();
  const presence = asksForPresence();
  witnessForm.querySelector("[data-alone]").hidden = state.guarded || presence;
  witnessForm.querySelector("[data-guarded-words]").hidden = !state.guarded || presence;
  screen("witness").querySelector("[data-of-signature]").hidden = presence;
  for (const node of screen("witness").querySelectorAll("[data-of-presence]")) node.hidden = !presence;
}

/** Staff vouch for whoever cannot make the movements. */
function cannotMove() {
  state.still = true;
  go("witness");
}

async function takeWitness(event) {
  event.preventDefault();
  const input = document.getElementById("witness-code");
  const button = witnessForm.querySelector("[type=submit]");
  const { attempt } = state;
  const code = input.value.trim();
  const seen = asksForPresence() ? "presence" : "signature";
  clearProblem(witnessForm);
  if (!code) {
    tell("witness", say("witness_missing"));
    return input.focus();
  }
  button.disabled = true;
  try {
    await signed("/kiosk/witness/", JSON.stringify({ attempt, code, seen }));
    if (state.attempt !== attempt) return; /* they left, or signed anew, meanwhile */
    if (seen === "presence") state.present = true;
    else state.witnessed = true;
    if (asksForPresence()) go("witness");
    else next();
  } catch (error) {
    input.value = "";
    if (shown() === "witness") tell("witness", sentence(error));
  } finally {
    button.disabled = false;
  }
}

/* ---- camera ---- */

async function look() {
  setAgain(false);
  clearProblem(screen("camera"));
  state.seen = null;
  count(0);
  const still = state.still && state.present;
  for (const node of screen("camera").querySelectorAll("[data-moving], [data-cannot-move]")) {
    node.hidden = still;
  }
  screen("camera").querySelector("[data-unmoving]").hidden = !still;
  guidance.textContent = say("camera_opening");
  rest();
  oval.dataset.state = "opening";
  try {
    const seen = await camera.collect({
      attempt: state.attempt,
      still,
      opened() {
        oval.dataset.state = "looking";
        guide(say("camera_look"));
      },
      guide(look, good) {
        if (good === undefined) return guide(look ? look.text : say(`act_${stage.dataset.act}`));
        oval.dataset.state = look.ok ? "good" : "looking";
        guide(look.text);
        count(good);
      },
      ask,
      paused: () => idleDialog.open || noticeDialog.open,
    });
    if (seen === null) return;
    rest();
    guide(say("camera_done"));
    state.seen = seen;
    await submit();
  } catch (error) {
    camera.close();
    rest();
    guidance.textContent = "";
    count(0);
    setAgain(true);
    tell("camera", sentence(error));
  }
}

/* One movement at a time, beside the live picture. Between two of them they look to the front. */
function ask(act) {
  stage.dataset.act = act;
  oval.dataset.state = "looking";
  guide(say(`act_${act}`));
}

/* No picture and no movement is asked for any more. */
function rest() {
  oval.dataset.state = "off";
  delete stage.dataset.act;
}

/* A sentence is read out only when it is a new one. */
function guide(text) {
  if (guidance.textContent !== text) guidance.textContent = text;
}

function count(good) {
  root.querySelector("[data-pictures]").dataset.count = String(good);
  const line = root.querySelector("[data-pictures-text]");
  const text = say(`pictures_${Math.min(good, WANTED)}`);
  if (line.textContent !== text) line.textContent = text;
}

function setAgain(shownNow) {
  root.querySelector("[data-again]").hidden = !shownNow;
}

/* ---- sending ---- */

async function submit() {
  for (const node of root.querySelectorAll("[data-by-face]")) node.hidden = !byFace();
  for (const node of root.querySelectorAll("[data-by-card]")) node.hidden = byFace();
  show("sending");
  setUnderWay(true);
  const purposes = Object.fromEntries(
    purposeKeys.filter(asked).map((key) => [key, state.purposes[key] === true]),
  );
  const body = JSON.stringify({
    attempt: state.attempt,
    notice,
    digest,
    purposes,
    stores: purposes.group ? stores : [],
    term: state.term,
    age_ok: state.age === true,
    name: nameForm.elements.name.value.trim(),
    say_as: nameForm.elements.say_as.value.trim(),
    asks_for: nameForm.elements.asks_for.value.trim(),
    contact: purposes.contact ? nameForm.elements.contact.value.trim() : "",
    signature: signature.value,
    guardian: state.guarded
      ? { name: document.getElementById("guardian-name").value.trim(), signature: coSignature.value }
      : null,
    still: state.still && state.present,
    ...(byFace() ? await pictures(state.seen) : { photos: [], challenge: "", frames: [] }),
  });
  try {
    const reply = await signed("/kiosk/opt-in/", body);
    unsure = "";
    finish((await reply.json()).receipt);
  } catch (error) {
    sendingFailed(error);
  } finally {
    setUnderWay(false);
  }
}

async function pictures({ photos, challenge, frames }) {
  return { photos: await Promise.all(photos.map(toBase64)), challenge, frames };
}

function sendingFailed(error) {
  if (error.code === "notice_changed" || error.code === "group_changed") {
    forget();
    location.replace(`${here}?changed=1`);
    return;
  }
  /* Nothing is wrong with what was said: keep it and let the person send it again. */
  const keep = !(error instanceof RequestError) || error.status === 0 || error.status >= 500;
  if (keep) unsure = state.attempt;
  if (keep || error.code === "device" || error.code === "replayed" || error.step === "sending") {
    tell("sending", sentence(error));
    return;
  }
  state.seen = null;
  if (error.step === "alike") {
    if (screen("alike").querySelector("[data-instead]")) unsign();
    else forget();
    mixedUp = sentence(error);
    go("alike", mixedUp);
    return;
  }
  const step = error.step === "purposes" ? first : error.step;
  if (step === "signature" || step === "guardian") unsign();
  if (step === "witness") {
    if (error.code === "no_presence") state.present = false;
    else state.witnessed = false;
    return go("witness", sentence(error));
  }
  if (step === "camera") {
    show("camera");
    count(0);
    guidance.textContent = "";
    setAgain(true);
    tell("camera", sentence(error));
    return;
  }
  go(order().includes(step) ? step : "notice", sentence(error));
}

function setUnderWay(now) {
  underWay = now;
  document.querySelector(".corner").inert = now;
  const sending = screen("sending");
  sending.querySelector("[data-waiting]").hidden = !now;
  sending.querySelector("[data-resend]").hidden = now;
  sending.querySelector("[data-stop]").hidden = now;
}

/* What to say: the server's own sentence when it sent one, else ours of that name. */
function sentence(error) {
  if (error instanceof RequestError) {
    return error.text || say(error.code === "device" ? "device" : "offline");
  }
  return say(error.name === "CameraError" ? error.code : "offline");
}

/* ---- receipt ---- */

function finish(receipt) {
  state.seen = null;
  draw(root.querySelector("[data-qr]"), receipt.qr_svg, say("qr"));
  draw(root.querySelector("[data-pass]"), receipt.pass_svg, say("pass"));
  draw(root.querySelector("[data-card-qr]"), receipt.card_svg, say("card"));
  root.querySelector("[data-card-signs]").textContent = receipt.card;
  const given = { pass: receipt.pass_svg, card: receipt.card_svg };
  for (const node of root.querySelectorAll("[data-with]")) {
    node.hidden = !node.dataset.with.split(" ").some((kind) => given[kind]);
  }
  root.querySelector("[data-receipt-alone]").hidden = Boolean(given.pass || given.card);
  root.querySelector("[data-until]").textContent = receipt.until;
  root.querySelector("[data-signed]").textContent = receipt.signed.join(" ");
  root.querySelector("[data-code]").textContent = receipt.code;
  const address = new URL(receipt.url, location.href);
  root.querySelector("[data-address]").textContent = address.host + address.pathname;
  fillAnswers();
  show("done");
}

function draw(slot, svg, label) {
  /* Parsed as inert HTML: the drawing comes without a namespace, which an XML parser would miss. */
  const drawn = new DOMParser().parseFromString(svg, "text/html").querySelector("svg");
  if (!drawn) return slot.replaceChildren();
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", label);
  slot.replaceChildren(document.importNode(drawn, true));
}

/* ---- the wiring ---- */

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { dataset } = button;
  if ("answer" in dataset) answer(button);
  else if ("term" in dataset) chooseTerm(button);
  else if ("guarded" in dataset) withGuardian();
  else if ("next" in dataset) next();
  else if ("back" in dataset) back();
  else if ("refuseAll" in dataset) decline(purposeKeys.filter((key) => key === CARD || asked(key)));
  else if ("cannotMove" in dataset) cannotMove();
  else if ("sign" in dataset) sign();
  else if ("again" in dataset) look();
  else if ("stop" in dataset) stop();
  else if ("resend" in dataset) submit();
  else if ("print" in dataset) print();
  else if ("againFromStart" in dataset) go(instead ? `purpose-${instead}` : first);
  else if ("instead" in dataset) takeInstead(dataset.instead);
});
nameForm.addEventListener("submit", takeName);
guardianForm?.addEventListener("submit", coSign);
witnessForm.addEventListener("submit", takeWitness);
guardLinks(() => {
  document.querySelector("details.tongues").open = false;
  root.querySelector("[data-network]").textContent = say("offline");
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && "leave" in button.dataset) leave();
  else if (button && "open" in button.dataset) openDialog(button.dataset.open);
  else if (button && "close" in button.dataset) button.closest("dialog").close();
  const menu = document.querySelector("details.tongues[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});

function openDialog(id) {
  const dialog = document.getElementById(id);
  dialog.showModal();
  dialog.querySelector("[tabindex='-1']")?.focus();
}

addEventListener("pagehide", forget);
addEventListener("pageshow", (event) => {
  if (event.persisted) leave();
});
watch(idleDialog, leave, () => underWay || shown() === "leaving");

const address = new URL(location.href);
if (address.searchParams.has("changed")) {
  history.replaceState(null, "", address.pathname);
  root.querySelector("[data-changed]").hidden = false;
}
/* Until here a tap would have gone nowhere. */
root.inert = false;
screen("notice").querySelector("h1").focus({ preventScroll: true });
