/* Applies the chosen theme before the first paint; a plain script because modules run too late for that. */
(() => {
  try {
    const theme = localStorage.getItem("understudy.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // no storage: the system's theme it is
  }
})();
