/* The tablet at the door. The picture stays on the tablet until something like a pass is in it, or
   somebody taps; then one short burst goes to the store's own server, which answers once.
   What the server says is a name of a sentence; the sentences stand in the page, in every language of the store. */

import { CameraError, open, toBase64 } from "../kiosk/camera.js";
import { RequestError, signed } from "../kiosk/device.js";
import { noteLight, report } from "../kiosk/health.js";
import { whenStopped } from "../kiosk/stopped.js";
import { looksLikeCode } from "./finder.js";

const PICTURES = 8;
const APART_MS = 100;
const LOOK_MS = 200;
const LOOK_WIDTH = 640;
const LONGEST = 1280;
const QUALITY = 0.85;
const BEAT_MS = 5_000;
const AGAIN_MS = 5_000;
/* How long an answer stands, and how long no code must be seen before the next one is read. */
const STANDS_MS = { welcome: 4_000, welcome_ending: 9_000, staff: 6_000, again: 2_500 };
const GONE_MS = 1_500;
const MOST_TRIES = 3;

const root = document.getElementById("door");
const video = document.getElementById("video");
const line = root.querySelector("[data-say]");
const button = root.querySelector("[data-read]");
const words = document.getElementById("words").content;
const mayLook = root.dataset.open === "yes";

const canvas = document.createElement("canvas");
const small = document.createElement("canvas");

let live = false;
let tapped = false;
let wake = () => {};

/* ---- what it says ---- */

function say(name, state) {
  const lines = words.querySelector(`[data-word="${name}"]`) ?? words.querySelector('[data-word="unavailable"]');
  root.dataset.state = state;
  if (line.dataset.name === name) return; /* read out only when it is a new one */
  line.dataset.name = name;
  line.replaceChildren(...lines.cloneNode(true).childNodes);
}

function trouble(error) {
  const known = error instanceof CameraError || error instanceof RequestError;
  say(known && words.querySelector(`[data-word="${error.code}"]`) ? error.code : "unavailable", "trouble");
}

function pause(milliseconds) {
  return new Promise((done) => {
    wake = done;
    setTimeout(done, milliseconds);
  });
}

/* ---- the camera ---- */

async function watch() {
  say("opening", "opening");
  const stream = await open(1280, 720);
  const [track] = stream.getVideoTracks();
  try {
    video.srcObject = stream;
    await video.play().catch(() => { throw new CameraError("camera_busy"); });
    live = true;
    say("ready", "ready");
    await follow(track);
  } finally {
    live = false;
    track.stop();
    video.srcObject = null;
    wipe();
  }
}

/** Look at the picture until the camera is lost; read when a code comes into it, or on a tap. */
async function follow(track) {
  let tries = 0;
  let seenAt = 0;
  for (;;) {
    await pause(LOOK_MS);
    if (track.readyState === "ended") throw new CameraError("camera_lost");
    if (document.hidden) continue;
    const now = performance.now();
    const code = looksLikeCode(glance());
    if (code) seenAt = now;
    else if (now - seenAt > GONE_MS) tries = 0;
    if (!tapped && !(code && tries < MOST_TRIES)) continue;
    tapped = false;
    tries = (await read()) ? tries + 1 : MOST_TRIES;
    seenAt = performance.now();
  }
}

function glance() {
  const width = Math.min(LOOK_WIDTH, video.videoWidth);
  small.width = width;
  small.height = Math.round((width * video.videoHeight) / video.videoWidth);
  const drawing = small.getContext("2d", { willReadFrequently: true });
  drawing.drawImage(video, 0, 0, small.width, small.height);
  noteLight(small);
  return drawing.getImageData(0, 0, small.width, small.height);
}

function wipe() {
  for (const one of [canvas, small]) one.width = one.height = 1;
}

/* ---- one pass ---- */

/** Send one burst and say what came of it. Returns whether another try may help. */
async function read() {
  say("reading", "reading");
  let state = "again";
  try {
    const pictures = await burst();
    const reply = await signed("/door/show/", JSON.stringify({ pictures }));
    const told = (await reply.json()).say;
    state = told in STANDS_MS ? told : "again";
    say(told, state.startsWith("welcome") ? "welcome" : state);
  } catch (error) {
    if (error instanceof CameraError) throw error;
    if (error.code === "closed" || error.status === 403) return afresh();
    trouble(error);
  } finally {
    wipe();
  }
  await pause(STANDS_MS[state]);
  if (state !== "again" || !tapped) say("ready", "ready");
  return state === "again";
}

async function burst() {
  const pictures = [];
  const begun = performance.now();
  for (let number = 0; number < PICTURES; number += 1) {
    await new Promise((done) => setTimeout(done, begun + number * APART_MS - performance.now()));
    pictures.push(await toBase64(await picture()));
  }
  return pictures;
}

/** The whole picture, as it is on the screen, at most 1280 pixels long. */
async function picture() {
  const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  if (!blob) throw new CameraError("camera_lost");
  return blob;
}

/* ---- signs of life ---- */

async function beat() {
  for (;;) {
    try {
      const reply = await signed("/door/here/", JSON.stringify({ ...(await report()), picture: live }));
      if ((await reply.json()).open !== mayLook) await afresh();
    } catch (error) {
      if (error.status === 403) await afresh();
      if (!live || error.code === "device") trouble(error);
    }
    await new Promise((done) => setTimeout(done, BEAT_MS));
  }
}

/** Stopped, or set up anew: the server knows which page this tablet is to show now. */
async function afresh() {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  await new Promise((done) => setTimeout(done, LOOK_MS));
  location.reload();
  return new Promise(() => {});
}

async function run() {
  /* A tablet that sleeps greets nobody; where that cannot be asked for, its settings must say so. */
  navigator.wakeLock?.request("screen").catch(() => {});
  for (;;) {
    try {
      await watch();
    } catch (error) {
      trouble(error);
    }
    await pause(AGAIN_MS);
  }
}

button.addEventListener("click", () => {
  tapped = true;
  wake();
});
addEventListener("pagehide", () => {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

if (mayLook) run();
whenStopped("door", afresh);
beat();
