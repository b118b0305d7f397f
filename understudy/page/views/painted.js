/** When the browser has drawn the frame of the page, which comes with its HTML: what takes long begins after that. */

const LATEST_MS = 1_000; // for a page that is not drawn although it is visible

/** Resolves when the frame has been drawn, soon in any case. */
export function painted() {
  if (document.visibilityState !== "visible" || performance.getEntriesByName("first-contentful-paint").length > 0) return Promise.resolve();
  return new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve, 0)); // the drawing comes between the two
    setTimeout(resolve, LATEST_MS);
  });
}
