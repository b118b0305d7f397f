/** Opens a chat at one of its messages, which may stand far in its past. */

import { t } from "../client/messages.js";

const READS = 40; // older pages that are read for it, of 50 turns each
const WAIT_MS = 15_000; // for the first page of the chat

/** `page` is {client, transcript, toasts, current, open(id)}; without a message the chat is opened at its end. */
export async function openAt(page, threadId, messageId = null) {
  page.open(threadId);
  if (messageId === null) return;
  const here = () => page.current === threadId;
  try {
    await known(page.client, threadId);
    for (let reads = 0; here() && !await page.transcript.reveal(messageId); reads += 1) {
      if (reads < READS && await page.client.older(threadId)) continue;
      if (here()) page.toasts.show(t("chat.elsewhere"));
      return;
    }
  } catch (fault) {
    if (here()) page.toasts.show(fault.message, fault.errorId);
  }
}

/** Resolves when something of a chat is known, or nothing came in time. */
function known(client, threadId) {
  if (client.state(threadId)?.turns.length > 0) return Promise.resolve();
  return new Promise((resolve) => {
    const over = () => {
      forget();
      clearTimeout(timeout);
      resolve();
    };
    const forget = client.on("change", ({ threadId: changed, state }) => changed === threadId && state.turns.length > 0 && over());
    const timeout = setTimeout(over, WAIT_MS);
  });
}
