/* The camera: opened after the signature, one picture in flight, closed at the third good one.
   Pictures live in memory only and go to the store's own server only. */

import { signed } from "./device.js";

const WIDTH = 640;
const HEIGHT = 480;
const QUALITY = 0.85;
/* At most four a second, and a person should see each good one counted. */
const PAUSE_MS = 250;
const AFTER_GOOD_MS = 700;

export const WANTED = 3;

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
   * each. Resolves to the good pictures as JPEG blobs, or to null when it was closed meanwhile.
   * Throws CameraError, or the RequestError of device.js.
   */
  async collect({ opened, guide, paused }) {
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
    const good = [];
    try {
      while (good.length < WANTED) {
        if (lost) throw new CameraError("camera_lost");
        if (gone()) return null;
        if (paused() || document.hidden) {
          await wait(PAUSE_MS);
          continue;
        }
        const started = performance.now();
        const picture = await this.#picture();
        if (gone()) return null;
        const look = await (await signed("/kiosk/look/", picture, "image/jpeg")).json();
        if (gone()) return null;
        if (look.ok) good.push(picture);
        guide(look, good.length);
        const pause = look.ok ? AFTER_GOOD_MS : PAUSE_MS;
        await wait(pause - (performance.now() - started));
      }
      return gone() ? null : good;
    } catch (error) {
      if (gone()) return null;
      throw error;
    } finally {
      if (!gone()) this.close();
    }
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

