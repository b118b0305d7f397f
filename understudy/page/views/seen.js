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
