/* The sheet with the whole text opens and closes as at the kiosk; nothing else here does anything. */

document.addEventListener("click", (event) => {
  const { open, close } = event.target.closest("button")?.dataset ?? {};
  const dialog = document.getElementById("notice-dialog");
  if (open !== undefined) dialog.showModal();
  if (close !== undefined) dialog.close();
});
