/**
 * Which turns of a long thread are in the document: those near the visible part. Pure.
 *
 * Others are gaps of the height that they had, or that a turn has on average. A turn that is there goes only when it is
 * farther away than one that is fetched, so that small movements change nothing.
 */

const NEAR = 1.5; // heights of the visible part, on either side of it
const FAR = 3;
const UNKNOWN_PX = 240;

export class TurnWindow {
  constructor() {
    this.heights = new Map(); // key of a turn -> px
    this.sum = 0;
  }

  clear() {
    this.heights.clear();
    this.sum = 0;
  }

  measured(key, height) {
    this.sum += height - (this.heights.get(key) ?? 0);
    this.heights.set(key, height);
  }

  /** The height of a turn as far as it is known, in px. */
  height(key) {
    return this.heights.get(key) ?? (this.heights.size > 0 ? this.sum / this.heights.size : UNKNOWN_PX);
  }

  /** The height of all of these. */
  total(keys) {
    return keys.reduce((sum, key) => sum + this.height(key), 0);
  }

  /**
   * The places in `keys` that are in the document when the visible part is `height` px from `top` on: those near it, those
   * `there` (a Set) that are not far, and those `kept` in any case. In order.
   */
  near(keys, top, height, there = new Set(), kept = new Set()) {
    const places = [];
    let begin = 0;
    keys.forEach((key, place) => {
      const end = begin + this.height(key);
      const reach = (there.has(key) ? FAR : NEAR) * height;
      if (kept.has(key) || (end > top - reach && begin < top + height + reach)) places.push(place);
      begin = end;
    });
    return places;
  }

  /** {place, offset}: the turn that stands at `top`, and how far its beginning is above that. */
  at(keys, top) {
    let begin = 0;
    for (let place = 0; place < keys.length; place += 1) {
      const end = begin + this.height(keys[place]);
      if (end > top) return { place, offset: top - begin };
      begin = end;
    }
    return { place: keys.length - 1, offset: 0 };
  }

  /** The heights of the gaps around these places: one before each of them, and one behind the last. */
  gaps(keys, places) {
    const gaps = [];
    let next = 0;
    for (const place of [...places, keys.length]) {
      let gap = 0;
      for (; next < place; next += 1) gap += this.height(keys[next]);
      gaps.push(gap);
      next = place + 1;
    }
    return gaps;
  }
}
