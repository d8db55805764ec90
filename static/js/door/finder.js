/* Whether a picture shows something like a QR code. It reads nothing: it only decides whether the
   tablet asks its server at all, so that nobody who walks by is ever sent anywhere.

   A code has three corner squares, and every line through the middle of one, at whatever angle,
   crosses dark, light, dark, light, dark in the ratio 1:1:3:1:1 (ISO/IEC 18004, finder pattern). */

const STEP = 3; /* rows */
const RATIO = [1, 1, 3, 1, 1];
const TOLERANCE = 0.6; /* of a module */
const LEAST_MODULE = 1.5; /* pixels */
const LEAST_CONTRAST = 40; /* of 255 */
const CORNERS = 3;
const HITS = 2;

/** `picture`: ImageData. */
export function looksLikeCode(picture) {
  const grey = toGrey(picture);
  const { width, height } = picture;
  const corners = [];
  for (let y = 0; y < height; y += STEP) {
    for (const { x, module } of acrossRow(grey, width, y)) {
      if (!alsoDown(grey, width, height, x, y, module)) continue;
      const known = corners.find((one) => Math.hypot(one.x - x, one.y - y) < 4 * module);
      if (known) known.hits += 1;
      else corners.push({ x, y, hits: 1 });
    }
  }
  return corners.filter((one) => one.hits >= HITS).length >= CORNERS;
}

function toGrey({ data, width, height }) {
  const grey = new Uint8Array(width * height);
  for (let i = 0; i < grey.length; i += 1) {
    grey[i] = (data[4 * i] * 77 + data[4 * i + 1] * 150 + data[4 * i + 2] * 29) >> 8;
  }
  return grey;
}

/** The middles of runs of pixels in that ratio, dark being darker than the row nearby. */
function acrossRow(grey, width, y) {
  const row = grey.subarray(y * width, (y + 1) * width);
  const sums = new Uint32Array(width + 1);
  for (let x = 0; x < width; x += 1) sums[x + 1] = sums[x] + row[x];
  const reach = width >> 4;
  const runs = [];
  let last = null;
  for (let x = 0; x < width; x += 1) {
    const from = Math.max(0, x - reach);
    const to = Math.min(width, x + reach + 1);
    const dark = row[x] * (to - from) < 0.95 * (sums[to] - sums[from]);
    if (last && last.dark === dark) last.length += 1;
    else runs.push((last = { dark, start: x, length: 1 }));
  }
  const found = [];
  for (let i = 0; i + 4 < runs.length; i += 1) {
    if (!runs[i].dark) continue;
    const five = runs.slice(i, i + 5);
    const module = five.reduce((sum, run) => sum + run.length, 0) / 7;
    if (module < LEAST_MODULE) continue;
    const fits = five.every((run, k) => Math.abs(run.length - RATIO[k] * module) < RATIO[k] * TOLERANCE * module);
    if (fits) found.push({ x: Math.round(five[2].start + five[2].length / 2), module });
  }
  return found;
}

/** Whether the column through the same middle crosses the same five. */
function alsoDown(grey, width, height, x, y, module) {
  const top = Math.max(0, Math.round(y - 5 * module));
  const bottom = Math.min(height - 1, Math.round(y + 5 * module));
  let least = 255;
  let most = 0;
  for (let at = top; at <= bottom; at += 1) {
    const value = grey[at * width + x];
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  if (most - least < LEAST_CONTRAST) return false;
  const middle = (least + most) / 2;
  const dark = (at) => grey[at * width + x] < middle;
  if (!dark(y)) return false;
  const halves = [-1, 1].map((way) => {
    const lengths = [];
    let at = y;
    for (const wanted of [true, false, true]) {
      const from = at;
      while (at >= top && at <= bottom && dark(at) === wanted) at += way;
      lengths.push(Math.abs(at - from));
    }
    return lengths;
  });
  const near = (length, modules) => Math.abs(length - modules * module) < Math.max(1.5, modules * TOLERANCE * module);
  return near(halves[0][0] + halves[1][0] - 1, 3) &&
    halves.every(([, light, ring]) => near(light, 1) && near(ring, 1));
}
