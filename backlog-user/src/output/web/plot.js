"use strict";
// Draws one queue over time: a line for the depth, an area for the deepest queue of each interval, a
// dashed line for the limit, and a mark for each interval with drops.
const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes = {}, text) {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  if (text !== undefined) one.textContent = text;
  return one;
}

function clock(ms, digits = 0) {
  const at = new Date(ms);
  const two = (number) => String(number).padStart(2, "0");
  const text = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return digits ? `${text}.${String(at.getMilliseconds()).padStart(3, "0")}` : text;
}

// The smallest round number above a value, for the top of the axis.
function roundUp(value) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((step) => step * unit).find((step) => step >= value);
}

// Points with the times at which they begin. Where there is none, nothing was queued.
function spans(points, from, to, interval) {
  return points
    .filter(([time]) => time > from && time - interval < to)
    .map(([time, depth, peak, limit, drops]) =>
      ({ begin: Math.max(time - interval, from), end: time, depth, peak, limit, drops }));
}

// A path of steps; it goes down to the ground where nothing is known to have been queued.
function steps(all, value, x, y, closes) {
  let path = "", last = null;
  for (const span of all) {
    const joins = last !== null && span.begin - last < 1.5 * (span.end - span.begin);
    if (!joins) {
      if (last !== null) path += `V${y(0)}`;
      path += closes || last === null ? `M${x(span.begin)} ${y(0)}` : `H${x(span.begin)}`;
    }
    path += `V${y(value(span))}H${x(span.end)}`;
    last = span.end;
  }
  return last === null ? "" : `${path}V${y(0)}`;
}

// Draws into `place`. Calls `show` with the span below the pointer, or null.
function plot(place, { points, limit, from, to, interval, known }, show) {
  const width = Math.max(place.clientWidth, 280), height = width < 500 ? 192 : 240;
  const left = 46, right = width - 8, top = 20, bottom = height - 22;
  const all = spans(points, from, to, interval);
  const limits = all.map((span) => span.limit);
  const peaks = all.map((span) => Math.max(span.peak, span.depth));
  // A queue far below a large limit gets its own scale, since a flat line would show nothing.
  const highest = Math.max(1, ...peaks);
  const shown = Math.max(limit, ...limits);
  const most = highest * 20 < shown ? roundUp(highest * 1.1) : Math.max(shown * 1.12, highest * 1.05);
  const x = (time) => (left + ((right - left) * (time - from)) / (to - from)).toFixed(1);
  const y = (value) => (bottom - ((bottom - top) * value) / most).toFixed(1);
  const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const drops = all.filter((span) => span.drops > 0);
  svg.setAttribute("aria-label", `Depth of the queue: at most ${Math.max(0, ...peaks)} of ${limit}, `
    + `drops in ${drops.length} intervals`);
  if (known > from) {
    const end = x(Math.min(known, to));
    svg.append(node("rect", { class: "unknown", x: left, y: top, width: end - left, height: bottom - top }));
    if (end - left > 120) svg.append(node("text", { x: left + 8, y: top + 18 }, "not recorded"));
  }
  svg.append(node("line", { class: "grid", x1: left, x2: right, y1: bottom, y2: bottom }));
  svg.append(node("text", { x: left - 6, y: bottom + 4, "text-anchor": "end" }, "0"));
  if (limit <= most) {
    svg.append(node("text", { class: "limit", x: left - 6, y: +y(limit) + 4, "text-anchor": "end" }, limit));
  } else {
    svg.append(node("text", { x: left - 6, y: top + 4, "text-anchor": "end" }, Math.round(most)));
    svg.append(node("text", { class: "limit", x: right, y: top - 6, "text-anchor": "end" }, `limit ${limit}, far above`));
  }
  for (let part = 0; part <= 2; part++) {
    const time = from + ((to - from) * part) / 2;
    const anchor = ["start", "middle", "end"][part];
    svg.append(node("text", { x: x(time), y: height - 4, "text-anchor": anchor }, clock(time)));
  }
  svg.append(node("path", { class: "peak", d: steps(all, (span) => span.peak, x, y, true) }));
  svg.append(node("path", { class: "depth", d: steps(all, (span) => span.depth, x, y, false) }));
  if (limit <= most) {
    // The line follows the last known limit, with a step where it has changed.
    let path = "", was = all.length ? all[0].limit : limit;
    path += `M${x(Math.max(from, known))} ${y(was)}`;
    for (const span of all) {
      if (span.limit !== was) path += `H${x(span.begin)}V${y(span.limit)}`;
      was = span.limit;
    }
    svg.append(node("path", { class: "limit", d: `${path}H${right}` }));
  }
  for (const span of drops) {
    svg.append(node("line", { class: "drop", x1: x(span.end), x2: x(span.end), y1: top - 12, y2: top - 3 }));
  }
  if (drops.length) svg.append(node("text", { class: "drop", x: left - 6, y: top - 3, "text-anchor": "end" }, "drops"));
  const cursor = node("line", { class: "cursor", y1: top, y2: bottom, visibility: "hidden" });
  svg.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = from + ((to - from) * (((event.clientX - box.left) / box.width) * width - left)) / (right - left);
    if (at < from || at > to) return;
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    show(at, all.find((span) => span.begin < at && at <= span.end) || null);
  });
  svg.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    show(null, null);
  });
  place.replaceChildren(svg);
}
