/* A sign of life each minute: which version of its page this tablet shows, and how its camera is.
   Nothing of anybody. A tablet that was stopped hears it here, and shows its first page again. */

import { signed } from "./device.js";
import { report } from "./health.js";

const BEAT_MS = 60_000;
const HOME = "/kiosk/";

async function beat() {
  try {
    await signed("/kiosk/here/", JSON.stringify(await report()));
  } catch (error) {
    if (error.code === "device" && error.status === 403) location.replace(HOME);
  }
}

beat();
setInterval(beat, BEAT_MS);
