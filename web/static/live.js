// Keeps a page that is open up to date: ages go on, events bring the page anew, a reader is never moved.
// Without this file every page works; it only has to be reloaded by hand.
(function () {
  "use strict";
  var root = document.documentElement;
  var offset = Number(root.dataset.now) - Date.now() / 1000; // the server's clock ahead of ours
  var EVENTS = ["chain.corroborated", "chain.expired", "read.unexplained", "evidence.new", "actor.restarted", "actor.failed", "actor.escalated", "actor.started", "actor.stopped", "stream.missed"];
  var POLL_MS = 15000, SOON_MS = 400, LEAST_MS = 2000;

  // --- ages -------------------------------------------------------------------------------------------------------
  function duration(seconds) { // as web/shown.py writes it
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
  function tick() {
    var now = Date.now() / 1000 + offset, over = false;
    document.querySelectorAll("time[data-ago]").forEach(function (t) {
      var s = now - Number(t.dataset.ago), text = s >= 1 ? duration(s) + " ago" : "now";
      if (t.textContent !== text) t.textContent = text;
    });
    document.querySelectorAll("time[data-until]").forEach(function (t) {
      var s = Number(t.dataset.until) - now, text = s > 0 ? "in " + duration(s) : "now";
      if (t.textContent !== text) t.textContent = text;
      if (s <= 0) over = true;
    });
    if (over) refreshSoon();
  }
  setInterval(tick, 1000);

  // --- theme ------------------------------------------------------------------------------------------------------
  var themeButton = document.getElementById("theme");
  function theme() { return root.dataset.theme || "system"; }
  if (themeButton) {
    var say = function () { themeButton.querySelector(".word").textContent = theme(); };
    themeButton.addEventListener("click", function () {
      var next = { system: "light", light: "dark", dark: "system" }[theme()];
      if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
      try { localStorage.setItem("protector-theme", next); } catch (error) { /* kept for this page only */ }
      say();
    });
    say();
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
  function busy() { // somebody reads further down, or has the focus in what would be replaced: never move them
    var at = document.activeElement;
    var within = at && at !== document.body && at.closest("[data-live]");
    return window.scrollY > 240 || within || document.querySelector("[data-live] details[open]") || String(window.getSelection()).length > 0;
  }
  function offer() { show(waiting ? waiting + " new" : "Something changed", false); }

  function refresh(force) {
    if (fetching) return;
    if (!force && (paused || busy())) { if (waiting) offer(); return; }
    fetching = true;
    fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin", cache: "no-store" }).then(function (answer) {
      if (answer.status === 401) throw new Error("the session ended; reload to sign in");
      if (!answer.ok && answer.status !== 503) throw new Error("answered " + answer.status);
      return answer.text();
    }).then(function (text) {
      var fresh = new DOMParser().parseFromString(text, "text/html");
      var ids = Array.from(regions, function (region) { return region.id; });
      if (!ids.every(function (id) { return fresh.getElementById(id); })) throw new Error("it is another page now");
      if (!force && (paused || busy())) { if (waiting) offer(); return; }
      offset = Number(fresh.documentElement.dataset.now) - Date.now() / 1000;
      ids.forEach(function (id) {
        var region = document.getElementById(id);
        region.replaceChildren.apply(region, Array.from(fresh.getElementById(id).childNodes)); // a copy: the list shrinks as nodes move
      });
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
  setInterval(function () { if (!document.hidden) refresh(false); }, POLL_MS);
  document.addEventListener("visibilitychange", function () { if (!document.hidden) refresh(false); });

  var stream = new EventSource("/api/events");
  EVENTS.forEach(function (name) {
    stream.addEventListener(name, function () { waiting += 1; refreshSoon(); });
  });
  window.addEventListener("pagehide", function () { stream.close(); });
  window.addEventListener("pageshow", function (event) { if (event.persisted) location.reload(); });
})();
