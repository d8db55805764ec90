/* How this tablet fares, in two words: the version of its page, and its camera's state. */

const VERSION = document.querySelector('meta[name="version"]')?.content ?? "";
const PLACE = "camera-dark";
/* Of 255, on average: below it a lens is covered; a dim room has more. */
const BLACK = 8;
const SIDE = 16;
const small = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });

/** Remember whether a picture, a canvas, was black. It is looked at as a few grey squares. */
export function noteLight(picture) {
  const paint = small.getContext("2d", { willReadFrequently: true });
  paint.drawImage(picture, 0, 0, SIDE, SIDE);
  const { data } = paint.getImageData(0, 0, SIDE, SIDE);
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
  paint.clearRect(0, 0, SIDE, SIDE);
  if (sum / (3 * SIDE * SIDE) < BLACK) sessionStorage.setItem(PLACE, "yes");
  else sessionStorage.removeItem(PLACE);
}

/** What a sign of life says: { version, camera }. */
export async function report() {
  return { version: VERSION, camera: await camera() };
}

async function camera() {
  /* Not every browser can be asked. */
  const asked = await navigator.permissions?.query({ name: "camera" }).catch(() => null);
  if (asked?.state === "denied" || !navigator.mediaDevices) return "denied";
  const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  if (!devices.some(({ kind }) => kind === "videoinput")) return "none";
  return sessionStorage.getItem(PLACE) ? "dark" : "ok";
}
