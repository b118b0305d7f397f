// @ts-nocheck what the methods use of `this` is the client's, which extends this
/** The user's commands on the branches of a thread and on its past: show another branch, read more turns. */

import { showing } from "../threads/branches.js";
import { emptyConversation } from "../threads/conversation.js";
import { randomId } from "../ids.js";
import { errorText } from "../messages.js";
import { editCommand, regenerateCommand } from "./delivery.js";
import { Pages } from "../threads/pages.js";
import { RunCommands } from "./run_commands.js";

export class BranchCommands extends RunCommands {
  /** Has threads opened by their last page from now on. @param {(threadId: string) => boolean} readsAbove */
  _openByPages(readsAbove) {
    this.threads.pages = new Pages({
      api: this.api, threads: this.threads, subscriptions: this.subscriptions, timeouts: this.lateTimeouts, isOnline: () => this.connection.online, readsAbove,
      onMissing: (threadId) => this._notice({ code: "not_found", message: errorText({ code: "not_found", message: "" }) }, threadId),
      onFault: (fault) => this._notice(fault),
    });
  }

  /** The state of a thread; an empty one for a thread that is not held, as after the end of a session. @param {string} threadId */
  stateOrEmpty(threadId) {
    return this.threads.state(threadId) ?? emptyConversation(threadId);
  }

  /**
   * Shows the branch through a turn. One that is known by name alone is read first.
   * @param {string} threadId
   * @param {string} key of the turn
   */
  pick(threadId, key) {
    const state = this.threads.state(threadId);
    const turn = state?.turns.find((one) => one.key === key);
    if (!turn) return;
    const { leaf, turns } = showing(state, turn);
    const end = leaf === null ? turns.findLast((one) => one.parentId !== undefined) : turns.find((one) => one.key === leaf);
    if (turn.stub || end.stub) this.threads.pages?.branch(threadId, turn.runId).catch((fault) => this._notice(fault));
    else this._show([{ type: "local.picked", thread_id: threadId, data: { key } }]);
  }

  /**
   * Says a message in other words: a new branch beside it.
   * @param {string} messageId of a message that is held here
   * @param {string} content
   * @returns {string|null} the new message's id; null when the message is not held here
   */
  edit(messageId, content) {
    const found = this.threads.find(messageId);
    return found && this._queue(editCommand(found, content, randomId()));
  }

  /**
   * Has a message answered once more: a new branch beside its answer.
   * @param {string} messageId of a message that is held here
   * @param {{callId?: string|null}} [options] `callId`: begin with the work before that call, which is made again
   * @returns {string|null} the name of this request; null when the message is not held here
   */
  regenerate(messageId, { callId = null } = {}) {
    const found = this.threads.find(messageId);
    return found && this._queue(regenerateCommand(found, randomId(), this.subscriptions.seq(found.state.threadId), callId));
  }

  /**
   * Reads the turns before those that are shown; the states that follow have them. Only with `paged`.
   * @param {string} threadId
   * @returns {Promise<boolean>} whether there were any; rejects with {code, message} if they cannot be read
   */
  async older(threadId) {
    return await this.threads.pages?.older(threadId) ?? false;
  }

  /**
   * Reads what is left out of the steps of a turn that is `omitted`; the states that follow have it.
   * @param {string} threadId
   * @param {string} runId
   * @returns {Promise<void>} rejects with {code, message} if it cannot be read
   */
  async details(threadId, runId) {
    await this.threads.pages?.details(threadId, runId);
  }
}
