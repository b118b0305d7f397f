/* Applies the chosen theme and density, whether the side bar is folded, and the direction of the language of last time, before the first paint; a plain script
   because modules run too late for that. */
(() => {
  try {
    const theme = localStorage.getItem("understudy.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    if (localStorage.getItem("understudy.density") === "compact") document.documentElement.dataset.density = "compact";
    if (localStorage.getItem("understudy.sidebar") === "folded") document.documentElement.dataset.sidebar = "folded";
    if (localStorage.getItem("understudy.dir") === "rtl") document.documentElement.dir = "rtl";
  } catch {
    // no storage: the system's theme it is
  }
})();
