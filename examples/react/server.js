/** The understudy server: who the user is, which conversation is open, and the agent that answers. */

import { HttpAgent } from "@ag-ui/client";
import { concatMap } from "rxjs";

const address = document.documentElement.dataset.server;

/** Returns a token for an anonymous user, the same user after a reload. A real page has its own sign-in. */
async function token() {
  const kept = localStorage.getItem("token");
  const headers = { Authorization: `Bearer ${kept}` };
  let answer = kept && (await fetch(`${address}/api/sessions/refresh`, { method: "POST", headers }));
  if (!answer?.ok) answer = await fetch(`${address}/api/sessions`, { method: "POST" });
  if (!answer.ok) throw new Error(`${address} gives no anonymous sessions (${answer.status}).`);
  const { session_token } = await answer.json();
  localStorage.setItem("token", session_token);
  return session_token;
}

/** The agent of a conversation. A run goes on when its page leaves. */
class Support extends HttpAgent {
  #run = null;

  constructor(given) {
    super({ ...given, url: `${address}/api/agui?agent=support` });
    this.subscribe({
      onRunStartedEvent: ({ event }) => { this.#run = event.metadata?.understudy.run_id; },
    });
  }

  /** assistant-ui keeps questions with a message of the stream. A page that joins a waiting run is told of none: add it. */
  run(input) {
    return super.run(input).pipe(concatMap((event) => {
      if (event.type !== "RUN_FINISHED" || event.outcome?.type !== "interrupt") return [event];
      const messageId = `questions-${event.runId}`;
      return [{ type: "TEXT_MESSAGE_START", messageId, role: "assistant" }, { type: "TEXT_MESSAGE_END", messageId }, event];
    }));
  }

  /** Stops the run on the server; `abortRun` only leaves it. */
  stop() {
    if (this.#run) fetch(`${address}/api/runs/${this.#run}/cancel`, { method: "POST", headers: this.headers });
  }
}

/** Opens the conversation that the address of the page names, or a new one. Returns its agent and its history. */
export async function open() {
  const headers = { Authorization: `Bearer ${await token()}` };
  let threadId = location.hash.slice(1);
  const known = threadId && (await fetch(`${address}/api/threads/${threadId}`, { headers })).ok;
  threadId ||= crypto.randomUUID();
  history.replaceState(null, "", `#${threadId}`);
  // The server has the history: a run without a message of the user joins the conversation where it is.
  const load = async () => (known ? { headId: null, messages: [], unstable_resume: true } : null);
  return { agent: new Support({ headers, threadId }), history: { load, append: async () => {} } };
}
