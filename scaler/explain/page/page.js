// Keeps the page up to date: it fetches the page again and changes what differs, so
// that focus, scrolling, selections and what is unfolded stay as they are.
"use strict";
(() => {
  const interval = 2000; // milliseconds
  const main = document.getElementById("main");
  const freshness = document.getElementById("freshness");
  const pause = document.getElementById("pause");
  let timer, request;

  const changed = (from, to) => from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || from.id !== to.id;

  // update makes one node like another of the same kind.
  function update(from, to) {
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.data !== to.data) from.data = to.data;
      return;
    }
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    for (const name of from.getAttributeNames()) {
      const unfolded = name === "open" && from.nodeName === "DETAILS";
      if (!to.hasAttribute(name) && !unfolded) from.removeAttribute(name);
    }
    updateChildren(from, to);
  }

  // updateChildren matches children by id, and those without one by their order.
  function updateChildren(from, to) {
    const wanted = new Set(Array.from(to.children, (child) => child.id));
    const known = new Map();
    for (const child of from.children) if (child.id) known.set(child.id, child);
    let at = from.firstChild;
    const skip = () => {
      while (at && at.id && !wanted.has(at.id)) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
      }
    };
    for (const next of Array.from(to.childNodes)) {
      skip();
      const same = next.id ? known.get(next.id) : at && !changed(at, next) ? at : undefined;
      if (!same || changed(same, next)) {
        from.insertBefore(document.importNode(next, true), at);
        continue;
      }
      if (same === at) at = at.nextSibling;
      else if (from.moveBefore) from.moveBefore(same, at);
      else from.insertBefore(same, at);
      update(same, next);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  // looked returns what the person is looking at: what has the focus, or else the first
  // small thing on the screen. At its top the page may grow downwards.
  function looked() {
    const seen = (e) => {
      const box = e.getBoundingClientRect();
      return box.top >= 0 && box.top < innerHeight && box.height > 0 && box.height < innerHeight;
    };
    if (scrollY === 0) return undefined;
    if (main.contains(document.activeElement) && seen(document.activeElement)) return document.activeElement;
    for (let y = 0; y < innerHeight; y += 20) {
      const e = document.elementFromPoint(innerWidth / 3, y);
      if (e && e !== main && main.contains(e) && seen(e)) return e;
    }
    return undefined;
  }

  function show(next) {
    const fresh = next && next.getElementById("main");
    if (!fresh) return false;
    if (fresh.dataset.version !== main.dataset.version) {
      location.reload(); // another version of the program answers
      return true;
    }
    const focused = document.activeElement;
    const fixed = looked();
    const before = fixed && fixed.getBoundingClientRect().top;
    update(main, fresh);
    if (fixed && fixed.isConnected) scrollBy(0, fixed.getBoundingClientRect().top - before);
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    if (document.title !== next.title) document.title = next.title;
    return true;
  }

  function say(text, stale) {
    if (freshness.textContent !== text) freshness.textContent = text;
    freshness.classList.toggle("stale", stale);
  }

  const paused = () => document.hidden || pause.getAttribute("aria-pressed") === "true";

  function fetchPage() {
    if (paused()) return;
    request = new XMLHttpRequest();
    request.open("GET", location.pathname + location.search);
    request.responseType = "document";
    request.timeout = 10000;
    request.onload = function () {
      if (this.status === 200 && show(this.response)) say("Updated every " + interval / 1000 + " s", false);
      else say("Not up to date: the scaler answers with status " + this.status, true);
    };
    request.onerror = request.ontimeout = () => say("Not up to date: the scaler does not answer", true);
    request.onloadend = schedule;
    request.send();
  }

  function schedule() {
    clearTimeout(timer);
    if (!paused()) timer = setTimeout(fetchPage, interval);
  }

  // resume starts again after a pause, and ends what is under way before one.
  function resume() {
    clearTimeout(timer);
    if (request) request.abort();
    clearTimeout(timer);
    if (!paused()) fetchPage();
    else if (!document.hidden) say("Paused", false);
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", String(pause.getAttribute("aria-pressed") !== "true"));
    resume();
  });
  document.addEventListener("visibilitychange", resume);
  schedule();
})();
