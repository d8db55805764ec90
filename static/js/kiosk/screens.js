/* One screen at a time. Shows it, moves the focus to its heading, and holds its buttons back for a
   moment, so that a double tap cannot answer two questions. */

const SETTLE_MS = 350;

const screens = new Map(
  [...document.querySelectorAll("section[data-screen]")].map((node) => [node.dataset.screen, node]),
);
let current = "notice";
let settling = 0;

export function screen(name) {
  return screens.get(name);
}

export function shown() {
  return current;
}

/** Show a screen, with what went wrong if something did. */
export function show(name, problem = "") {
  for (const [key, node] of screens) node.hidden = key !== name;
  current = name;
  const node = screens.get(name);
  settle(node);
  clearProblem(node);
  scrollTo(0, 0);
  node.querySelector("h1").focus({ preventScroll: true });
  if (problem) tell(name, problem);
}

/** Say what went wrong on a screen; it is read out at once. */
export function tell(name, problem) {
  const line = screens.get(name).querySelector("[data-problem]");
  line.textContent = problem;
  line.scrollIntoView({ block: "nearest" });
}

export function clearProblem(node) {
  const line = node.querySelector("[data-problem]");
  if (line) line.textContent = "";
}

function settle(node) {
  clearTimeout(settling);
  const buttons = [...document.querySelectorAll(".actions")];
  for (const group of buttons) group.inert = node.contains(group);
  settling = setTimeout(() => {
    for (const group of buttons) group.inert = false;
  }, SETTLE_MS);
}
