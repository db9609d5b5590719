// Follows the event stream of the service. Its strings are inserted as text, never as markup.
const MINUTE = 60_000;
const WINDOWS = [1, 5, 15];
const STALE = 10_000;
const AGAIN = 3_000;
const ONE_COLUMN = matchMedia("(max-width: 62rem)");
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

const $ = (id) => document.getElementById(id);
const page = {
  frame: null, chosen: null, run: null, points: [], from: null, notes: "", minutes: 5, pointed: false, picked: false,
};
let source = null, retry = null, heard = 0;

function element(name, attributes = {}, ...children) {
  const one = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  one.append(...children);
  return one;
}

function wait(us) {
  if (us === null) return "–";
  if (us < 1000) return `${us} µs`;
  return us < 1e6 ? `${(us / 1e3).toPrecision(us < 1e4 ? 2 : 3)} ms` : `${(us / 1e6).toPrecision(3)} s`;
}

const rate = (value) => (value < 10 && value % 1 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));
const count = (value) => value.toLocaleString("en");
const level = (row) => (row.peak > row.limit ? "over" : row.percent >= 80 ? "near" : "");

function state(text, kind) {
  $("state").textContent = text;
  $("state").className = `state ${kind}`;
}

function message(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

function chosenRow() {
  return page.frame && page.frame.listeners.find((row) => row.id === page.chosen);
}

// Until a listener is picked, the first of the list is shown.
function choose(id, picked) {
  page.picked = picked;
  if (page.chosen === id) return;
  page.chosen = id;
  page.points = [];
  page.from = null;
  if (picked) history.replaceState(null, "", `${location.pathname}#${id}`);
  load();
  draw();
}

// The history of the selected listener; later points arrive with the events.
async function load() {
  const id = page.chosen;
  try {
    const answer = await fetch(`history?listener=${id}`);
    if (!answer.ok) return;
    const past = await answer.json();
    if (id !== page.chosen) return;
    page.points = past.points;
    page.from = past.from_ms;
    page.notes = (past.cut ? " The past is cut: too many busy listeners." : "")
      + (past.missed ? ` ${past.missed} intervals are missing.` : "");
    drawQueue();
  } catch {
    // The stream itself detects that the service is gone.
  }
}

function took(frame) {
  heard = Date.now();
  message("");
  state(`live, ${clock(frame.time_ms)}`, "live");
  if (page.run !== frame.run.id) {
    // The IDs of listeners start again with each run.
    const named = page.run === null ? Number(location.hash.slice(1)) : 0;
    [page.run, page.chosen, page.picked, page.points] = [frame.run.id, named || null, named > 0, []];
  }
  const isFirst = page.frame === null;
  page.frame = frame;
  const first = frame.listeners[0];
  if (!page.picked && first && first.id !== page.chosen) return choose(first.id, false);
  const row = chosenRow();
  if (isFirst && page.chosen !== null) {
    load();
  } else if (row) {
    if (row.depth || row.peak || row.dropped || row.queued || row.accepted) {
      page.points.push([frame.time_ms, row.depth, row.peak, row.limit, row.dropped]);
    }
    const oldest = frame.time_ms - WINDOWS.at(-1) * MINUTE;
    page.points = page.points.filter(([time]) => time > oldest);
  } else if (page.chosen !== null) {
    load();
  }
  draw();
}

function draw() {
  if (!page.frame) return;
  const { run, listeners, left_out: leftOut } = page.frame;
  const title = run.host ? `Accept queues of ${run.host}` : "Accept queues";
  $("title").textContent = title;
  const full = listeners.filter((row) => row.peak > row.limit).length;
  document.title = full ? `(${full} full) ${title}` : title;
  $("system").textContent = `Linux ${run.kernel}, ${run.backend}, backlog-trace ${run.version}`;
  drawRows(listeners);
  $("more").textContent = leftOut ? `and ${count(leftOut)} more, less used` : listeners.length ? "" : "No listener is open.";
  drawOne();
  drawLogs();
}

function drawRows(listeners) {
  const rows = $("rows"), focused = document.activeElement && document.activeElement.dataset.id;
  rows.replaceChildren(...listeners.map((row) => {
    const button = element("button", { type: "button", "data-id": row.id }, row.name);
    const bar = element("i");
    bar.style.width = `${Math.min(row.percent, 100)}%`;
    const use = element("td", {}, `${count(row.peak)} / ${count(row.limit)}`, element("div", { class: `bar ${level(row)}` }, bar));
    if (row.peak > row.limit) use.className = "bad";
    const drops = element("td", { class: row.dropped ? "n bad" : "n" }, row.drops ? count(row.drops) : "–");
    const line = element("tr", { "data-id": row.id },
      element("th", { scope: "row" }, button, element("small", {}, row.owner || "owner unknown")),
      use,
      element("td", { class: "n wide" }, count(row.depth)),
      element("td", { class: "n wide" }, rate(row.queued)),
      element("td", { class: "n wide" }, wait(row.p99_us)),
      drops);
    if (row.id === page.chosen) {
      line.className = "on";
      button.setAttribute("aria-current", "true");
    }
    return line;
  }));
  if (focused) rows.querySelector(`button[data-id="${focused}"]`)?.focus({ preventScroll: true });
}

function drawOne() {
  const row = chosenRow();
  if (!row) {
    if (page.chosen !== null) $("verdict").replaceChildren("It is closed, or not among those listed.");
    drawQueue();
    return;
  }
  $("chosen").textContent = row.owner ? `${row.name}  ${row.owner}` : row.name;
  const about = (row.about || []).slice();
  const parts = [];
  if (row.verdict) {
    const word = row.verdict.replaceAll("_", " ");
    parts.push(element("strong", { class: row.mood }, word));
    if (about.length && about[0].startsWith(`${row.verdict}: `)) parts.push(about.shift().slice(row.verdict.length + 2));
  }
  $("verdict").replaceChildren(...parts);
  $("about").replaceChildren(...about.map((text) => element("li", {}, text)));
  drawQueue();
}

function drawQueue() {
  if (!page.frame || page.pointed) return;
  const row = chosenRow();
  const last = page.points.at(-1);
  const limit = row ? row.limit : last ? last[3] : 0;
  const to = page.frame.time_ms, from = to - page.minutes * MINUTE;
  const known = page.from === null ? to : page.from;
  const caption = `Line: depth. Area: deepest of each interval. Dashed: limit. Kept for 15 minutes.${page.notes}`;
  const show = (at, span) => {
    page.pointed = at !== null;
    if (at === null) $("caption").textContent = caption;
    else if (span) $("caption").textContent = `${clock(span.end)}: depth ${span.depth}, peak ${span.peak}, limit ${span.limit}, drops ${span.drops}`;
    else $("caption").textContent = `${clock(at)}: ${at < known ? "not recorded" : "nothing queued"}`;
  };
  $("caption").textContent = caption;
  plot($("plot"), { points: page.points, limit, from, to, interval: page.frame.run.interval_ms, known }, show);
}

function drawLogs() {
  const { drops, notices, notices_left_out: leftOut } = page.frame;
  const lines = drops.toReversed().map((drop) => element("li", {},
    element("time", {}, clock(drop.time_ms, 3)),
    `${drop.name} refused ${drop.client}: `, element("b", { class: "bad" }, drop.cause),
    `, ${count(drop.depth)} of ${count(drop.limit)}${drop.retry_ms === null ? "" : `, retry after ${wait(drop.retry_ms * 1000)}`}`));
  $("drops").replaceChildren(...(lines.length ? lines : [element("li", { class: "soft" }, "No drops yet.")]));
  const words = notices.toReversed().map((notice) => element("li", {},
    element("time", {}, notice.time_ms === null ? "at the start" : clock(notice.time_ms)), notice.text));
  if (leftOut) words.push(element("li", { class: "soft" }, `${count(leftOut)} more were left out`));
  $("notices").replaceChildren(...(words.length ? words : [element("li", { class: "soft" }, "None.")]));
}

function connect() {
  clearTimeout(retry);
  if (source) source.close();
  source = new EventSource("events");
  source.onmessage = (event) => took(JSON.parse(event.data));
  source.onerror = () => {
    state("disconnected, trying again", "lost");
    if (source.readyState !== EventSource.CLOSED) return;
    explain();
    retry = setTimeout(connect, AGAIN);
  };
}

// Why the stream was refused.
async function explain() {
  try {
    const answer = await fetch("history?listener=0");
    if (answer.status === 401) message("The token is no longer valid: the service was restarted. Open the page with its new token.");
    else if (answer.ok) message("Too many browsers show this page: close one of them.");
  } catch {
    message("");
  }
}

function watch() {
  if (source && source.readyState === EventSource.OPEN && Date.now() - heard > STALE && heard) state("no news for 10 s", "lost");
}

for (const minutes of WINDOWS) {
  const button = element("button", { type: "button", "aria-pressed": String(minutes === page.minutes) }, `${minutes} min`);
  button.onclick = () => {
    page.minutes = minutes;
    for (const other of $("windows").children) other.setAttribute("aria-pressed", String(other === button));
    drawQueue();
  };
  $("windows").append(button);
}
$("rows").addEventListener("click", (event) => {
  const line = event.target.closest("tr");
  if (!line) return;
  choose(Number(line.dataset.id), true);
  // In one column the queue is below the list.
  if (ONE_COLUMN.matches) $("one").scrollIntoView({ behavior: CALM.matches ? "auto" : "smooth" });
});
// A hidden page must not occupy a place that a visible one could use.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    clearTimeout(retry);
    state("paused", "");
  } else {
    page.frame = null;
    connect();
  }
});
addEventListener("resize", () => {
  page.pointed = false;
  drawQueue();
});
// From now on, the token is kept as a cookie.
history.replaceState(null, "", location.pathname + location.hash);
setInterval(watch, 1000);
connect();
