/* Results while typing, more results in place, and word of them to a screen reader, once.
   Without this script the same page works as a plain form. */
(() => {
  "use strict";
  const form = document.querySelector("[data-medblocks-search]");
  const results = document.querySelector("[data-medblocks-results]");
  const status = document.querySelector("[data-medblocks-status]");
  const missing = document.querySelector("[data-medblocks-missing]");
  if (!form || !results) return;
  const input = form.elements.q;
  const pause = Number(form.dataset.medblocksPause) || 250; // milliseconds without a key
  const quiet = 700; // milliseconds without new results before they are told
  const mostRecommended = 20;
  let timer = 0;
  let telling = 0;
  let current = null; // the latest question: only its answer may be shown
  let shown = question();

  function question() {
    return new URLSearchParams(new FormData(form)).toString();
  }

  async function fetchResults(url, signal, kind) {
    const answer = await fetch(url, {
      headers: { "X-Medblocks-Fragment": kind },
      credentials: "same-origin",
      signal,
    });
    if (answer.status === 401) {
      window.location.assign(url);
      return null;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  }

  function announce() {
    window.clearTimeout(telling);
    status.textContent = ""; // so that the same words are told again for other results
    telling = window.setTimeout(() => {
      const count = results.querySelector("[data-medblocks-count]");
      status.textContent = count ? count.textContent.replace(/\s+/g, " ").trim() : "";
    }, quiet);
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
    const asking = new AbortController();
    current = asking;
    try {
      const html = await fetchResults(url, asking.signal, "results");
      if (html !== null && current === asking) show(html);
    } catch {
      if (current !== asking) return;
      shown = null; // the same words may be asked again
      showAway();
    }
  }

  /* The form that tells what is missing knows what was typed and what was shown so far. */
  function noteShown() {
    if (!missing) return;
    const text = missing.querySelector("[name=text]");
    if (text && !text.dataset.medblocksEdited) text.value = input.value.trim();
    if (results.querySelector("[data-medblocks-none]")) missing.open = true;
    const hosted = missing.querySelector("[data-medblocks-hosted]");
    if (!hosted) return;
    const ids = [...hosted.querySelectorAll("[name=shown]")].map((each) => each.value);
    for (const button of results.querySelectorAll("[name=connection_id]")) ids.push(button.value);
    for (const field of hosted.querySelectorAll("[name=shown]")) field.remove();
    for (const id of [...new Set(ids.reverse())].slice(0, mostRecommended).reverse()) {
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name: "shown", value: id });
      hosted.append(field);
    }
  }

  function currentUrl() {
    const url = new URL(form.action);
    const asked = new URLSearchParams(new FormData(form));
    if (!asked.get("type")) asked.delete("type");
    url.search = asked;
    return url;
  }

  function search() {
    const asked = question();
    if (asked === shown) return;
    shown = asked;
    const url = currentUrl();
    ask(url, (html) => {
      results.innerHTML = html;
      noteShown();
      announce();
      window.history.replaceState(null, "", url);
    });
  }

  /* Typing is over: what was found or not is worth counting now. */
  function settle() {
    if (!results.querySelector("[data-medblocks-none]")) return;
    fetchResults(currentUrl(), undefined, "settled").catch(() => {});
  }

  function append(html) {
    const page = document.createElement("template");
    page.innerHTML = html;
    const added = [...page.content.querySelectorAll("[data-medblocks-list] > li")];
    const list = results.querySelector("[data-medblocks-list]");
    const more = results.querySelector("[data-medblocks-more]").closest("p");
    const next = page.content.querySelector("[data-medblocks-more]");
    const count = page.content.querySelector("[data-medblocks-count]");
    list.append(...added);
    if (count) results.querySelector("[data-medblocks-count]").replaceWith(count);
    if (next) more.replaceChildren(next);
    else more.remove();
    noteShown();
    announce();
    if (added.length) added[0].querySelector("button").focus();
  }

  input.addEventListener("input", () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(search, pause);
  });
  input.addEventListener("change", settle);
  if (form.elements.type) form.elements.type.addEventListener("change", search);
  if (missing) {
    missing.addEventListener("input", (event) => {
      if (event.target.name === "text") event.target.dataset.medblocksEdited = "true";
    });
  }
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

  /* Arrow keys walk from the box through the results; Escape leads back. Tab works as ever. */
  function walk(event) {
    const places = [...results.querySelectorAll("[name=connection_id]")];
    const at = places.indexOf(event.target);
    if (event.target !== input && at < 0) return;
    let next;
    if (event.key === "ArrowDown") next = places[at + 1];
    else if (at >= 0 && event.key === "ArrowUp") next = places[at - 1] || input;
    else if (at >= 0 && event.key === "Escape") next = input;
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
  input.addEventListener("keydown", walk);
  results.addEventListener("keydown", walk);
})();
