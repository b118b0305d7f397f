/** Doing a run again from one of its calls on: what took effect is named before, and undone where it can be. */

import { confirmed } from "./dialog.js";
import { effectsFrom } from "../client/retry.js";
import { callTitle } from "../client/run_summary.js";
import { listed, t } from "../client/messages.js";

const UNDONE_MS = 60_000; // for one call to be undone

/** Asks the user if it must, then has the message answered again from `step` on. Rejects with {message} when that fails. */
export async function retryFrom(turn, step, { api, client }) {
  const known = await api.tools().catch(() => null);
  const { undoable, lasting } = effectsFrom(turn, step, known?.tools ?? []);
  const names = (calls) => listed([...new Set(calls.map(callTitle))]);
  const text = [
    undoable.length > 0 && t("retry.undone_first", { calls: names(undoable) }),
    lasting.length > 0 && t("retry.twice", { calls: names(lasting) }),
  ].filter(Boolean).join(" ");
  if (text !== "" && !await confirmed({ title: t("retry.title"), text, agree: t("step.retry") })) return;
  for (const { callId } of undoable.reverse()) { // one after the other: a run undoes one at a time
    const settled = undone(client, callId);
    await client.undo({ callId });
    await settled;
  }
  client.regenerate(turn.messageId, { callId: step.callId });
}

/** Resolves when a call was undone; rejects when it was not, or not in time. */
function undone(client, callId) {
  return new Promise((resolve, reject) => {
    const end = (then, value) => {
      clearTimeout(timer);
      leave();
      then(value);
    };
    const timer = setTimeout(() => end(reject, { message: t("undo.impossible") }), UNDONE_MS);
    const leave = client.on("events", (events) => {
      const event = events.find(({ type, data }) => type === "call_undone" && data.call_id === callId);
      if (event) end(event.data.status === "ok" ? resolve : reject, { message: event.data.reason || t("undo.impossible") });
    });
  });
}
