/** Opens a chat at one of its messages, which may stand far in its past. */

import { t } from "../client/messages.js";
import { renderer } from "../answer/renderer.js";

const READS = 40; // older pages that are read for it, of 50 turns each
const WAIT_MS = 15_000; // for the first page of the chat
const AGAIN_MS = 250;

/** `page` is {client, transcript, toasts, current, open(id)}; without a message the chat is opened at its end. */
export async function openAt(page, threadId, messageId = null) {
  page.open(threadId);
  if (messageId === null) return;
  const here = () => page.current === threadId;
  try {
    await known(page.client, threadId);
    for (let reads = 0; here() && !await page.transcript.reveal(messageId); reads += 1) {
      if (reads < READS && await readOlder(page.client, threadId)) continue;
      if (here()) page.toasts.show(t("chat.elsewhere"));
      return;
    }
  } catch (fault) {
    if (here()) page.toasts.show(fault.message, fault.errorId);
  }
}

/**
 * Shows the open chat where it was read before the page was loaded again. A place that cannot be read is left, as is one
 * whose reader has gone elsewhere meanwhile.
 */
export async function readOnAt(page, place) {
  const threadId = page.current;
  const { client, transcript } = page;
  await known(client, threadId);
  for (let reads = 0; page.current === threadId && !transcript.readsAbove && !transcript.returnTo(place); reads += 1) {
    if (reads >= READS || !await readOlder(client, threadId).catch(() => false)) return;
    await new Promise((resolve) => { requestAnimationFrame(resolve); }); // what was read is drawn by then
  }
}

/** Reads an older page of a chat, or waits while another reading is under way. Resolves to false when there is none. */
async function readOlder(client, threadId) {
  if (await client.older(threadId)) return true;
  if (!client.state(threadId)?.cut) return false;
  await changed(client, threadId, AGAIN_MS);
  return true;
}

/** Resolves when something of a chat is known, and what renders it, and both are drawn; or nothing came in time. */
async function known(client, threadId) {
  if (renderer.loaded !== null && client.state(threadId)?.turns.length) return;
  await renderer.known();
  if (!client.state(threadId)?.turns.length) await changed(client, threadId, WAIT_MS);
  await new Promise((resolve) => { requestAnimationFrame(resolve); });
}

/** Resolves when a chat that has turns changes, or in any case after `ms`. */
function changed(client, threadId, ms) {
  return new Promise((resolve) => {
    const over = () => {
      forget();
      clearTimeout(timeout);
      resolve();
    };
    const forget = client.on("change", ({ threadId: which, state }) => which === threadId && state.turns.length > 0 && over());
    const timeout = setTimeout(over, ms);
  });
}
