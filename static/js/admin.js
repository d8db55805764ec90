/* Names the controls that Django's admin leaves without a label (inline rows, editable lists, split
   dates, autocompletes), from the words already on the page. It changes no value. */

const words = (node) => node?.textContent.replace(/\s+/g, " ").replace(/:\s*$/, "").trim() ?? "";

function nameOf(control) {
  const cell = control.closest("td");
  const row = control.closest("tr");
  if (cell && row) {
    const head = row.closest("table")?.tHead?.rows;
    const title = head?.length ? head[head.length - 1].cells[cell.cellIndex] : null;
    const text = title?.querySelector(".text") ?? title;
    return [words(text), words(row.querySelector("th, .original p"))].filter(Boolean).join(", ");
  }
  const label = control.closest(".form-row, .fieldBox")?.querySelector("label, legend");
  const before = control.previousSibling?.textContent?.trim();
  return [words(label), before?.replace(/:$/, "")].filter(Boolean).join(", ");
}

function label(root) {
  const controls = "input:not([type=hidden], [type=submit], [type=button]), select, textarea";
  for (const control of root.querySelectorAll(controls)) {
    if (control.labels?.length || control.hasAttribute("aria-label")) continue;
    const name = nameOf(control);
    if (name) control.setAttribute("aria-label", name);
  }
  for (const box of root.querySelectorAll(".select2-selection")) {
    const select = box.closest(".related-widget-wrapper, .form-row")?.querySelector("select");
    const name = words(select?.labels?.[0]) || select?.getAttribute("aria-label");
    if (!name) continue;
    box.setAttribute("aria-label", name);
    box.querySelector(".select2-selection__rendered")?.setAttribute("aria-label", name);
  }
  for (const tip of root.querySelectorAll("span.help-tooltip[aria-label]")) tip.role = "img";
  for (const head of root.querySelectorAll("th.original:empty")) {
    const name = document.createElement("span");
    name.className = "visually-hidden";
    name.textContent = words(head.closest("fieldset, .inline-group")?.querySelector("h2"));
    head.append(name);
  }
}

/* Rows and autocompletes that the admin adds later are named as they appear. */
let waiting = false;
new MutationObserver(() => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    label(document);
  });
}).observe(document.body, { childList: true, subtree: true });
label(document);
