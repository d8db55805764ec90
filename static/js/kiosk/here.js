/* A sign of life each minute: which version of its page this tablet shows, and how its camera is.
   Nothing of anybody. A tablet that was stopped hears it here too, when its stream is broken. */

import { signed } from "./device.js";
import { report } from "./health.js";
import { whenStopped } from "./stopped.js";

const BEAT_MS = 60_000;

/** The server knows which page this tablet is to show now; leaving this one, its camera closes. */
function afresh() {
  location.reload();
}

async function beat() {
  try {
    await signed("/kiosk/here/", JSON.stringify(await report()));
  } catch (error) {
    if (error.code === "device" && error.status === 403) afresh();
  }
}

whenStopped("kiosk", afresh);
beat();
setInterval(beat, BEAT_MS);
