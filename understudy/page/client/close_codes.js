/** Close codes: whether to reconnect, and the sentence for the user if not. */

const COME_BACK = new Set([1001, 1005, 1006, 1011, 1012, 1013, 4408, 4429]);

const SENTENCES = Object.freeze({
  1000: "The server ended this connection.",
  1008: "The server refused this connection.",
  1009: "A message was larger than this server accepts.",
  4400: "The server did not understand this page; reload it.",
  4403: "This session is not allowed to connect.",
  4429: "This chat is open in too many places; close another tab.",
});

/** {retry, renew, atLeast (ms), sentence}: `renew` asks for a newer token first. */
export function afterClose(code) {
  return {
    retry: COME_BACK.has(code) || code === 4401,
    renew: code === 4401,
    atLeast: code === 4429 ? 10_000 : 0,
    sentence: SENTENCES[code] ?? "The server closed the connection.",
  };
}

const FIRST_MS = 300;
const CAP_MS = 30_000;

/** Milliseconds to wait before attempt `attempt` (from 0): doubling, capped, and jittered over its upper half. */
export function backoff(attempt, random = Math.random) {
  const ceiling = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return ceiling / 2 + random() * (ceiling / 2);
}

/** The subprotocols offered: the dialect, and the token where no address or log can show it. */
export function subprotocols(token) {
  const bytes = new TextEncoder().encode(token);
  const encoded = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return ["understudy.v1", `jwt.${encoded}`];
}
