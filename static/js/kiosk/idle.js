/* Sixty seconds without a touch clear everything. After forty, one big button asks for more time;
   it can be tapped as often as the person likes. */

const ASK_AFTER_MS = 40_000;
const COUNTDOWN_S = 20;
const SIGNS_OF_LIFE = ["pointerdown", "keydown", "input", "wheel"];

/** Watch for touches; `leave` is called once nobody answered, and never while `busy()`. */
export function watch(dialog, leave, busy) {
  const seconds = dialog.querySelector("[data-seconds]");
  let asking = 0;
  let ticking = 0;

  function rest() {
    clearTimeout(asking);
    clearInterval(ticking);
    asking = setTimeout(ask, ASK_AFTER_MS);
  }

  function ask() {
    if (busy()) return rest();
    const end = performance.now() + COUNTDOWN_S * 1000;
    seconds.textContent = String(COUNTDOWN_S);
    dialog.showModal();
    ticking = setInterval(() => {
      const left = Math.ceil((end - performance.now()) / 1000);
      seconds.textContent = String(Math.max(left, 0));
      if (left > 0) return;
      clearInterval(ticking);
      dialog.close();
      if (!busy()) leave();
    }, 250);
  }

  /* While the question stands, only its own button counts (and Escape, which closes it too). */
  function alive() {
    if (!dialog.open) rest();
  }

  for (const sign of SIGNS_OF_LIFE) addEventListener(sign, alive, { capture: true, passive: true });
  dialog.addEventListener("close", rest);
  rest();
}
