/** What extensions show below an answer. */

import { arrange, el } from "./dom.js";

export class AnswerParts {
  /** `page` is what the parts take, and `answerParts()`, those of "answers" in `extensions.js`. */
  constructor(page) {
    Object.assign(this, { page, ended: false });
    this.views = new Map(); // part -> its view, null while that is loaded
    this.element = el("div");
  }

  update(turn) {
    this.turn = turn;
    for (const view of this.views.values()) view?.update(turn);
    for (const part of this.page.answerParts()) if (!this.views.has(part) && part.fits(turn)) this.#add(part);
  }

  /** Whether one must not be forgotten when its turn is out of sight. */
  get inUse() {
    return [...this.views.values()].some((view) => view?.inUse);
  }

  destroy() {
    this.ended = true;
    for (const view of this.views.values()) view?.destroy();
  }

  async #add(part) {
    this.views.set(part, null);
    try {
      const make = await part.load();
      if (this.ended) return;
      this.views.set(part, make(this.page));
      this.views.get(part).update(this.turn);
      arrange(this.element, [...this.views.values()].filter(Boolean).map(({ element }) => element));
    } catch (fault) {
      if (!(fault instanceof TypeError)) throw fault;
      this.views.delete(part); // no network: with the next update
    }
  }
}
