/** What running calls have yielded. Pure. */

const MOST = 50; // items shown of a running call

/** The turn with more items at the running call that yielded them; the last ones are kept, `yielded` counts all. */
export function withPartial(turn, { call_id: callId, offset, items }) {
  const index = turn.steps.findLastIndex((one) => one.callId === callId && one.status === "running");
  if (index < 0 || !Array.isArray(items)) return turn;
  const step = turn.steps[index];
  const steps = turn.steps.slice();
  steps[index] = { ...step, partial: [...(step.partial ?? []), ...items].slice(-MOST), yielded: offset + items.length };
  return { ...turn, steps };
}
