// Keeps a page that is open up to date: ages and countdowns go on, events bring the page anew, a reader is never moved.
// Without this file every page works; it only has to be reloaded by hand. The frame says on <html> what is its own:
// data-now (the server's time), data-stream (the event stream's address), data-events (names that bring the page anew),
// data-theme-key. Regions with data-live and an id are replaced; data-poll-s is how often, where it is not the usual.
(function () {
  "use strict";
  var root = document.documentElement;
  var offset = Number(root.dataset.now) - Date.now() / 1000; // the server's clock ahead of ours
  var EVENTS = (root.dataset.events || "").split(" ").filter(Boolean);
  var POLL_S = 15, SOON_MS = 400, LEAST_MS = 2000;

  // --- ages -------------------------------------------------------------------------------------------------------
  function duration(seconds) { // as words.py writes it
    var whole = Math.max(0, Math.floor(seconds));
    var units = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];
    for (var i = 0; i < units.length; i++) {
      var u = units[i];
      if (whole >= u[0]) {
        var rest = Math.floor((whole % u[0]) / u[2]);
        return Math.floor(whole / u[0]) + " " + u[1] + (rest ? " " + rest + " " + u[3] : "");
      }
    }
    return whole + " s";
  }
  function short(seconds) { return seconds < 10 ? Math.max(0, seconds).toFixed(1) + " s" : duration(seconds); }
  function say(selector, write) {
    document.querySelectorAll(selector).forEach(function (t) {
      var text = write(t);
      if (t.textContent !== text) t.textContent = text;
    });
  }
  function now() { return Date.now() / 1000 + offset; }
  function tick() {
    var over = false;
    say("time[data-ago]", function (t) { var s = now() - Number(t.dataset.ago); return s >= 1 ? duration(s) + " ago" : "now"; });
    say("time[data-until]", function (t) { var s = Number(t.dataset.until) - now(); over = over || s <= 0; return s > 0 ? "in " + duration(s) : "now"; });
    say("time[data-lasting]", function (t) { return short(now() - Number(t.dataset.lasting)); });
    if (over) refreshSoon();
  }
  function count() { // what is awaited, by tenths
    var over = false;
    say("time[data-countdown]", function (t) { var s = Number(t.dataset.countdown) - now(); over = over || s <= 0; return s > 0 ? "in " + short(s) : "now"; });
    if (over) refreshSoon();
  }
  setInterval(tick, 1000);
  setInterval(count, 200);

  // --- theme ------------------------------------------------------------------------------------------------------
  var themeButton = document.getElementById("theme");
  function theme() { return root.dataset.theme || "system"; }
  if (themeButton) {
    var sayTheme = function () { themeButton.querySelector(".word").textContent = theme(); };
    themeButton.addEventListener("click", function () {
      var next = { system: "light", light: "dark", dark: "system" }[theme()];
      if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
      try { localStorage.setItem(root.dataset.themeKey || "theme", next); } catch (error) { /* kept for this page only */ }
      sayTheme();
    });
    sayTheme();
  }

  // --- live -------------------------------------------------------------------------------------------------------
  var regions = document.querySelectorAll("[data-live]"), bar = document.getElementById("bar"), pause = document.getElementById("pause");
  if (!regions.length || !bar || !pause) return;
  var paused = false, waiting = 0, timer = null, fetchedAt = Date.now(), fetching = false;

  function show(text, stale) {
    bar.firstElementChild.textContent = text;
    bar.classList.toggle("stale", Boolean(stale));
    bar.querySelector("button").textContent = stale ? "Try again" : "Show";
    bar.hidden = false;
  }
  function held() { // the focus, a selection or an opened detail is in what would be replaced: leave it alone
    var at = document.activeElement;
    var within = at && at !== document.body && at.closest("[data-live]");
    return within || document.querySelector("[data-live] details[open]") || String(window.getSelection()).length > 0;
  }
  function readsOn() { return window.scrollY > 240; } // somebody reads further down: nothing may move
  function offer() { show(waiting ? waiting + " new" : "Something changed", false); }

  function rows(region) { return Array.from(region.querySelectorAll("[data-row]")); }
  function patch(region, fresh) { // the same rows in the same order: their cells are renewed in place, so nothing moves
    var old = rows(region), made = rows(fresh);
    if (!old.length || old.length !== made.length) return false;
    var same = old.every(function (row, i) { return row.dataset.row === made[i].dataset.row; });
    if (same) old.forEach(function (row, i) { row.replaceChildren.apply(row, Array.from(made[i].childNodes)); });
    return same;
  }

  function refresh(force) {
    if (fetching) return;
    if (!force && (paused || held())) { if (waiting) offer(); return; }
    fetching = true;
    fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin", cache: "no-store" }).then(function (answer) {
      if (answer.status === 401) throw new Error("the session ended; reload to sign in");
      if (!answer.ok && answer.status !== 503) throw new Error("answered " + answer.status);
      return answer.text();
    }).then(function (text) {
      var fresh = new DOMParser().parseFromString(text, "text/html");
      var ids = Array.from(regions, function (region) { return region.id; });
      if (!ids.every(function (id) { return fresh.getElementById(id); })) throw new Error("it is another page now");
      if (!force && (paused || held())) { if (waiting) offer(); return; }
      offset = Number(fresh.documentElement.dataset.now) - Date.now() / 1000;
      var place = function (id) { return [document.getElementById(id), fresh.getElementById(id)]; };
      if (!force && readsOn()) {
        if (!ids.map(place).every(function (pair) { return patch(pair[0], pair[1]); })) { if (waiting) offer(); return; }
      } else {
        ids.map(place).forEach(function (pair) {
          pair[0].replaceChildren.apply(pair[0], Array.from(pair[1].childNodes)); // a copy: the list shrinks as nodes move
        });
      }
      document.title = fresh.title;
      document.body.className = fresh.body.className;
      var foot = fresh.querySelector(".foot");
      if (foot) document.querySelector(".foot").replaceWith(document.adoptNode(foot));
      waiting = 0; fetchedAt = Date.now(); bar.hidden = true;
      tick();
    }).catch(function (error) {
      var at = new Date((fetchedAt / 1000 + offset) * 1000).toISOString().slice(11, 19);
      show("Not up to date: what is shown is of " + at + " UTC (" + error.message + ").", true);
    }).finally(function () { fetching = false; });
  }
  function refreshSoon() {
    if (timer) return;
    timer = setTimeout(function () { timer = null; refresh(false); }, Math.max(SOON_MS, LEAST_MS - (Date.now() - fetchedAt)));
  }

  bar.querySelector("button").addEventListener("click", function () { refresh(true); });
  pause.addEventListener("click", function () {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.querySelector(".word").textContent = paused ? "Paused" : "Live";
    if (!paused) refresh(true);
  });
  var poll = Math.min.apply(null, Array.from(regions, function (region) { return Number(region.dataset.pollS) || POLL_S; }));
  setInterval(function () { if (!document.hidden) refresh(false); }, poll * 1000);
  document.addEventListener("visibilitychange", function () { if (!document.hidden) refresh(false); });

  if (root.dataset.stream) {
    var stream = new EventSource(root.dataset.stream);
    EVENTS.forEach(function (name) {
      stream.addEventListener(name, function () { waiting += 1; refreshSoon(); });
    });
    window.addEventListener("pagehide", function () { stream.close(); });
  }
  window.addEventListener("pageshow", function (event) { if (event.persisted) location.reload(); });
})();
