/* A tablet's own key and its signed requests. The private key is made here, cannot be exported,
   and lies in this browser's IndexedDB; the server knows only the public half.

   A request is signed over a nonce that works once. Each reply brings the next one, so requests go
   out one after the other, never two at a time. */

const DATABASE = "consentry";
const SHELF = "device";
/* Which tablet this page belongs to, a kiosk or a door. One browser may be one of each, in a demo;
   each has its own key and its own addresses. */
const KIND = document.querySelector('meta[name="tablet"]')?.content ?? "kiosk";
const PLACE = KIND === "kiosk" ? "self" : KIND;
const CURVE = { name: "ECDSA", namedCurve: "P-256" };
/* The server forgets a nonce after 120 s; one that waited longer than this is not worth sending. */
const NONCE_MS = 90_000;
const PATIENCE_MS = 30_000;

/** A refusal or a failure, with what to tell the person and the step to return to. */
export class RequestError extends Error {
  constructor(code, text = "", step = "", status = 0) {
    super(code);
    this.name = "RequestError";
    this.code = code;
    this.text = text;
    this.step = step;
    this.status = status;
  }
}

let nonce = null;
let queue = Promise.resolve();

/** Make this tablet's key and bind it to the one-time code. Throws RequestError. */
export async function enroll(code) {
  if (!globalThis.crypto?.subtle) throw new RequestError("insecure");
  const keys = await crypto.subtle.generateKey(CURVE, false, ["sign", "verify"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", keys.publicKey);
  const reply = await request(`/${KIND}/enroll/`, JSON.stringify({ code, jwk: { kty, crv, x, y } }), {
    "Content-Type": "application/json",
    "X-CSRFToken": csrf(),
  });
  const { device, store } = await reply.json();
  await keep({ device, key: keys.privateKey });
  return { device, store };
}

/** POST a body that the tablet signs; resolves to the Response. Throws RequestError. */
export function signed(path, body, contentType = "application/json") {
  const turn = queue.then(() => sendSigned(path, body, contentType));
  queue = turn.catch(() => {});
  return turn;
}

async function sendSigned(path, body, contentType) {
  const self = await kept();
  if (!self) throw new RequestError("device");
  const bytes = await toBytes(body);
  try {
    return await sendOnce(self, path, bytes, contentType, await takeNonce());
  } catch (error) {
    /* Its nonce died before it arrived, so the server has done nothing with it: once more. */
    if (error.code !== "replayed") throw error;
    nonce = null;
    return sendOnce(self, path, bytes, contentType, await takeNonce());
  }
}

async function sendOnce(self, path, bytes, contentType, once) {
  const digest = hex(await crypto.subtle.digest("SHA-256", bytes));
  const message = new TextEncoder().encode(`${once}\nPOST\n${path}\n${digest}`);
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, self.key, message);
  return request(path, bytes, {
    "Content-Type": contentType,
    "Consentry-Device": self.device,
    "Consentry-Nonce": once,
    "Consentry-Signature": base64url(signature),
  });
}

async function takeNonce() {
  const ready = nonce;
  nonce = null;
  if (ready && performance.now() - ready.at < NONCE_MS) return ready.value;
  const reply = await request(`/${KIND}/nonce/`, "{}", {
    "Content-Type": "application/json",
    "X-CSRFToken": csrf(),
  });
  return (await reply.json()).nonce;
}

async function request(path, body, headers) {
  let reply;
  try {
    reply = await fetch(path, {
      method: "POST",
      body,
      headers: { ...headers, "Consentry-Language": document.documentElement.lang },
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new RequestError("offline");
  }
  const next = reply.headers.get("Consentry-Nonce");
  if (next) nonce = { value: next, at: performance.now() };
  if (reply.ok) return reply;
  const told = (await reply.json().catch(() => null))?.error;
  if (!told) throw new RequestError("offline", "", "", reply.status);
  throw new RequestError(told.code, told.text, told.step, reply.status);
}

function csrf() {
  return document.querySelector('input[name="csrfmiddlewaretoken"]')?.value ?? "";
}

async function toBytes(body) {
  if (body instanceof Blob) return new Uint8Array(await body.arrayBuffer());
  return new TextEncoder().encode(body);
}

function hex(buffer) {
  return [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function base64url(buffer) {
  const text = btoa(String.fromCharCode(...new Uint8Array(buffer)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function open() {
  return new Promise((resolve, reject) => {
    const asking = indexedDB.open(DATABASE, 1);
    asking.onupgradeneeded = () => asking.result.createObjectStore(SHELF);
    asking.onsuccess = () => resolve(asking.result);
    asking.onerror = () => reject(asking.error);
  });
}

async function shelf(mode, work) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(SHELF, mode);
      const asking = work(transaction.objectStore(SHELF));
      transaction.oncomplete = () => resolve(asking.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

function keep(self) {
  return shelf("readwrite", (store) => store.put(self, PLACE));
}

function kept() {
  return shelf("readonly", (store) => store.get(PLACE)).catch(() => null);
}
