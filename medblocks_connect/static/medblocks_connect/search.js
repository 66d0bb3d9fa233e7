/* Results while typing, more results in place, and buttons that lock once pressed.
   Without this script the same page works as a plain form. */
(() => {
  "use strict";
  const form = document.querySelector("[data-medblocks-search]");
  const results = document.querySelector("[data-medblocks-results]");
  const status = document.querySelector("[data-medblocks-status]");
  if (!form || !results) return;
  const input = form.elements.q;
  const pause = 250; // milliseconds without a key before Medblocks is asked
  let timer = 0;
  let current = null; // the latest question: only its answer may be shown
  let shown = input.value.trim();

  async function fetchResults(url, question) {
    const answer = await fetch(url, {
      headers: { "X-Medblocks-Fragment": "results" },
      credentials: "same-origin",
      signal: question.signal,
    });
    if (answer.status === 401) {
      window.location.assign(url);
      return null;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  }

  function announce() {
    const count = results.querySelector("[data-medblocks-count]");
    status.textContent = count ? count.textContent.trim() : "";
  }

  function showAway() {
    const notice = document.createElement("p");
    notice.className = "medblocks-notice";
    notice.dataset.medblocksCount = "";
    notice.textContent = results.dataset.medblocksAway;
    results.replaceChildren(notice);
    announce();
  }

  async function ask(url, show) {
    if (current) current.abort();
    const question = new AbortController();
    current = question;
    try {
      const html = await fetchResults(url, question);
      if (html !== null && current === question) show(html);
    } catch {
      if (current !== question) return;
      shown = null; // the same words may be asked again
      showAway();
    }
  }

  function search() {
    const asked = input.value.trim();
    if (asked === shown) return;
    shown = asked;
    const url = new URL(form.action);
    url.search = new URLSearchParams(new FormData(form));
    ask(url, (html) => {
      results.innerHTML = html;
      announce();
      window.history.replaceState(null, "", url);
    });
  }

  function append(html) {
    const page = document.createElement("template");
    page.innerHTML = html;
    const added = [...page.content.querySelectorAll("[data-medblocks-list] > li")];
    const list = results.querySelector("[data-medblocks-list]");
    const more = results.querySelector("[data-medblocks-more]").closest("p");
    const next = page.content.querySelector("[data-medblocks-more]");
    list.append(...added);
    if (next) more.replaceChildren(next);
    else more.remove();
    if (added.length) added[0].querySelector("button").focus();
  }

  input.addEventListener("input", () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(search, pause);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    window.clearTimeout(timer);
    shown = null;
    search();
  });
  results.addEventListener("click", (event) => {
    const more = event.target.closest("[data-medblocks-more]");
    if (!more) return;
    event.preventDefault();
    ask(more.href, append);
  });
})();
