/* What the console does in a browser besides htmx. Without scripts every page works as it is. */
"use strict";
(() => {
  // With scripts the slider folds by itself.
  const settle = () => document.getElementById("fold")?.setAttribute("hidden", "");
  document.addEventListener("DOMContentLoaded", settle);
  document.addEventListener("htmx:afterSettle", settle);
})();
