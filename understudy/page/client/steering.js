/** Messages to a run at work: sent until the server has accepted or refused them. What comes too late is said instead. */

import { randomId } from "./ids.js";

export class Steering {
  /** `client` holds threads and reliable commands, shows local events, and says what comes too late. */
  constructor(client) {
    this.client = client;
  }

  /** Returns the steer's id; null when the run is not held here. */
  steer(runId, content, mode) {
    const found = this.client.threads.find(runId);
    if (!found) return null;
    const data = { steer_id: randomId(), content, mode };
    this.#local("steering", found.state.threadId, runId, data);
    this.client.reliable.add(`steer ${data.steer_id}`, { type: "steer", payload: { run_id: runId, ...data } });
    return data.steer_id;
  }

  unsteer(runId, steerId) {
    this.client.reliable.add(`unsteer ${steerId}`, { type: "unsteer", payload: { run_id: runId, steer_id: steerId } });
  }

  /** Notes what the server has accepted or done. */
  settle({ type }, { steer_id: steerId }) {
    if (type === "steer_accepted") this.client.reliable.done(`steer ${steerId}`);
    if (type === "steer_taken" || type === "steer_withdrawn") this.client.reliable.done(`unsteer ${steerId}`);
  }

  /** Returns true when nobody need be told of a refusal: its text is said instead, or is sent again. */
  refused({ message_id: steerId }, { code, retryable }) {
    this.client.reliable.done(`unsteer ${steerId}`);
    const payload = this.client.reliable.open.get(`steer ${steerId}`)?.command.payload;
    const found = payload && this.client.threads.find(payload.run_id);
    if (!found || retryable) return Boolean(found);
    const { threadId } = found.state;
    this.client.reliable.done(`steer ${steerId}`);
    this.#local("steering-refused", threadId, payload.run_id, { steer_id: steerId });
    if (code === "run_ended") this.client.say({ content: payload.content, thread_id: threadId, message_id: steerId });
    return code === "run_ended";
  }

  #local(type, threadId, runId, data) {
    this.client._show([{ type: `local.${type}`, thread_id: threadId, run_id: runId, data }]);
  }
}
