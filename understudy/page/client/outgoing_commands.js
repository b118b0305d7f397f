/** Commands of a user on a thread, as entries of the outbox, and as the local events that show them at once. Pure. */

import { nextParent } from "./branches.js";
import { local } from "./delivery.js";

/** A new message. `agentName` is the current agent's, `state` the thread's or null. */
export function messageCommand(given, { agentName, state, id, threadId }) {
  const [agentType, pillar = null] = agentName?.split("/") ?? [];
  const agent = given.agent_type || !agentType ? {} : { agent_type: agentType, pillar };
  const parent = given.parent_id ?? (state ? nextParent(state) : null);
  const payload = { ...agent, ...given, thread_id: threadId, message_id: given.message_id ?? id, ...(parent && { parent_id: parent }) };
  return { type: "user_message", message_id: payload.message_id, thread_id: threadId, payload };
}

/** A message in other words. */
export function editCommand({ state, turn }, content, id) {
  const payload = { message_id: turn.messageId, content, new_message_id: id };
  return { type: "edit", message_id: id, thread_id: state.threadId, payload };
}

/**
 * A message answered once more; `after` is the thread's last seq, which separates it from earlier regenerations. With
 * `callId` the answer begins with the work before that call, which is made again.
 */
export function regenerateCommand({ state, turn }, id, after, callId = null) {
  const payload = { message_id: turn.messageId, request_id: id, ...(callId && { call_id: callId }) };
  return { type: "regenerate", message_id: id, thread_id: state.threadId, payload, after };
}

/** The local event that shows a queued command. */
export function queuedEvent({ type, message_id: key, thread_id: threadId, payload, at }) {
  const kind = type === "user_message" ? "say" : type;
  return local("said", { thread_id: threadId }, { ...payload, key, kind, of: kind === "say" ? null : payload.message_id, at });
}
