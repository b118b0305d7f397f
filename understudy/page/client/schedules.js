/** Schedules as a person reads and makes them. Pure. */

const PREFIX = "schedule-"; // of the ids of messages that schedules send, and of the threads made for them
const DAYS = ["Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays"];

/** Whether a schedule sent the message of this id, or made the thread of this id. */
export function isScheduled(id) {
  return typeof id === "string" && id.startsWith(PREFIX);
}

/** The choices of the form: {value, label, timed} each; `timed` ones ask for a time of day. */
export const PRESETS = Object.freeze([
  { value: "daily", label: "Every day", timed: true },
  { value: "weekdays", label: "Monday to Friday", timed: true },
  { value: "weekly", label: "Every Monday", timed: true },
  { value: "hourly", label: "Every hour", timed: false },
  { value: "cron", label: "Cron expression", timed: false },
]);

const CRON_DAYS = { daily: "*", weekdays: "1-5", weekly: "1" };

/** {cron} or {every_s} of a preset, a time of day such as "09:00", and what was typed as cron. */
export function timingOf(preset, time, cron) {
  if (preset === "hourly") return { every_s: 3600 };
  if (preset === "cron") return { cron: cron.trim() };
  const [hour, minute] = time.split(":").map(Number);
  return { cron: `${minute} ${hour} * * ${CRON_DAYS[preset]}` };
}

/** When a schedule is due, in words where they are short, else as it was given. */
export function timingText({ cron, every_s: everyS, time_zone: zone }) {
  if (everyS !== null) return `Every ${spanText(everyS)}`;
  const found = /^(\d{1,2}) (\d{1,2}) \* \* (\*|1-5|[0-6])$/.exec(cron);
  if (!found) return `${cron} (${zone})`;
  const time = `${found[2].padStart(2, "0")}:${found[1].padStart(2, "0")}`;
  const days = { "*": "Every day", "1-5": "Monday to Friday" }[found[3]] ?? DAYS[Number(found[3])];
  return `${days} at ${time} (${zone})`;
}

function spanText(seconds) {
  for (const [unit, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]]) {
    if (seconds % size === 0) return seconds === size ? unit : `${seconds / size} ${unit}s`;
  }
  return `${seconds} seconds`;
}
