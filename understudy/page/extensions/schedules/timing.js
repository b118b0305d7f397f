/** The times of schedules, in words and as fields of a form. Pure. */

import { dateTime, t } from "../../client/messages.js";

/** Those of these schedules that have a next time, the soonest first. */
export function comingUp(schedules) {
  return schedules.filter((one) => one.enabled && one.next_due_at !== null).sort((one, other) => one.next_due_at - other.next_due_at);
}

/** The choices of the form: {value, timed} each, named by the message `schedules.preset_VALUE`; `timed` ones ask for a time of day. */
export const PRESETS = Object.freeze([
  { value: "daily", timed: true },
  { value: "weekdays", timed: true },
  { value: "weekly", timed: true },
  { value: "hourly", timed: false },
  { value: "cron", timed: false },
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
  if (everyS !== null) return intervalText(everyS);
  const found = /^(\d{1,2}) (\d{1,2}) \* \* (\*|1-5|[0-6])$/.exec(cron);
  if (!found) return t("schedules.cron_in_zone", { cron, zone });
  const time = `${found[2].padStart(2, "0")}:${found[1].padStart(2, "0")}`;
  const days = t(`schedules.on_${{ "*": "all", "1-5": "weekdays" }[found[3]] ?? found[3]}`);
  return t("schedules.at", { days, time, zone });
}

function intervalText(seconds) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([["day", 86_400], ["hour", 3_600], ["minute", 60]])) {
    if (seconds % size === 0) return t(`schedules.every_${unit}`, { count: seconds / size });
  }
  return t("schedules.every_second", { count: seconds });
}

/** A moment in Unix seconds, in the language of the page; null is never. */
export function when(at) {
  return at === null ? t("schedules.never") : dateTime(at * 1000, { dateStyle: "medium", timeStyle: "short" });
}
