/* One press starts one thing: the page's buttons lock, and the pressed one says what is under way. */
(() => {
  "use strict";
  const longest = 15000; // milliseconds: nothing tells a page that the browser's Stop was pressed
  let unlock = null;
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-medblocks-start]");
    if (!form || event.defaultPrevented) return;
    if (unlock) event.preventDefault();
    else unlock = lock(event.submitter, form.dataset.medblocksStart);
  });
  function lock(button, words) {
    const label = button && (button.querySelector("small") || button);
    const before = label && [...label.childNodes];
    if (button) button.setAttribute("aria-busy", "true");
    if (label && words) label.textContent = words;
    const timer = window.setTimeout(() => unlock(), longest);
    return () => {
      window.clearTimeout(timer);
      if (button) button.removeAttribute("aria-busy");
      if (label) label.replaceChildren(...before);
      unlock = null;
    };
  }
  // Back from the portal with the browser's button: the page is as it was left, so unlock it.
  window.addEventListener("pageshow", () => unlock && unlock());
})();
