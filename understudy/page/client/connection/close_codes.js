/** Close codes: whether and when to reconnect, and the sentence for the user if not at once. */

import { t } from "../messages.js";

const STAY_AWAY = new Set([4400, 4403]); // only this server gives these; whatever else closes a socket may be a proxy, and pass
const PAUSE = new Set([1002, 1003, 1007, 1008, 1009, 1010, 4429]); // what was sent may be the reason, and be sent again
const PAUSE_MS = 10_000;

const SENTENCES = Object.freeze({
  1008: "close.refused",
  1009: "close.too_large",
  4400: "close.not_understood",
  4403: "close.not_allowed",
  4429: "close.too_many",
});

/** {retry, renew, atLeast (ms), sentence}: `renew` asks for a newer token first. */
export function afterClose(code) {
  return {
    retry: !STAY_AWAY.has(code),
    renew: code === 4401,
    atLeast: PAUSE.has(code) ? PAUSE_MS : 0,
    sentence: t(SENTENCES[code] ?? "status.closed"),
  };
}

const FIRST_MS = 300;
const SOON_MS = 1_200; // a server that restarts is back within this after it answers
const SOON_ATTEMPTS = 40; // about half a minute: longer than restarts take
const CAP_MS = 30_000;

/**
 * Milliseconds to wait before attempt `attempt` (from 0): doubling to SOON_MS, where it stays for SOON_ATTEMPTS, and then
 * on to a cap; jittered over its upper half.
 */
export function backoff(attempt, random = Math.random) {
  const soon = Math.min(SOON_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  const ceiling = Math.min(CAP_MS, soon * 2 ** Math.min(Math.max(attempt - SOON_ATTEMPTS, 0), 10));
  return ceiling / 2 + random() * (ceiling / 2);
}

/** The subprotocols offered: the dialect, and the token where no address or log can show it. */
export function subprotocols(token) {
  const bytes = new TextEncoder().encode(token);
  const encoded = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return ["understudy.v1", `jwt.${encoded}`];
}
