/** Where the server is: the socket's address, and what stands before the paths of REST. */

/** The endpoint of the server that the page came from. */
export function ownSocket(page) {
  const address = new URL("/api/ws/agent", page.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return address.href;
}

/** The origin of REST for a socket at `url`; "" on a page of that same origin. */
export function restBase(url, page = null) {
  const address = new URL(url);
  const origin = `${address.protocol === "wss:" ? "https:" : "http:"}//${address.host}`;
  return origin === page?.origin ? "" : origin;
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
