/** What files add to the composer: it can attach some, also such as are dropped or pasted. See `extensions.js`. */

import { Intake } from "./intake.js";

export function extend({ add, chat: { composer } }) {
  add("intakes", new Intake(composer, composer.element.parentElement));
}
