/* The camera: opened after the signature, one picture in flight, closed after the last movement.
   Pictures live in memory only and go to the store's own server only. What counts as a movement is
   said by the server, for each picture and again for all of them together. */

import { RequestError, signed } from "./device.js";
import { noteLight } from "./health.js";

const WIDTH = 640;
const HEIGHT = 480;
const QUALITY = 0.85;
/* At most four a second, and a person should see each good one counted. */
const PAUSE_MS = 250;
const AFTER_GOOD_MS = 700;

export const WANTED = 3;
/* Of a movement's pictures its beginning and its end are sent, so many each. */
const ENDS = 2;

/** Why there is no picture; `code` names the sentence. */
export class CameraError extends Error {
  constructor(code) {
    super(code);
    this.name = "CameraError";
    this.code = code;
  }
}

const REASONS = {
  NotAllowedError: "camera_refused",
  SecurityError: "camera_refused",
  NotFoundError: "camera_missing",
  OverconstrainedError: "camera_missing",
  DevicesNotFoundError: "camera_missing",
};

export class Camera {
  #stream = null;
  #turn = 0;

  constructor(video) {
    this.video = video;
    this.canvas = document.createElement("canvas");
    this.canvas.width = WIDTH;
    this.canvas.height = HEIGHT;
  }

  /** Stop at once: every track ends and the last picture is wiped. Safe to call at any time. */
  close() {
    this.#turn += 1;
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.video.srcObject = null;
    this.canvas.getContext("2d").clearRect(0, 0, WIDTH, HEIGHT);
  }

  /**
   * Open, guide, and collect. `paused()` holds the pictures back; `guide(look, count)` is told about
   * each. Then ask for the movements that are drawn for this attempt: `ask(act)` shows each; for
   * none when the person is to be `still`.
   * Resolves to { photos, challenge, frames }, pictures as JPEG blobs, or to null when it was closed
   * meanwhile. Throws CameraError, or the RequestError of device.js.
   */
  async collect({ attempt, still, opened, guide, paused, ask }) {
    this.close();
    const turn = this.#turn;
    const gone = () => turn !== this.#turn;
    const stream = await open();
    if (gone()) {
      for (const track of stream.getTracks()) track.stop();
      return null;
    }
    this.#stream = stream;
    let lost = false;
    for (const track of stream.getVideoTracks()) {
      track.addEventListener("ended", () => { lost = true; });
    }
    this.video.srcObject = stream;
    try {
      await this.video.play();
    } catch {
      if (gone()) return null;
      this.close();
      throw new CameraError("camera_busy");
    }
    opened();
    const held = () => paused() || document.hidden;
    const stopped = () => {
      if (lost) throw new CameraError("camera_lost");
      return gone();
    };
    try {
      const good = await this.#look({ guide, held, stopped });
      if (!good) return null;
      if (still) return { photos: good.photos, challenge: "", frames: [] };
      const challenge = await (await signed("/kiosk/challenge/", JSON.stringify({ attempt }))).json();
      if (stopped()) return null;
      const frames = await this.#watch(challenge, good.front, { guide, held, stopped, ask });
      if (!frames || gone()) return null;
      return { photos: good.photos, challenge: challenge.challenge, frames };
    } catch (error) {
      if (gone()) return null;
      throw error;
    } finally {
      if (!gone()) this.close();
    }
  }

  /** Three good pictures, and the five points of the first; null when it was closed meanwhile. */
  async #look({ guide, held, stopped }) {
    const photos = [];
    let front = null;
    while (photos.length < WANTED) {
      if (stopped()) return null;
      if (held()) {
        await wait(PAUSE_MS);
        continue;
      }
      const started = performance.now();
      const picture = await this.#picture();
      if (stopped()) return null;
      const look = await (await signed("/kiosk/look/", picture, "image/jpeg")).json();
      if (stopped()) return null;
      if (look.ok) {
        photos.push(picture);
        front ??= look.points;
      }
      guide(look, photos.length);
      await wait((look.ok ? AFTER_GOOD_MS : PAUSE_MS) - (performance.now() - started));
    }
    return { photos, front };
  }

  /** The movements, each from the front: what was seen of them; null when it was closed meanwhile. */
  async #watch({ acts, seconds }, front, { guide, held, stopped, ask }) {
    const began = performance.now();
    const kept = [];
    for (const [step, asked] of acts.flatMap((act) => ["front", act]).entries()) {
      ask(asked);
      const seen = [];
      for (let done = false; !done; ) {
        if (stopped()) return null;
        const at = (performance.now() - began) / 1000;
        if (at > seconds) throw new CameraError("act_missed");
        if (held()) {
          await wait(PAUSE_MS);
          continue;
        }
        const picture = await this.#picture();
        const photo = await toBase64(picture);
        const reply = await signed("/kiosk/act/", JSON.stringify({ asked, front, photo }));
        const look = await reply.json();
        if (stopped()) return null;
        if (look.stop) throw new RequestError(look.code, look.text, "camera", 422);
        if (look.code === "good") seen.push({ step, at, photo });
        guide(look.code === "good" ? null : look);
        done = look.done;
        if (!done) await wait(PAUSE_MS - (performance.now() - began - at * 1000));
      }
      kept.push(...seen.slice(0, ENDS), ...seen.slice(ENDS).slice(-ENDS));
    }
    return kept;
  }

  /** One frame, 640 by 480, cut to that shape and never stretched. */
  async #picture() {
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.max(WIDTH / videoWidth, HEIGHT / videoHeight);
    const width = WIDTH / scale;
    const height = HEIGHT / scale;
    this.canvas.getContext("2d").drawImage(
      this.video,
      (videoWidth - width) / 2, (videoHeight - height) / 2, width, height,
      0, 0, WIDTH, HEIGHT,
    );
    noteLight(this.canvas);
    const blob = await new Promise((done) => this.canvas.toBlob(done, "image/jpeg", QUALITY));
    if (!blob) throw new CameraError("camera_lost");
    return blob;
  }
}

/** The camera towards the person, about this large. Throws CameraError. */
export async function open(width = WIDTH, height = HEIGHT) {
  if (!navigator.mediaDevices?.getUserMedia) throw new CameraError("camera_refused");
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { width: { ideal: width }, height: { ideal: height }, facingMode: "user" },
    });
  } catch (error) {
    throw new CameraError(REASONS[error.name] ?? "camera_busy");
  }
}

function wait(milliseconds) {
  return new Promise((done) => setTimeout(done, Math.max(milliseconds, 0)));
}

/** The JPEG as base64 without a prefix. */
export async function toBase64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
}

