/**
 * How far a user is who stops the server in the middle of an answer, to see it go on. Pure.
 *
 * "send" the message, "kill" the server while it answers, "start" it again, "watch" the answer go on, and "done"; or
 * "missed": the answer ended before anybody had stopped the server.
 */
export const FIRST_STAGE = "send";

/** The steps that the user takes, in order. */
export const STEPS = Object.freeze(["send", "kill", "start", "watch"]);

/** The next stage; `live`: the thread has an answer at work, as far as is known here. */
export function killStage(stage, { live, online }) {
  if (stage === "send" || stage === "missed") return live ? (online ? "kill" : "start") : stage;
  if (!online) return live ? "start" : stage;
  if (stage === "kill") return live ? "kill" : "missed";
  if (stage === "start" || stage === "watch") return live ? "watch" : "done";
  return stage;
}
