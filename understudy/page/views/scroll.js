/** Following the end of the transcript: only while the reader is there. */

const NEAR_PX = 56;
const FAR = 4; // heights of the visible part; a jump from farther away does not glide

export class Follower {
  /** `scroller` scrolls, `content` grows in it, `button` brings the reader back to the end. */
  constructor(scroller, content, button) {
    Object.assign(this, { scroller, content, button, pinned: true, idle: true, last: 0, width: 0 });
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    button.addEventListener("click", () => this.pin(true));
    const observer = new ResizeObserver(() => this.keep());
    observer.observe(content);
    observer.observe(scroller);
  }

  /** Goes to the end and stays there. */
  pin(smooth = false) {
    this.pinned = true;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const far = this.#distance > FAR * this.scroller.clientHeight;
    if (smooth && !calm && !far) this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior: "smooth" });
    else this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#show();
  }

  /** After something grew: stays at the end if the reader was there. */
  keep() {
    if (this.pinned) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.last = this.scroller.scrollTop; // content that shrank moves the reader too, but is not the reader
    this.width = this.scroller.clientWidth;
    this.#show();
  }

  /** What the reader sees was kept in its place: that was not the reader. */
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
    else if (this.#distance < NEAR_PX) this.pinned = true;
    else if (scrollTop < this.last - 2) this.pinned = false; // only the reader scrolls upwards
    this.last = scrollTop;
    this.#show();
  }

  #show() {
    this.button.hidden = this.idle || this.pinned || this.#distance < NEAR_PX;
  }
}
