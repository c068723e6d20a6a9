// Sets the chosen theme before the first paint; loaded in the head, before the style. The key is the frame's to name.
(function () {
  "use strict";
  var root = document.documentElement, chosen = null;
  try { chosen = localStorage.getItem(root.dataset.themeKey || "theme"); } catch (error) { /* storage may be off: the system's theme */ }
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  root.classList.add("js");
})();
