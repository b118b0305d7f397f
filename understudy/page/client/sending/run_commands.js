// @ts-nocheck what the methods use of `this` is the client's, which extends this
/**
 * The commands about runs and their answers, which `Client` has: decisions, answers to questions, steering, undo, stopping.
 *
 * Needs of the client its `api`, `connection`, `outbox`, `reliable`, `threads`, `_show` and `withdraw`.
 */

import { local, Steering } from "./delivery.js";

const CONTINUE = "continue-"; // before the id of a run, the name of the command in a refusal

export class RunCommands {
  /** Ids of messages whose runs are stopped as soon as they are accepted. @type {Set<string>} */
  cancelOnAccept = new Set();
  steering = new Steering(this);

  /**
   * Answers the question whether a tool may be used.
   * @param {string} callId
   * @param {"allow"|"deny"} decision
   * @param {string} [note] for the agent to read
   * @param {{remember?: boolean}} [options] `remember`: allow the tool always in this thread
   */
  approve(callId, decision, note = "", { remember = false } = {}) {
    const asking = this.threads.pendingApproval(callId);
    if (asking && asking.approval.deciding !== decision) {
      const { state, turn } = asking;
      this._show([{ type: "local.deciding", thread_id: state.threadId, run_id: turn.runId, data: { call_id: callId, decision } }]);
    }
    const payload = { call_id: callId, decision, ...(note && { note }), ...(remember && { remember }) };
    this.reliable.add(`call ${callId}`, { type: "approve", payload });
  }

  /**
   * Sends a run at work a further message. If the run has ended meanwhile, it is said as an ordinary message.
   * @param {string} runId of a run that is held here
   * @param {string} content
   * @param {"next"|"now"} [mode] `next`: before the next request to the model; `now`: the model's turn ends first
   * @returns {string|null} the steer's id; null when the run is not held here
   */
  steer(runId, content, mode = "next") {
    return this.steering.steer(runId, content, mode);
  }

  /** Takes back a steer that its run has not read. @param {string} runId @param {string} steerId */
  unsteer(runId, steerId) {
    this.steering.unsteer(runId, steerId);
  }

  /**
   * Allows a call with other parameters. It is sent at once, apart from the socket, so that a refusal is known here.
   * @param {string} callId
   * @param {object} parameters all of them; they fit the `schema` of the question
   * @param {string} [note] for the agent to read
   * @param {{remember?: boolean}} [options] `remember`: allow the tool always in this thread
   * @returns {Promise<void>} rejects with {code, message} when they are refused, and with code "offline" without a connection
   */
  async approveChanged(callId, parameters, note = "", { remember = false } = {}) {
    const payload = { call_id: callId, decision: "allow", parameters, ...(note && { note }), ...(remember && { remember }) };
    await this.api.command({ type: "approve", payload });
  }

  /**
   * Answers a question that a run asks. It is sent at once, apart from the socket, so that a refusal is known here.
   * @param {string} questionId
   * @param {object|null} answer fits the question's schema; null declines to answer
   * @returns {Promise<void>} rejects with {code, message} when the answer is refused, and with code "offline" without a connection
   */
  async answer(questionId, answer) {
    const payload = { question_id: questionId, ...(answer === null ? { decline: true } : { answer }) };
    await this.api.command({ type: "answer", payload });
  }

  /**
   * Takes back a tool call of a run that has ended, or all its calls that can be. Sent at once, apart from the socket.
   * @param {{callId?: string, runId?: string}} which one of both
   * @returns {Promise<void>} rejects with {code, message} when it is refused, and with code "offline" without a connection
   */
  async undo({ callId, runId }) {
    await this.api.command({ type: "undo", payload: callId ? { call_id: callId } : { run_id: runId } });
  }

  /**
   * Goes on with an answer that was cut. Sent until the server has accepted or refused it; its text grows in its turn.
   * @param {string} runId of a run that is held here
   * @returns {boolean} false when the run is not held here
   */
  continueAnswer(runId) {
    const found = this.threads.find(runId);
    if (!found) return false;
    this._show([local("continuing", { thread_id: found.state.threadId }, { key: found.turn.key })]);
    this.reliable.add(`continue ${runId}`, { type: "continue", payload: { run_id: runId } });
    return true;
  }

  /** Whether a refusal is of a continuation, which is sent again if it may succeed later. */
  _continueRefused({ message_id: key = "" }, { retryable }) {
    const runId = key?.startsWith(CONTINUE) ? key.slice(CONTINUE.length) : null;
    const found = runId && this.reliable.open.has(`continue ${runId}`) ? this.threads.find(runId) : null;
    if (!found || retryable) return Boolean(found);
    this.reliable.done(`continue ${runId}`);
    this._show([local("continuing", { thread_id: found.state.threadId }, { key: found.turn.key, on: false })]);
    return true;
  }

  /**
   * Says what the user thinks of an answer.
   * @param {string} answerId "answer-" and the run's id
   * @param {"up"|"down"|null} rating null takes an earlier one back
   * @param {string} [note]
   */
  feedback(answerId, rating, note = "") {
    for (const { threadId, turns, ratings } of this.threads.states.values()) {
      if ((ratings[answerId] ?? null) === rating || !turns.some((turn) => `answer-${turn.runId}` === answerId)) continue;
      this._show([{ type: "local.feedback", thread_id: threadId, data: { message_id: answerId, rating } }]);
    }
    this.reliable.add(`answer ${answerId}`, { type: "feedback", payload: { message_id: answerId, rating, ...(note && { note }) } });
  }

  /**
   * Stops a run. A message that is not accepted yet is stopped on acceptance; one that was never sent is withdrawn.
   * @param {{runId?: string|null, messageId?: string|null}} which `messageId`: what `say`, `edit` or `regenerate` gave
   * @returns {boolean} false when there is no connection to say it on
   */
  cancel({ runId = null, messageId = null }) {
    if (runId && !this.connection.send({ type: "cancel", payload: { run_id: runId } })) return false;
    if (!runId && this.outbox.get(messageId)?.attempts === 0) {
      this.withdraw(messageId);
      return true;
    }
    if (!runId) this.cancelOnAccept.add(messageId);
    const found = this.threads.find(runId ?? messageId);
    if (found && !found.turn.stopping) this._show([local("stopping", { thread_id: found.state.threadId }, { key: found.turn.key })]);
    return true;
  }
}
