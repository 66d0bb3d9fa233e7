/* Results while typing, more results in place, and word of them to a screen reader, once.
   Without this script the same page works as a plain form. */
(() => {
  "use strict";
  const part = (name) => document.querySelector(`[data-medblocks-${name}]`);
  const form = part("search");
  const results = part("results");
  const status = part("status");
  const searching = part("searching");
  const journey = part("journey");
  const missing = part("missing");
  if (!form || !results) return;
  const input = form.elements.q;
  const pause = Number(form.dataset.medblocksPause) || 250; // milliseconds without a key
  const quiet = 700; // milliseconds without new results before they are told
  const slow = 400; // milliseconds without an answer before the page says that it searches
  const mostRecommended = 20;
  const patientField = document.querySelector("[name=medblocks_patient]");
  const madeFor = patientField && patientField.value;
  let timer = 0;
  let telling = 0;
  let waiting = 0;
  let current = null; // the latest request: only its answer may be shown
  let asked = question(); // the latest question
  let answered = asked; // the one whose answer is shown
  let settled = null; // the one that was typed to its end
  let counted = shows("missed") ? asked : null; // the one that the server counted as missed
  let reveals = false; // whether the answer is brought into view
  let folded = false; // the journey, by us and not by the patient
  let opened = false; // the form for what is missing, likewise

  function question() {
    return new URLSearchParams(new FormData(form)).toString();
  }

  function shows(name) {
    return results.querySelector(`[data-medblocks-${name}]`);
  }

  async function fetchResults(url, kind, signal) {
    const answer = await fetch(url, {
      headers: { "X-Medblocks-Fragment": kind },
      credentials: "same-origin",
      signal,
    });
    if (answer.status === 401) {
      window.location.assign(url);
      return null;
    }
    if (!answer.ok) throw answer;
    return answer.text();
  }

  function tell() {
    window.clearTimeout(telling);
    if (status) status.textContent = ""; // so that the same words are told again for other results
    telling = window.setTimeout(() => {
      const count = shows("count");
      if (status && count) status.textContent = count.textContent.replace(/\s+/g, " ").trim();
    }, quiet);
    if (!reveals) return;
    // The first place first: where both do not fit, the count is what stays in view.
    for (const each of [results.querySelector("[name=connection_id]"), shows("count")])
      if (each) each.scrollIntoView({ block: "nearest" });
  }

  function showTrouble(words) {
    const notice = document.createElement("p");
    notice.className = "medblocks-notice";
    notice.dataset.medblocksCount = "";
    notice.textContent = words;
    results.replaceChildren(notice);
    tell();
  }

  function showWaiting(isWaiting) {
    window.clearTimeout(waiting);
    waiting = 0;
    if (searching) searching.hidden = !isWaiting;
    if (isWaiting) results.setAttribute("aria-busy", "true");
    else results.removeAttribute("aria-busy");
  }

  async function ask(url, kind, show) {
    if (current) current.abort();
    const asking = new AbortController();
    current = asking;
    // Not anew for each letter: it counts from the first that has no answer.
    if (!waiting) waiting = window.setTimeout(showWaiting, slow, true);
    try {
      const html = await fetchResults(url, kind, asking.signal);
      if (html === null || current !== asking) return;
      showWaiting(false);
      show(html);
    } catch (failure) {
      if (current !== asking) return;
      showWaiting(false);
      asked = null; // the same words may be asked again
      const { medblocksTooFast, medblocksAway } = results.dataset;
      showTrouble(failure.status === 429 ? medblocksTooFast : medblocksAway);
    }
  }

  /* Why, how and who sees it makes room for the results, and comes back with an empty box. */
  function foldJourney() {
    const isTyped = Boolean(input.value.trim());
    if (!journey || isTyped === folded || (isTyped && !journey.open)) return;
    journey.open = !isTyped;
    folded = isTyped;
  }

  function markBox() {
    const isTooShort = results.querySelector("#medblocks-too-short") && settled === answered;
    if (isTooShort) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }

  /* The form that tells what is missing knows what was typed and what was shown so far. */
  function noteShown() {
    if (!missing) return;
    const text = missing.querySelector("[name=text]");
    const isEdited = text && text.dataset.medblocksEdited;
    if (text && !isEdited) text.value = input.value.trim();
    const isMissed = Boolean(shows("missed"));
    if (isMissed !== missing.open && (isMissed || (opened && !isEdited))) {
      missing.open = isMissed;
      opened = isMissed;
    }
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

  /* Somebody else may be signed in since: whom the page was opened for is whom its forms are for. */
  function keepPatient() {
    for (const field of results.querySelectorAll("[name=medblocks_patient]"))
      if (madeFor && field.value !== madeFor) field.setAttribute("value", madeFor);
  }

  function currentUrl() {
    const url = new URL(form.action);
    const fields = new URLSearchParams(new FormData(form));
    if (!fields.get("type")) fields.delete("type");
    url.search = fields;
    return url;
  }

  function search(kind = "results") {
    const asking = question();
    if (asking === asked) return;
    asked = asking;
    const url = currentUrl();
    ask(url, kind, (html) => {
      results.innerHTML = html;
      keepPatient();
      answered = asking;
      if (kind === "settled") counted = asking;
      noteShown();
      tell();
      window.history.replaceState(null, "", url);
      if (settled === asking) settle();
      else markBox();
    });
  }

  /* Typing is over: what was found or not is worth counting, now or once the answer is there. */
  function settle() {
    settled = question();
    markBox();
    if (answered !== settled || counted === settled || !shows("missed")) return;
    counted = settled;
    fetchResults(currentUrl(), "settled").catch(() => {});
  }

  function searchNow() {
    window.clearTimeout(timer);
    asked = null;
    reveals = true;
    settled = question();
    search(counted === settled ? "results" : "settled");
  }

  function append(html) {
    const page = document.createElement("template");
    page.innerHTML = html;
    const added = [...page.content.querySelectorAll("[data-medblocks-list] > li")];
    const more = shows("more").closest("p");
    const next = page.content.querySelector("[data-medblocks-more]");
    const count = page.content.querySelector("[data-medblocks-count]");
    shows("list").append(...added);
    if (count) shows("count").replaceWith(count);
    if (next) more.replaceChildren(next);
    else more.remove();
    noteShown();
    tell();
    if (added.length) added[0].querySelector("button").focus();
  }

  input.addEventListener("input", () => {
    reveals = false;
    foldJourney();
    window.clearTimeout(timer);
    timer = window.setTimeout(search, pause);
  });
  input.addEventListener("change", settle);
  if (form.elements.type) form.elements.type.addEventListener("change", searchNow);
  if (missing) {
    missing.addEventListener("input", (event) => {
      if (event.target.name === "text") event.target.dataset.medblocksEdited = "true";
    });
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // A keyboard on the screen would hide what is found.
    if (window.matchMedia("(pointer: coarse)").matches) input.blur();
    searchNow();
  });
  results.addEventListener("click", (event) => {
    const more = event.target.closest("[data-medblocks-more]");
    if (!more) return;
    event.preventDefault();
    more.setAttribute("aria-busy", "true");
    reveals = false;
    ask(more.href, "results", append);
  });
  // Kept by the browser since before the patient signed out, or was at the portal.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
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
