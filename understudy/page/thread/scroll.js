/**
 * Following the end of the transcript: only while the reader is there.
 *
 * What a reader has just asked stays in sight: an answer is followed until its question stands at the top, and from there on
 * only by who goes to the end. A chart is what was asked for, and a question asks back: both are brought into sight,
 * unless the reader scrolls.
 *
 * Nothing moves while a pointer is pressed: a button that is no longer below the pointer at its release gets no click.
 */

const NEAR_PX = 56;
const EDGE_PX = 12; // between what is brought into sight and the edge of the visible part
const FAR = 4; // heights of the visible part; a jump from farther away does not glide

export class Follower {
  /** `scroller` scrolls, `content` grows in it, `button` brings the reader back to the end. */
  constructor(scroller, content, button) {
    Object.assign(this, { scroller, content, button, pinned: true, idle: true, pressed: false, last: 0, width: 0, question: null, wanted: null });
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    button.addEventListener("click", () => this.pin(true));
    // The browser scrolls by itself, too, where something above grows.
    for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"]) scroller.addEventListener(kind, () => { this.wanted = null; }, { passive: true });
    scroller.addEventListener("pointerdown", () => { this.pressed = true; });
    for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => this.#release());
    const observer = new ResizeObserver(() => this.keep());
    observer.observe(content);
    observer.observe(scroller);
  }

  /**
   * Goes to the end and stays there; until `question()`, an element or null, stands at the top, if it is given. Then `wanted()`, an
   * element or null, is brought into sight.
   */
  pin(smooth = false, question = null, wanted = null) {
    Object.assign(this, { pinned: true, question, wanted });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const far = this.#distance > FAR * this.scroller.clientHeight;
    if (smooth && !calm && !far) this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior: "smooth" });
    else this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#show();
  }

  /** After something grew: stays at the end if the reader was there. */
  keep() {
    if (this.pressed) return;
    if (this.scroller.clientWidth !== this.width) this.question = null; // a window that was turned shows the end it showed
    if (this.pinned) this.#follow();
    if (!this.pinned) this.#bring();
    this.last = this.scroller.scrollTop; // content that shrank moves the reader too, but is not the reader
    this.width = this.scroller.clientWidth;
    this.#show();
  }

  /** The click comes before the next frame. */
  #release() {
    if (!this.pressed) return;
    requestAnimationFrame(() => {
      this.pressed = false;
      this.keep();
    });
  }

  #follow() {
    const { scroller } = this;
    const asked = this.question?.();
    const above = asked ? asked.getBoundingClientRect().top - scroller.getBoundingClientRect().top : Infinity;
    this.pinned = this.#distance <= above; // else the question would leave by the top
    scroller.scrollTop += Math.min(this.#distance, above);
    if (!this.pinned) this.question = null;
  }

  #bring() {
    const box = this.wanted?.()?.getBoundingClientRect();
    if (!box) return;
    const frame = this.scroller.getBoundingClientRect();
    this.scroller.scrollTop += Math.max(Math.min(box.bottom + EDGE_PX - frame.bottom, box.top - EDGE_PX - frame.top), 0);
  }

  /** Notes that the page itself scrolled, to keep the visible part in its place. */
  moved() {
    this.last = this.scroller.scrollTop;
    this.#show();
  }

  get #distance() {
    return this.scroller.scrollHeight - this.scroller.clientHeight - this.scroller.scrollTop;
  }

  #scrolled() {
    const { scrollTop, clientWidth } = this.scroller;
    if (clientWidth !== this.width) { // a window that was turned or drawn moves the reader, too
      this.keep();
      return;
    }
    if (this.idle) this.pinned = false; // an empty chat is read from its top, also when it does not fit any more
    else if (scrollTop < this.last - 2) Object.assign(this, { pinned: this.#distance < NEAR_PX, question: null }); // only the reader scrolls upwards
    else if (this.#distance < NEAR_PX && scrollTop > this.last) this.pinned = true;
    this.last = scrollTop;
    this.#show();
  }

  #show() {
    if (this.pressed) return; // the visible part ends above the button
    this.button.hidden = this.idle || this.pinned || this.#distance < NEAR_PX;
  }
}
