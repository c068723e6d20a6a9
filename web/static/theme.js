// Sets the chosen theme before the first paint; loaded in the head, before the style.
(function () {
  "use strict";
  var chosen = null;
  try { chosen = localStorage.getItem("protector-theme"); } catch (error) { /* storage may be off: the system's theme */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  document.documentElement.classList.add("js");
})();
