/* Draws a camera's zone: corners as buttons over a canvas, moved by pointer or by keyboard. The
   numbers in the form are what is saved; without this script they are typed. The picture goes from
   the answer to the canvas and nowhere else. */

const page = document.querySelector(".zone");
const stage = page.querySelector(".stage");
const canvas = stage.querySelector("canvas");
const handles = stage.querySelector(".handles");
const said = page.querySelector(".zone-said");
const form = page.querySelector("#zone");
const rows = form.querySelector("tbody");
const stillForm = page.querySelector("#still");
const tools = page.querySelector(".zone-tools");
const words = page.dataset;
const most = Number(words.most);

let corners = read();
let picture = null;
const before = [];

/* Numbers: percent in the form, 0 to 1 here. */
function read() {
  const inputs = [...rows.querySelectorAll("tr")].map((row) => row.querySelectorAll("input"));
  return inputs
    .filter(([x, y]) => x.value !== "" && y.value !== "")
    .map(([x, y]) => [within(x.valueAsNumber / 100), within(y.valueAsNumber / 100)]);
}

function within(value) {
  return Math.min(1, Math.max(0, Math.round(value * 1000) / 1000 || 0));
}

const percent = (value) => (value * 100).toFixed(1);

function nameOf([x, y], number) {
  return words.corner
    .replace("%n", number + 1)
    .replace("%x", Math.round(x * 100))
    .replace("%y", Math.round(y * 100));
}

/* What is drawn. */
function show() {
  drawCanvas();
  showHandles();
  showRows();
  tools.querySelector("[data-do=undo]").disabled = before.length === 0;
  tools.querySelector("[data-do=clear]").disabled = corners.length === 0;
  tools.querySelector("[data-do=add]").disabled = corners.length >= most;
  stage.classList.toggle("is-crossed", crossesItself());
  if (crossesItself() || said.textContent === words.crossed) say("");
}

function drawCanvas() {
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  const style = getComputedStyle(stage);
  pen.clearRect(0, 0, width, height);
  if (picture) pen.drawImage(picture, 0, 0, width, height);
  if (corners.length === 0) return;
  const edge = new Path2D();
  for (const [x, y] of corners) edge.lineTo(x * width, y * height);
  edge.closePath();
  if (corners.length > 2) {
    const outside = new Path2D(edge);
    outside.rect(0, 0, width, height);
    pen.fillStyle = style.getPropertyValue("--veil");
    pen.fill(outside, "evenodd");
  }
  // A light line around a coloured one is seen on any picture.
  const thin = width / canvas.clientWidth || 1;
  for (const [colour, thickness] of [["--accent-ink", 7], ["--accent", 3]]) {
    pen.strokeStyle = style.getPropertyValue(colour);
    pen.lineWidth = thickness * thin;
    pen.lineJoin = "round";
    pen.stroke(edge);
  }
}

function showHandles() {
  while (handles.children.length > corners.length) handles.lastChild.remove();
  while (handles.children.length < corners.length) handles.append(newHandle());
  corners.forEach((corner, number) => {
    const handle = handles.children[number];
    handle.style.left = `${corner[0] * 100}%`;
    handle.style.top = `${corner[1] * 100}%`;
    handle.textContent = number + 1;
    handle.setAttribute("aria-label", nameOf(corner, number));
  });
}

function newHandle() {
  const handle = document.createElement("button");
  handle.type = "button";
  handle.className = "handle";
  handle.dataset.testid = "handle";
  return handle;
}

function showRows() {
  const filled = Math.max(corners.length, 3);
  while (rows.children.length > filled) rows.lastElementChild.remove();
  while (rows.children.length < filled) rows.append(rows.lastElementChild.cloneNode(true));
  [...rows.children].forEach((row, number) => {
    row.querySelector("th").textContent = number + 1;
    row.querySelectorAll("input").forEach((input, axis) => {
      const label = input.getAttribute("aria-label");
      input.setAttribute("aria-label", label.replace(/\d+/, number + 1));
      const value = corners[number] ? percent(corners[number][axis]) : "";
      if (document.activeElement !== input) input.value = value;
    });
  });
}

/* A fault that stands is more important than what was just done. */
function say(text, bad = false) {
  const crossed = crossesItself();
  said.textContent = crossed ? words.crossed : text;
  said.classList.toggle("is-bad", crossed || bad);
}

/* What changes. */
function remember() {
  before.push(corners.map((corner) => [...corner]));
  if (before.length > 100) before.shift();
}

function move(number, x, y) {
  corners[number] = [within(x), within(y)];
  show();
}

function add(x, y) {
  if (corners.length >= most) return say(words.many, true);
  remember();
  const place = corners.length < 3 ? corners.length : nearestEdge(x, y) + 1;
  corners.splice(place, 0, [within(x), within(y)]);
  show();
  handles.children[place].focus();
  say(nameOf(corners[place], place));
}

function remove(number) {
  remember();
  corners.splice(number, 1);
  show();
  (handles.children[Math.min(number, corners.length - 1)] ?? tools.querySelector("button")).focus();
  say(words.removed.replace("%n", corners.length));
}

function addByKeyboard() {
  if (corners.length < 3) {
    const start = [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8]];
    return add(...start[corners.length]);
  }
  const lengths = edges().map(([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]));
  const [a, b] = edges()[lengths.indexOf(Math.max(...lengths))];
  return add((a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
}

const edges = () => corners.map((a, i) => [a, corners[(i + 1) % corners.length]]);

function nearestEdge(x, y) {
  const distances = edges().map(([a, b]) => {
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    const along = ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy || 1);
    const t = Math.min(1, Math.max(0, along));
    return Math.hypot(a[0] + t * dx - x, a[1] + t * dy - y);
  });
  return distances.indexOf(Math.min(...distances));
}

function crossesItself() {
  const side = (a, b, c) => Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
  const meet = ([a, b], [c, d]) =>
    side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;
  const all = edges();
  return all.some((one, i) => all.some((other, j) => j > i + 1 && meet(one, other)));
}

/* By pointer. */
function placeOf(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

let dragged = null;

handles.addEventListener("pointerdown", (event) => {
  const number = [...handles.children].indexOf(event.target);
  if (number < 0) return;
  remember();
  dragged = number;
  event.target.setPointerCapture(event.pointerId);
});
handles.addEventListener("pointermove", (event) => {
  if (dragged !== null) move(dragged, ...placeOf(event));
});
for (const end of ["pointerup", "pointercancel"]) {
  handles.addEventListener(end, () => {
    if (dragged !== null) say(nameOf(corners[dragged], dragged));
    dragged = null;
  });
}
canvas.addEventListener("click", (event) => add(...placeOf(event)));

/* By keyboard. */
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

handles.addEventListener("keydown", (event) => {
  const number = [...handles.children].indexOf(event.target);
  if (number < 0) return;
  if (event.key === "Delete" || event.key === "Backspace") {
    event.preventDefault();
    remove(number);
  } else if (STEPS[event.key]) {
    event.preventDefault();
    remember();
    const far = event.shiftKey ? 0.05 : 0.01;
    const [x, y] = STEPS[event.key];
    move(number, corners[number][0] + x * far, corners[number][1] + y * far);
    say(nameOf(corners[number], number));
  }
});

tools.addEventListener("click", (event) => {
  const what = event.target.dataset.do;
  if (what === "add") addByKeyboard();
  if (what === "undo" && before.length) {
    corners = before.pop();
    show();
  }
  if (what === "clear") {
    remember();
    corners = [];
    show();
    say(words.removed.replace("%n", 0));
  }
});

rows.addEventListener("change", (event) => {
  const pair = [...event.target.closest("tr").querySelectorAll("input")];
  // A corner of which only one number is written yet is left alone.
  if (pair.some((input) => input.value === "") && pair.some((input) => input.value !== "")) return;
  remember();
  corners = read();
  show();
});

form.addEventListener("submit", (event) => {
  const few = corners.length > 0 && corners.length < 3;
  if (few || crossesItself()) {
    event.preventDefault();
    say(few ? words.few : words.crossed, true);
  }
});

/* The picture. */
stillForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = stillForm.querySelector("button");
  button.disabled = true;
  say(words.waiting);
  try {
    const answer = await fetch(stillForm.action, { method: "POST", body: new FormData(stillForm) });
    if (!answer.ok) {
      const told = answer.headers.get("Content-Type")?.startsWith("text/plain");
      say(told ? await answer.text() : words.failed, true);
      return;
    }
    picture?.close();
    picture = await createImageBitmap(await answer.blob());
    canvas.width = picture.width;
    canvas.height = picture.height;
    stage.classList.add("has-picture");
    say(words.shown);
    show();
  } catch {
    say(words.failed, true);
  } finally {
    button.disabled = false;
  }
});

for (const hidden of page.querySelectorAll(".stage, .zone-how, .zone-tools")) hidden.hidden = false;
new ResizeObserver(drawCanvas).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCanvas);
show();
