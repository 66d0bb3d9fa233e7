/* One press starts one attempt: the buttons lock once pressed. */
(() => {
  "use strict";
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-medblocks-start]");
    if (!form) return;
    if (form.dataset.medblocksBusy) {
      event.preventDefault();
      return;
    }
    form.dataset.medblocksBusy = "true";
    if (event.submitter) event.submitter.setAttribute("aria-busy", "true");
  });
  // Back from the portal with the browser's button: the page is as it was left, so unlock it.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("[data-medblocks-start]")) {
      delete form.dataset.medblocksBusy;
      for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
    }
  });
})();
