/* The language page: a page kept by the back button must not be the last person's. */

addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
