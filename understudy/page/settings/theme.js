/** Theme and density as the user has chosen them. `first_paint.js` applies the choices before anything is drawn. */

export const CHOICES = Object.freeze({ theme: ["auto", "light", "dark"], density: ["comfortable", "compact"] }); // the first is no choice

/** Returns the user's choice; `name` is "theme" or "density". */
export function chosen(storage, name) {
  const value = storage.getItem(`understudy.${name}`);
  return CHOICES[name].includes(value) ? value : CHOICES[name][0];
}

/** Stores a choice, and shows the page by it. */
export function choose(storage, name, value) {
  if (value === CHOICES[name][0]) {
    storage.removeItem(`understudy.${name}`);
    delete document.documentElement.dataset[name];
  } else {
    storage.setItem(`understudy.${name}`, value);
    document.documentElement.dataset[name] = value;
  }
}
