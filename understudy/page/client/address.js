/** The addresses of the server: of its socket, and the origin and path before the paths of REST. */

const SOCKET = "/api/ws/agent";

/**
 * What stands before the paths of the server that the page came from: "", or "/chat" where a proxy gives it a path. This
 * module tells, as the server has it, and all others of its pages, below /page/.
 */
export const ROOT = rootOf(import.meta.url ?? "");

/** The path before /page/ in the address of a module of the pages; "" for one that is elsewhere. */
export function rootOf(module) {
  const at = module.lastIndexOf("/page/");
  return at < 0 || !module.startsWith("http") ? "" : new URL(module.slice(0, at + 1)).pathname.slice(0, -1);
}

/** The endpoint of the server that the page came from, whose paths begin with `root`. */
export function ownSocket(page, root = ROOT) {
  const address = new URL(root + SOCKET, page.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return address.href;
}

/** Returns the prefix of REST paths for a socket at `url`: its origin, or "" if the page has the same one, and its path. */
export function restBase(url, page = null) {
  const address = new URL(url);
  const origin = `${address.protocol === "wss:" ? "https:" : "http:"}//${address.host}`;
  const path = address.pathname.endsWith(SOCKET) ? address.pathname.slice(0, -SOCKET.length) : "";
  return (origin === page?.origin ? "" : origin) + path;
}

/** Decode a part of an address; unchanged if it is not valid percent-encoding, such as "%". */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Whether an address is one of the web, to which a browser may be sent. */
export function isWeb(url) {
  return /^https?:/.test(url ?? "");
}

/** Leaves the page at the end of a session: for where an identity provider signs the user out too, or for one of nobody. */
export function leaveAtEnd(url) {
  if (isWeb(url)) {
    location.replace(url);
    return;
  }
  history.replaceState(null, "", location.pathname);
  location.reload();
}
