/* The sentences the scripts say. They stand in the page's <template id="words">, translated there. */

const words = document.getElementById("words").content;

/** The sentence of that name, or the name itself where a translator forgot one. */
export function say(name) {
  return words.querySelector(`[data-word="${name}"]`)?.textContent ?? name;
}
