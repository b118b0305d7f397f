/**
 * Lets the browser skip what is out of sight, without moving anything: a block is marked once it has left the visible part,
 * with the height that it had there.
 */

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
