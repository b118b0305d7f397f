/*
 * The service worker of the chat page: keeps its files, so that it opens at once, and without a network.
 *
 * A classic script, served as /worker.js. The server puts `const SHELL = {version, tag, bundled, files}` before it:
 * `files` are the addresses of all that the chat page needs with their ETags. Nothing of a user is ever kept: answers of the
 * API pass by untouched. Notices that the page shows are clicked here, as the page may be closed by then.
 *
 * `version` is a hash of the files, `tag` (the worker's ETag) also of the headers that the server sends with them. Workers
 * of one version share a cache, so the newest headers are those of the next page that is opened. A message to a worker is
 * answered with {version, tag}, if it brings a port.
 *
 * A bundle is opened from the cache. A newer version waits until the user asks for it, or until a single tab opens the
 * page again. The modules of a checkout are compared with the server's first, and taken from it if they differ.
 */
/* global SHELL */

const PREFIX = "understudy-";
const CACHE = PREFIX + SHELL.version;
const KEPT_CACHES = 2; // this version's, and the last one's for tabs that still show it
const CHECK_MS = 1_000; // a server that does not answer within this is treated as away
const ROOT = new URL(".", self.location.href).pathname.slice(0, -1); // "", or "/chat" where a proxy gives the server a path
const ANYHOW = { ignoreVary: true }; // one browser, one origin: the forms of a file differ in nothing but compression

let outdated = false; // a checkout has changed: its server is asked for everything until the next version is here

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", ({ data, ports }) => {
  if (data === "activate") self.skipWaiting();
  ports[0]?.postMessage({ version: SHELL.version, tag: SHELL.tag });
});
self.addEventListener("notificationclick", (event) => event.waitUntil(opened(event.notification)));
self.addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== self.location.origin) return;
  if (mode === "navigate" && pathname === `${ROOT}/`) event.respondWith(page(event));
  else if (pathname.startsWith(`${ROOT}/page/`) && !outdated) event.respondWith(file(event.request));
});

async function install() {
  const cache = await caches.open(CACHE);
  await Promise.all(Object.entries(SHELL.files).map(async ([path, tag]) => {
    const answer = await fetch(ROOT + path, { cache: path.startsWith("/page/bundle/") ? "default" : "no-cache" });
    const found = answer.headers.get("ETag");
    if (!answer.ok || (found !== null && !found.includes(tag))) throw new Error(`${path}: ${answer.status} ${found}, ${tag}`);
    await cache.put(ROOT + path, answer);
  }));
  if (!SHELL.bundled) await self.skipWaiting();
}

async function activate() {
  const others = (await versions()).filter((name) => name !== CACHE);
  await Promise.all(others.slice(0, others.length - (KEPT_CACHES - 1)).map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** The page itself, from the cache: of the newer version that waits, if no other tab shows this one. */
async function page(event) {
  const { waiting } = self.registration;
  const alone = waiting && (await self.clients.matchAll({ type: "window" })).length < 2;
  const told = alone ? toldBy(waiting) : null;
  const checked = check();
  if (SHELL.bundled) event.waitUntil(checked);
  else outdated = await checked;
  const newest = await told;
  const cache = await caches.open(newest ? PREFIX + newest.version : CACHE);
  const kept = outdated ? null : await cache.match(`${ROOT}/`, ANYHOW);
  if (newest) waiting.postMessage("activate"); // last: it stops this worker
  return kept || fetch(event.request);
}

/** The {version, tag} of another worker, null if it does not say them in time. */
function toldBy(worker) {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve(data);
    setTimeout(() => resolve(null), CHECK_MS);
    worker.postMessage("version", [port2]);
  });
}

/** The names of all versions' caches, the one that was made last at the end. */
async function versions() {
  return (await caches.keys()).filter((name) => name.startsWith(PREFIX));
}

/** A file of this version; of a bundle also one that only a page of another version names. */
async function file(request) {
  const own = await (await caches.open(CACHE)).match(request, ANYHOW);
  return own || (SHELL.bundled && (await caches.match(request, ANYHOW))) || fetch(request);
}

/** Shows the chat of a notice: in a tab that is open, or in a new one. */
async function opened(notice) {
  notice.close();
  const address = `${self.registration.scope}#${encodeURIComponent(notice.data.thread_id)}`;
  const [page] = await self.clients.matchAll({ type: "window" });
  if (!page) return self.clients.openWindow(address);
  await page.focus();
  return page.navigate(address);
}

/** Whether the server has other files or headers. One that has no worker any more gets rid of this one. */
async function check() {
  try {
    const answer = await fetch(`${ROOT}/worker.js`, { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(CHECK_MS) });
    if (answer.status === 404) await self.registration.unregister();
    return answer.status === 404 || (answer.ok && !answer.headers.get("ETag")?.includes(SHELL.tag));
  } catch {
    return false; // no network: what is kept is what there is
  }
}
