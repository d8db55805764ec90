/* One signature: drawn in the box, or a typed name for whoever cannot draw. */

import { Pad } from "./pad.js";

export class Signing {
  #node;
  #pad;
  #name;
  #changed;

  /** `node` holds the box and what is shown instead; `name` is the field of the typed name. */
  constructor(node, name, changed) {
    this.#node = node;
    this.#name = name;
    this.#changed = changed;
    this.#pad = new Pad(node.querySelector("canvas"), () => this.#update());
    this.typed = false;
    name.addEventListener("input", changed);
    node.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if ("clear" in button.dataset) this.#pad.clear();
      if ("type" in button.dataset) this.#choose(true);
      if ("draw" in button.dataset) this.#choose(false);
    });
  }

  /** What is sent: strokes, or an object with the name. */
  get value() {
    return this.typed ? { name: this.#name.value.trim() } : this.#pad.strokes;
  }

  /** The name of the sentence about what is still missing, or nothing. */
  get missing() {
    if (this.typed) return this.#name.value.trim() ? "" : "full_name_missing";
    if (this.#pad.empty) return "signature_missing";
    return this.#pad.tooShort ? "signature_short" : "";
  }

  /** Forget what was signed; the way of signing stays. */
  clear() {
    if (this.#node.contains(this.#name)) this.#name.value = "";
    this.#pad.clear();
  }

  /** As for the next person. */
  reset() {
    this.clear();
    this.#choose(false);
  }

  #choose(typed) {
    this.typed = typed;
    this.#pad.clear();
    this.#node.querySelector("[data-drawn]").hidden = typed;
    this.#node.querySelector("[data-typed]").hidden = !typed;
    if (typed && this.#node.contains(this.#name)) this.#name.focus();
  }

  #update() {
    this.#node.querySelector("[data-clear]").disabled = this.#pad.empty;
    this.#changed();
  }
}
