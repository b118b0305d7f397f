/** The layout of a run's timeline: one line a span, below what it is part of. Pure. */

const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600];
const MOST_TICKS = 8;

/** Spans as lines in the order of a tree: {span, level, from, to} with shares of the whole, 0 to 1. */
export function lines({ spans, marks }, now) {
  const { begin, length } = extent({ spans, marks }, now);
  const below = new Map();
  const keys = new Set(spans.map(({ key }) => key));
  for (const span of spans) {
    const parent = keys.has(span.parent) && span.parent !== span.key ? span.parent : null;
    if (!below.has(parent)) below.set(parent, []);
    below.get(parent).push(span);
  }
  const found = [];
  const visit = (key, level) => {
    for (const span of below.get(key) ?? []) {
      const to = span.ended ?? now;
      found.push({ span, level, from: (span.began - begin) / length, to: Math.max((to - begin) / length, 0) });
      visit(span.key, level + 1);
    }
  };
  visit(null, 0);
  return found;
}

/** When the run began (Unix seconds), and for how many seconds it went on, at least a tenth. */
export function extent({ spans, marks }, now) {
  if (spans.length === 0) return { begin: now, length: 0.1 };
  const begin = Math.min(...spans.map(({ began }) => began));
  const end = Math.max(...spans.map(({ ended }) => ended ?? now), ...marks.map(({ at }) => at));
  return { begin, length: Math.max(end - begin, 0.1) };
}

/** Where lines of the scale stand: {at, seconds}, few enough to be read. */
export function ticks(length) {
  const step = TICKS.find((each) => length / each <= MOST_TICKS) ?? length / MOST_TICKS;
  return Array.from({ length: Math.floor(length / step + 1e-9) + 1 }, (_, index) => ({ at: (index * step) / length, seconds: index * step }));
}

/** What a span was at that moment: "before", "during" or "after". */
export function phaseAt(span, moment) {
  if (moment < span.began) return "before";
  return span.ended === null || moment < span.ended ? "during" : "after";
}
