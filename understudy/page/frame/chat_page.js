/** The base of the chat page and of the chat in a frame of another site: a user's actions in the open conversation. */

import { answerId } from "../client/threads/branches.js";
import { t } from "../client/messages.js";
import { runningTurn } from "../client/threads/turns.js";
import { retryFrom } from "../run/undo.js";

/**
 * A page has `client`, `api`, `agents`, `composer`, `transcript`, `toasts`, and `current`, the id of the open thread. It says by itself
 * what `say({content, files, agent, references, mode, settings, context})`, `shown(state)` and `signInAt(name, questionId)` do.
 */
export class ChatPage {
  get state() {
    return this.client.stateOrEmpty(this.current);
  }

  /** The callbacks of a composer. */
  get composerActions() {
    const { client } = this;
    return {
      onSend: (said) => this.say(said), onStop: () => this.stop(), onTyping: () => client.typing(this.current),
      onEditLast: () => this.transcript.editLast(() => this.composer.focus()),
      maxBytes: () => client.connection.maxCommandBytes, maxFileBytes: () => client.connection.maxFileBytes,
    };
  }

  /** The callbacks of a transcript. */
  get transcriptActions() {
    const { client } = this;
    return {
      onRetry: (turn) => this.retry(turn), onContinue: (turn) => client.continueAnswer(turn.runId) && this.transcript.follower.pin(),
      onWithdraw: (turn) => this.withdraw(turn), onAgain: (turn) => this.again(turn),
      onEdit: (turn, content) => client.edit(turn.messageId, content), onPick: (...picked) => this.pick(...picked),
      onRate: (turn, ...given) => client.feedback(answerId(turn.runId), ...given),
      onStep: (turn, step) => this.call(step, agentOf(turn)), onSay: (turn, content) => this.say({ content, agent: agentOf(turn) }),
      onApprove: (...decision) => client.approve(...decision), onApproveChanged: (...decision) => client.approveChanged(...decision),
      threadId: () => this.current, onAnswer: (questionId, answer) => client.answer(questionId, answer),
      onSignIn: (name, questionId) => this.signInAt(name, questionId), onOlder: () => client.older(this.current),
      onDetails: (turn) => client.details(this.current, turn.runId).then(() => true, (fault) => this.fault(fault)),
      onUnsteer: (...which) => client.unsteer(...which), onUndo: (which) => client.undo(which),
      onRetryStep: (turn, step) => retryFrom(turn, step, this).catch((fault) => this.fault(fault)),
      onShown: (state) => this.shown(state),
    };
  }

  /** Stops the run that is seen at work, or another one. */
  stop(runId = null) {
    const turn = runId === null ? runningTurn(this.state) : { runId };
    if (!turn || turn.stopping) return;
    if (!this.client.cancel({ runId: turn.runId, messageId: turn.key })) this.toasts.show(t("chat.stop_offline"));
  }

  /** A refused message is said anew; an answer that failed is made again, beside the one that failed. */
  retry(turn) {
    if (turn.runId !== null && turn.content !== "") {
      this.again(turn);
      return;
    }
    this.client.withdraw(turn.key);
    this.say({ content: turn.content, agent: agentOf(turn), references: turn.references, ...turn.call });
  }

  /** Begins with a starter: its call where there is no language model, and its text, to be sent, where there is one. */
  begin({ text, tool, arguments: given }, agent) {
    if (tool && (agent.model ?? this.agents.model)?.name === "offline") this.call({ label: text, tool, arguments: given }, agent);
    else this.composer.fill(text);
  }

  /** Makes the call of a starter or a next step, {label, tool, arguments}, or opens its form. Resolves to whether it was made. */
  async call(offer, agent) {
    try {
      const { callTool } = await import("../run/tool_call.js");
      return await callTool(offer, agent, this);
    } catch (fault) {
      if (!(fault instanceof TypeError)) throw fault;
      this.toasts.show(t("code.offline")); // no network, and not kept
      return false;
    }
  }

  again(turn) {
    this.client.regenerate(turn.messageId);
    this.transcript.follow();
  }

  pick(turn, by, what) {
    this.transcript.hold(turn, by, what);
    this.client.pick(this.current, turn.key);
  }

  withdraw(turn) {
    this.client.withdraw(turn.key);
    if (this.composer.text.value === "") this.composer.fill(turn.content);
  }

  fault(fault) {
    this.toasts.show(fault.message, fault.errorId);
  }
}

function agentOf(turn) {
  return { agent_type: turn.agentType, pillar: turn.pillar };
}
