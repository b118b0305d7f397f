/** Loads the renderer of answers (`rendering.js`) once, when it is first needed. */

const LATE_MS = 5_000; // after which texts are shown as they are, until it is there
const PAUSE_MS = 1_000; // before another attempt, twice as long each time
const LONGEST_PAUSE_MS = 60_000;

const waiting = new Set();
let loading = false;

export const renderer = {
  /** The module, once it is there. */
  loaded: null,
  /** It is not there: this server has no libraries for its page, or is away or slow. Another attempt follows. */
  failed: false,

  /** Begins to load it; `tell()` is called when it has failed, and when it is there. */
  load(tell = null) {
    if (tell !== null && this.loaded === null) waiting.add(tell);
    if (!loading) attempt(PAUSE_MS);
  },

  /** Resolves when it is there, or has failed: answers have their heights then. */
  known() {
    return new Promise((resolve) => {
      if (this.loaded !== null || this.failed) resolve();
      else this.load(resolve);
    });
  },
};

async function attempt(pause) {
  loading = true;
  const late = setTimeout(() => known(null), LATE_MS);
  const module = await import("./rendering.js").catch(() => null);
  clearTimeout(late);
  known(module);
  if (module === null) setTimeout(() => attempt(Math.min(2 * pause, LONGEST_PAUSE_MS)), pause);
}

function known(module) {
  Object.assign(renderer, { loaded: module, failed: module === null });
  const told = [...waiting];
  if (module !== null) waiting.clear();
  for (const tell of told) tell();
}
