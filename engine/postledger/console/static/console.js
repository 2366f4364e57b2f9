/* What the console does in a browser besides htmx. Without scripts every page works as it is. */
"use strict";
(() => {
  const most = 50;
  let stream = null, last = "", paused = false, retry = 0;

  const live = () => document.getElementById("live-list");

  function show(state) {
    const mark = document.getElementById("live"), text = document.getElementById("live-at");
    if (!mark || !text) return;
    mark.dataset.state = state;
    const at = text.textContent.replace(/^\D*/, "");
    text.textContent = { live: "Live at position ", paused: "Paused at position ", off: "Not live, at position " }[state] + at;
  }

  function heard(message) {
    const said = JSON.parse(message.data), table = live();
    last = message.lastEventId;
    const text = document.getElementById("live-at");
    if (text) text.textContent = "Live at position " + said.at.toLocaleString("en-US");
    if (!table || !said.key) return;
    const body = table.tBodies[0];
    document.getElementById("d" + said.key)?.remove();
    if (!said.row) return;
    // The server has escaped all of it, and no script in it would run.
    const holder = document.createElement("template");
    holder.innerHTML = said.row;
    const row = holder.content.firstElementChild;
    row.removeAttribute("hidden");
    body.prepend(row);
    while (body.rows.length > most) body.lastElementChild.remove();
  }

  function close() {
    stream?.close();
    stream = null;
    clearTimeout(retry);
  }

  // One stream a tab, and none in a tab that nobody sees: browsers open six connections to a host.
  function open() {
    close();
    const table = live();
    if (!table || paused || document.hidden) return show(paused ? "paused" : "off");
    const where = new URL(table.dataset.stream, location.href);
    if (last) where.searchParams.set("after", last);
    stream = new EventSource(where);
    stream.onopen = () => show("live");
    stream.addEventListener("heard", heard);
    stream.onerror = () => {
      show("off");
      // It comes back by itself, and says what it heard last, unless it was refused.
      if (stream?.readyState === EventSource.CLOSED) retry = setTimeout(open, 10000);
    };
  }

  function ages() {
    for (const time of document.querySelectorAll(".list time")) {
      const age = Math.max(0, (Date.now() - new Date(time.dateTime)) / 1000);
      const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([s]) => age >= s) ?? [1, "s"];
      time.textContent = Math.floor(age / size) + " " + unit;
    }
  }

  function settle() {
    // With scripts the slider folds by itself.
    document.getElementById("fold")?.setAttribute("hidden", "");
    const pause = document.getElementById("pause");
    if (pause) {
      pause.hidden = false;
      pause.onclick = () => {
        paused = !paused;
        pause.textContent = paused ? "Go on" : "Pause";
        pause.setAttribute("aria-pressed", String(paused));
        open();
      };
    }
    if (live()) {
      if (live().dataset.begun) return;
      live().dataset.begun = "yes";
      last = "";
      open();
    } else close();
  }

  document.addEventListener("DOMContentLoaded", settle);
  document.addEventListener("htmx:afterSettle", settle);
  document.addEventListener("visibilitychange", open);
  addEventListener("pagehide", close);
  setInterval(ages, 5000);
})();
