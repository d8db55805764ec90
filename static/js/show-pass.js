/* A telephone's picture of a pass is larger than its code needs: made smaller here, before it is sent,
   and with that rid of where and with what it was taken. What cannot be read goes as it is. */

const LONGEST = 2000;
const QUALITY = 0.9;
/* More than this the server does not read, and could not say so. */
const MOST_BYTES = 5_500_000;

/** Make the picture that a file input holds smaller, in its place. */
async function shrink(input) {
  const [file] = input.files;
  if (!file) return;
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  if (!blob) return;
  const one = new DataTransfer();
  one.items.add(new File([blob], "pass.jpg", { type: blob.type }));
  input.files = one.files;
}

/** Send the form of this input with a smaller picture. */
export function showPass(input) {
  const problem = document.querySelector("[data-too-large]");
  input.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await shrink(input);
    } catch {
      /* No picture, or one of another kind: the server says so. */
    }
    const fits = input.files[0].size <= MOST_BYTES;
    problem.hidden = fits;
    problem.textContent = fits ? "" : problem.dataset.tooLarge;
    if (fits) input.form.submit();
  });
}
