"use strict";
// Copy buttons. They are hidden until there is a clipboard to copy to (https or localhost).
document.addEventListener("DOMContentLoaded", () => {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("[data-medblocks-copy]")) {
    button.hidden = false;
    const label = button.textContent;
    button.addEventListener("click", async () => {
      const from = button.dataset.medblocksFrom;
      const text = from ? document.getElementById(from).textContent : button.dataset.medblocksCopy;
      await navigator.clipboard.writeText(text);
      button.textContent = button.dataset.medblocksCopied;
      window.setTimeout(() => { button.textContent = label; }, 2000);
    });
  }
});
