
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const canvas = byId("graph"), scroll = byId("scroll"), spacer = byId("spacer"), details = byId("details"), marker = byId("marker");
  const ROW = 20, LEAST = 0.5, FONT = "12px system-ui, -apple-system, 'Segoe UI', sans-serif";
  const count = data.frame.length, depth = data.depth;

  // The tree, from nodes in drawing order: a node's descendants are those that follow it up to its end.
  const parent = new Int32Array(count), end = new Int32Array(count), left = new Float64Array(count);
  {
    const path = [];
    for (let i = 0; i < count; i++) {
      while (path.length > depth[i]) end[path.pop()] = i;
      parent[i] = path.length ? path[path.length - 1] : -1;
      path.push(i);
    }
    while (path.length) end[path.pop()] = count;
  }

  let type = data.first, before = null, after = null, value = null;
  let zoomed = 0, focused = 0, hovered = -1, found = null, colours = {}, scheduled = false;

  const frameOf = (i) => data.frames[data.frame[i]];
  const unit = () => data.types[type].unit;
  const nodes = function* (from) { for (let i = from + 1; i < end[from]; i = end[i]) yield i; };

  function choose(index) {
    type = index;
    before = data.compared ? data.values[index] : null;
    after = data.values[data.compared ? index + data.types.length : index];
    // Compared: both together, so that what went away has a width too and widths still add up.
    value = data.compared ? after.map((v, i) => v + before[i]) : after;
    const next = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      left[i] = i ? next[parent[i]] : 0;
      next[i] = left[i];
      if (i) next[parent[i]] += value[i];
    }
    if (!value[zoomed]) zoomed = 0;
    if (!value[focused]) focused = zoomed;
    search();
    describe(focused);
    fillTable();
    summarize();
    draw();
  }

  // Numbers as people read them.
  function figures(v) { return v < 9.995 ? v.toFixed(2) : v < 99.95 ? v.toFixed(1) : v.toFixed(0); }
  function amount(v) {
    const sign = v < 0 ? "-" : "";
    v = Math.abs(v);
    if (unit() === "bytes") {
      const names = ["B", "KiB", "MiB", "GiB", "TiB"];
      let i = 0;
      while (v >= 999.5 && i < names.length - 1) { v /= 1024; i++; }
      return sign + (i ? figures(v) : v.toFixed(0)) + " " + names[i];
    }
    if (unit() === "nanoseconds") {
      return sign + (v >= 1e9 ? figures(v / 1e9) + " s" : v >= 1e6 ? figures(v / 1e6) + " ms" : figures(v / 1e3) + " µs");
    }
    return sign + v.toLocaleString("en-US") + (unit() && unit() !== "count" ? " " + unit() : "");
  }
  const signed = (v) => (v > 0 ? "+" : "") + amount(v);
  function share(part, whole) {
    if (!whole) return "-";
    const percent = 100 * part / whole;
    return (percent && Math.abs(percent) < 0.1 ? "<0.1" : percent.toFixed(1)) + "%";
  }
  const place = (f) => f[1] ? f[1] + (f[2] > 0 ? ":" + f[2] : "") : "";

  // Drawing: only the rows in sight, only bars that can be seen.
  const x0 = () => left[zoomed], width = () => scroll.clientWidth;
  function box(i) {
    const scale = value[zoomed] ? width() / value[zoomed] : 0;
    if (i <= zoomed && zoomed < end[i]) return [0, width()];
    return [(left[i] - x0()) * scale, value[i] * scale];
  }
  function colour(i) {
    if (found && found[i]) return colours.found;
    if (!data.compared) return i ? colours["origin" + frameOf(i)[3]] : colours.root;
    const change = value[i] ? (after[i] - before[i]) / value[i] : 0;
    if (Math.abs(change) < 0.02) return colours.same;
    return mix(colours.same, change > 0 ? colours.grew : colours.shrank, 0.25 + 0.75 * Math.abs(change));
  }
  const channels = (hex) => {
    const full = hex.length === 4 ? hex.replace(/[0-9a-f]/gi, "$&$&") : hex;
    return [1, 3, 5].map((at) => parseInt(full.slice(at, at + 2), 16));
  };
  function mix(from, to, part) {
    const a = channels(from), b = channels(to);
    return `rgb(${a.map((v, i) => Math.round(v + (b[i] - v) * part)).join(",")})`;
  }
  function label(context, text, x, y, room) {
    if (room < 24) return;
    const letters = Math.floor(room / 6.2);
    let shown = text.length > letters ? text.slice(0, Math.max(1, letters - 1)) + "…" : text;
    while (shown.length > 2 && context.measureText(shown).width > room) shown = shown.slice(0, -2) + "…";
    context.fillText(shown, x, y);
  }
  function bar(context, i, top) {
    const [start, wide] = box(i), x = Math.max(0, start), w = Math.min(width(), start + wide) - x;
    context.globalAlpha = i < zoomed && zoomed < end[i] ? 0.55 : found && !found[i] ? 0.5 : 1;
    context.fillStyle = colour(i);
    context.fillRect(x, top, Math.max(LEAST, w - 1), ROW - 1);
    context.globalAlpha = 1;
    context.fillStyle = colours["bar-text"];
    const f = frameOf(i);
    label(context, i ? f[0] + (f[2] > 0 && w > 260 ? "  " + place(f) : "") : `all  ${amount(after[0])}`, x + 5, top + 14, w - 9);
  }
  // The frame around a bar is an element of its own: a moving pointer must not draw everything anew.
  function mark() {
    const i = hovered >= 0 ? hovered : document.activeElement === canvas ? focused : -1;
    marker.hidden = i < 0 || !value[i];
    if (marker.hidden) return;
    const [start, wide] = box(i), x = Math.max(0, start);
    marker.style.left = `${x}px`;
    marker.style.top = `${depth[i] * ROW}px`;
    marker.style.width = `${Math.max(2, Math.min(width(), start + wide) - x - 1)}px`;
    marker.style.height = `${ROW - 1}px`;
  }
  function paint() {
    scheduled = false;
    let deepest = depth[zoomed];
    const scale = value[zoomed] ? width() / value[zoomed] : 0, seen = [];
    for (let i = 0; i < count;) {
      const above = i <= zoomed && zoomed < end[i];
      const inside = i > zoomed && i < end[zoomed];
      if (!above && (!inside || value[i] * scale < LEAST)) { i = end[i]; continue; }
      seen.push(i);
      if (depth[i] > deepest) deepest = depth[i];
      i++;
    }
    spacer.style.height = Math.max((deepest + 1) * ROW + 4, scroll.clientHeight - 1) + "px";
    const ratio = window.devicePixelRatio || 1, high = scroll.clientHeight, wide = width();
    canvas.style.height = high + "px";
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = FONT;
    for (const i of seen) {
      const top = depth[i] * ROW - scroll.scrollTop;
      if (top > -ROW && top < high) bar(context, i, top);
    }
    mark();
  }
  function draw() {
    if (!scheduled) { scheduled = true; requestAnimationFrame(paint); }
  }
  function at(event) {
    const area = canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - area.top + scroll.scrollTop) / ROW), x = event.clientX - area.left;
    for (let i = 0; i < count;) {
      const [start, wide] = box(i);
      if (x < start || x >= start + wide || (i > zoomed && i >= end[zoomed])) { i = end[i]; continue; }
      if (depth[i] === row) return i;
      i++;
    }
    return -1;
  }

  // Words about a bar.
  function line(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.textContent = text;
    return element;
  }
  function describe(i) {
    const f = frameOf(i);
    let own = after[i];
    for (const child of nodes(i)) own -= after[child];
    const parts = data.compared
      ? [`${amount(before[i])} → ${amount(after[i])}  (${signed(after[i] - before[i])})`]
      : [`${amount(after[i])}, ${share(after[i], after[0])} of all`];
    if (!data.compared && i > 0) parts.push(`${share(after[i], after[parent[i]])} of its caller`, `itself ${amount(own)}`);
    data.types.forEach((other, index) => {
      if (index === type || data.compared) return;
      const kept = type;
      type = index;
      parts.push(`${other.name} ${amount(data.values[index][i])}`);
      type = kept;
    });
    const text = document.createElement("div");
    text.append(line("strong", "", f[0] || "?"), line("span", "place", "  " + place(f)));
    details.replaceChildren(text, line("div", "", parts.join("  ·  ")));
  }
  function summarize() {
    const name = data.types[type].name;
    const text = data.compared
      ? `${name}: ${amount(before[0])} → ${amount(after[0])} (${signed(after[0] - before[0])}). Width: before and after together.`
      : `${name}: ${amount(after[0])}`;
    let matched = "";
    if (found) {
      let sum = 0;
      for (let i = 0; i < count;) if (found[i]) { sum += value[i]; i = end[i]; } else i++;
      matched = ` · ${share(sum, value[0])} (${amount(sum)}) match`;
    }
    byId("summary").textContent = [text + matched, data.note].filter(Boolean).join(" · ");
    byId("reset").disabled = zoomed === 0;
  }
  function itself(totals) {
    const own = Float64Array.from(totals);
    for (let i = 1; i < count; i++) own[parent[i]] -= totals[i];
    return own;
  }
  function fillTable() {
    const rows = new Map(), own = itself(after), was = before ? itself(before) : null;
    for (let i = 1; i < count; i++) {
      const then = was ? was[i] : 0;
      if (!own[i] && !then) continue;
      const row = rows.get(data.frame[i]) || [0, 0];
      row[0] += own[i];
      row[1] += then;
      rows.set(data.frame[i], row);
    }
    const size = (row) => Math.abs(row[0] - row[1]);
    const sorted = [...rows].sort((a, b) => size(b[1]) - size(a[1])).slice(0, 50);
    const names = data.compared ? ["change", "before", "after", "line"] : ["itself", "share", "line"];
    byId("columns").replaceChildren(...names.map((name) => line("th", "", name)));
    byId("rows").replaceChildren(...sorted.map(([frame, row]) => {
      const f = data.frames[frame], tr = document.createElement("tr"), last = document.createElement("td");
      const cells = data.compared ? [signed(row[0] - row[1]), amount(row[1]), amount(row[0])] : [amount(row[0]), share(row[0], after[0])];
      const button = line("button", "", `${f[0]}  ${place(f)}`);
      button.type = "button";
      button.addEventListener("click", () => { byId("search").value = `${f[0]} ${place(f)}`; searched(); });
      last.append(button);
      tr.append(...cells.map((cell) => line("td", "", cell)), last);
      return tr;
    }));
  }

  // What people do.
  function search() {
    const words = byId("search").value.trim().toLowerCase();
    if (!words) { found = null; return; }
    const hits = data.frames.map((f) => `${f[0]} ${place(f)}`.toLowerCase().includes(words));
    found = new Uint8Array(count);
    for (let i = 1; i < count; i++) found[i] = hits[data.frame[i]] ? 1 : 0;
  }
  function searched() { search(); summarize(); draw(); }
  function zoom(i) {
    if (i < 0 || !value[i]) return;
    zoomed = i;
    focused = i;
    describe(i);
    summarize();
    reveal();
  }
  function focus(i) {
    if (i === undefined || i < 0 || !value[i]) return;
    focused = i;
    if (i < zoomed || i >= end[zoomed]) zoomed = i;
    describe(i);
    summarize();
    reveal();
  }
  function reveal() {
    const top = depth[focused] * ROW;
    paint();
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    if (top + ROW > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + ROW - scroll.clientHeight;
    draw();
  }
  function sibling(step) {
    if (!focused) return -1;
    const row = [...nodes(parent[focused])].filter((i) => value[i]);
    return row[row.indexOf(focused) + step];
  }
  function largestChild() {
    let best = -1;
    for (const i of nodes(focused)) if (value[i] && (best < 0 || value[i] > value[best])) best = i;
    return best;
  }
  const keys = {
    ArrowDown: () => focus(largestChild()),
    ArrowUp: () => focus(parent[focused]),
    ArrowLeft: () => focus(sibling(-1)),
    ArrowRight: () => focus(sibling(1)),
    Enter: () => zoom(focused),
    " ": () => zoom(focused),
    Escape: () => zoom(0),
    Backspace: () => zoom(Math.max(0, parent[zoomed])),
    Home: () => focus(0),
  };
  canvas.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  canvas.addEventListener("mousemove", (event) => {
    const i = at(event);
    if (i === hovered) return;
    hovered = i;
    describe(i < 0 ? focused : i);
    mark();
  });
  canvas.addEventListener("mouseleave", () => { hovered = -1; describe(focused); mark(); });
  canvas.addEventListener("click", (event) => zoom(at(event)));
  canvas.addEventListener("focus", mark);
  canvas.addEventListener("blur", mark);
  scroll.addEventListener("scroll", draw);
  new ResizeObserver(draw).observe(scroll);
  byId("search").addEventListener("input", searched);
  byId("reset").addEventListener("click", () => zoom(0));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target !== byId("search")) { event.preventDefault(); byId("search").focus(); }
    if (event.key === "Escape" && event.target === byId("search")) { byId("search").value = ""; searched(); }
  });

  // Set up.
  function theme(name) {
    document.documentElement.dataset.theme = name;
    document.documentElement.style.colorScheme = name;
    const style = getComputedStyle(document.documentElement);
    const names = ["origin0", "origin1", "origin2", "origin3", "root", "grew", "shrank", "same", "found", "bar-text"];
    colours = Object.fromEntries(names.map((each) => [each, style.getPropertyValue("--" + each).trim()]));
    draw();
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  byId("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
  const entries = data.compared
    ? [["grew", "grew"], ["shrank", "shrank"], ["same", "unchanged"]]
    : data.origins.map((name, i) => ["origin" + i, name]);
  byId("legend").append(...[...entries, ["found", "found by search"]].map(([name, text]) => {
    const item = document.createElement("span");
    item.append(line("span", "swatch " + name, ""), text);
    return item;
  }));
  data.types.forEach((each, index) => byId("type").append(new Option(each.name, index, index === type, index === type)));
  byId("type").addEventListener("change", (event) => choose(Number(event.target.value)));
  if (data.compared) byId("lines").firstElementChild.textContent = "Lines that changed most";
  theme(dark.matches ? "dark" : "light");
  choose(type);
})();
