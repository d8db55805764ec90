/* Hears within a second that this tablet was stopped: a stream that says one word. Where it breaks,
   the signs of life still tell. */

const RETRY_MS = 5_000;

/** Call `act` once the tablet of this kind may no longer work. */
export function whenStopped(kind, act) {
  const source = new EventSource(`/${kind}/stopped/`);
  source.addEventListener("stopped", () => {
    source.close();
    act();
  });
  /* The browser comes back by itself after a lost line, and not after an answer that was an error. */
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => whenStopped(kind, act), RETRY_MS);
  });
  addEventListener("pagehide", () => source.close());
}
