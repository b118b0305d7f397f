/** Elements that do their work when they are about to be seen. */

const WATCH = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    WATCH.unobserve(target);
    WAITING.get(target)?.();
    WAITING.delete(target);
  }
}, { rootMargin: "300px" });
const WAITING = new WeakMap();

/** Calls `work` once, when `element` is near what is seen. */
export function whenSeen(element, work) {
  WAITING.set(element, work);
  WATCH.observe(element);
}

export function forget(element) {
  WATCH.unobserve(element);
}

// Lets the browser skip what is out of sight, without moving anything: a block is marked once it has left the visible part,
// with the height that it had there.

const MARGIN = "600px 0px"; // a block is drawn before it comes into sight

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting, boundingClientRect: { height } } of entries) {
    if (isIntersecting || height === 0) continue;
    observer.unobserve(target);
    target.style.setProperty("--block-height", `${height}px`);
    target.classList.add("is-skippable");
  }
}, { rootMargin: MARGIN });

/** Has the browser skip `box`, which does not change any more, whenever it is out of sight. */
export function skipUnseen(box) {
  observer.observe(box);
}
