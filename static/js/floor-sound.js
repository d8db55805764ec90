/* A soft sound when somebody comes in. Off until it is pressed, remembered on this device; a browser
   lets a page sound only after a tap, so after a reload it waits for the next one. */

const KEY = "consentry-floor-sound";
const button = document.getElementById("floor-sound");
let context = null;

const wanted = () => localStorage.getItem(KEY) === "on";
const ready = () => context?.state === "running";

function say() {
  button.setAttribute("aria-pressed", String(wanted()));
  button.textContent = button.dataset[!wanted() ? "off" : ready() ? "on" : "wait"];
}

async function start() {
  if (wanted()) {
    context ??= new AudioContext();
    await context.resume();
  }
  say();
}

/* Two notes of half a second, as a door's bell two rooms away. */
function chime() {
  if (!wanted() || !ready()) return;
  const now = context.currentTime;
  for (const [pitch, after] of [[659, 0], [880, 0.16]]) {
    const note = context.createOscillator();
    const loudness = context.createGain();
    note.frequency.value = pitch;
    loudness.gain.setValueAtTime(0, now + after);
    loudness.gain.linearRampToValueAtTime(0.08, now + after + 0.02);
    loudness.gain.exponentialRampToValueAtTime(0.0001, now + after + 0.5);
    note.connect(loudness).connect(context.destination);
    note.start(now + after);
    note.stop(now + after + 0.5);
  }
}

document.getElementById("floor").addEventListener("arrived", chime);
button.hidden = false;
button.addEventListener("click", async () => {
  /* The first tap after a reload wakes it; only a tap on what sounds already turns it off. */
  localStorage.setItem(KEY, wanted() && ready() ? "off" : "on");
  await start();
  chime();
});
addEventListener("pointerdown", (event) => {
  if (!button.contains(event.target) && wanted() && !ready()) start();
});
say();
