/* The language page: a page kept by the back button must not be the last person's, and no language
   leads anywhere while the network is away. */

import { guardLinks } from "./reach.js";

addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
guardLinks(() => {
  for (const line of document.querySelectorAll("[data-network]")) {
    line.textContent = line.dataset.network;
  }
});
