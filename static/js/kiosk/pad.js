/* The box to sign in. Keeps the drawn line alone: points from 0 to 1, in the order they were drawn.
   It reads neither time nor pressure, because those would be biometrics themselves. */

const MIN_POINTS = 8;
const MAX_POINTS = 4_000;
/* In widths of the box: shorter is a dot or a slip. The server asks for the same. */
const MIN_LENGTH = 0.15;
const MIN_STEP = 0.003;

export class Pad {
  #strokes = [];
  #open = null;
  #pointer = null;

  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#extend(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.#end(event));
    }
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** What was drawn: strokes of [x, y] points, each 0..1 of the box's width and height. */
  get strokes() {
    return this.#strokes.map((stroke) => stroke.map((point) => [...point]));
  }

  get empty() {
    return this.#strokes.length === 0;
  }

  get tooShort() {
    return this.#points() < MIN_POINTS || this.#length() < MIN_LENGTH;
  }

  clear() {
    this.#strokes = [];
    this.#open = null;
    this.#draw();
    this.changed();
  }

  #begin(event) {
    if (this.#pointer !== null || event.button !== 0) return;
    event.preventDefault();
    this.#pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.#open = [this.#point(event)];
    this.#strokes.push(this.#open);
    this.#draw();
    this.changed();
  }

  #extend(event) {
    if (event.pointerId !== this.#pointer || !this.#open) return;
    const batch = event.getCoalescedEvents?.() ?? [];
    for (const moved of batch.length ? batch : [event]) {
      const point = this.#point(moved);
      const last = this.#open.at(-1);
      const step = Math.hypot(point[0] - last[0], point[1] - last[1]);
      if (step >= MIN_STEP && this.#points() < MAX_POINTS) this.#open.push(point);
    }
    this.#draw();
  }

  #end(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    this.#open = null;
    this.changed();
  }

  #point(event) {
    const box = this.canvas.getBoundingClientRect();
    const within = (value) => Math.round(Math.min(Math.max(value, 0), 1) * 10_000) / 10_000;
    return [
      within((event.clientX - box.left) / box.width),
      within((event.clientY - box.top) / box.height),
    ];
  }

  #points() {
    return this.#strokes.reduce((sum, stroke) => sum + stroke.length, 0);
  }

  #length() {
    let length = 0;
    for (const stroke of this.#strokes) {
      for (let i = 1; i < stroke.length; i += 1) {
        length += Math.hypot(stroke[i][0] - stroke[i - 1][0], stroke[i][1] - stroke[i - 1][1]);
      }
    }
    return length;
  }

  #draw() {
    const { canvas } = this;
    const { width, height } = canvas.getBoundingClientRect();
    if (!width) return;
    const scale = devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const ink = canvas.getContext("2d");
    ink.scale(scale, scale);
    ink.lineWidth = 4;
    ink.lineCap = ink.lineJoin = "round";
    ink.strokeStyle = getComputedStyle(canvas).color;
    for (const stroke of this.#strokes) {
      ink.beginPath();
      ink.moveTo(stroke[0][0] * width, stroke[0][1] * height);
      for (const [x, y] of stroke) ink.lineTo(x * width, y * height);
      ink.stroke();
    }
  }
}
