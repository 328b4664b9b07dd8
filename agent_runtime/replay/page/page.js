"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const lanes = data.lanes.filter((lane) => lane.columns.number.length);
  if (!lanes.length) return;
  document.querySelector(".drawn").hidden = false;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const laneColor = (index) => color(`lane-${index % 6}`);
  const text = (number) => (number === null ? "" : data.texts[number]);
  const short = (value) => (value === null ? "-" : Number(value.toPrecision(3)).toLocaleString("en"));

  function element(kind, parent, content = "", name = "") {
    const made = document.createElement(kind);
    made.textContent = content; // never as HTML: names come from games
    if (name) made.className = name;
    parent.append(made);
    return made;
  }

  function swatch(parent, name, label) {
    const spot = element("span", parent, "", "swatch");
    spot.style.background = `var(--${name})`;
    element("span", parent, label);
  }

  // A turn is known by copy, session and turn_id, so that lanes which answered in another order stay side by side.
  const keyOf = (columns, at) => `${columns.copy[at]} ${columns.session[at]} ${columns.turn[at]}`;
  for (const lane of lanes) {
    const columns = lane.columns, seen = new Map();
    lane.keys = columns.number.map((_, at) => {
      const key = keyOf(columns, at), times = seen.get(key) || 0;
      seen.set(key, times + 1);
      return `${key} ${times}`;
    });
    lane.at = new Map(lane.keys.map((key, at) => [key, at]));
    lane.strips = new Map();
  }
  for (const [label, number, ...pieces] of data.strips) {
    const lane = lanes.find((each) => each.label === label);
    if (lane) lane.strips.set(number, pieces);
  }

  const kinds = document.querySelector(".kinds");
  data.kinds.forEach((kind) => swatch(kinds, kind, kind));
  const legend = document.querySelector(".legend");
  lanes.forEach((lane, index) => swatch(legend, `lane-${index % 6}`, lane.label));

  // A canvas as sharp as the screen; returns its context and its size in CSS pixels.
  function sharp(canvas, height) {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;
    canvas.width = Math.max(1, Math.round(width * ratio));
    canvas.height = Math.max(1, Math.round(height * ratio));
    const draw = canvas.getContext("2d");
    draw.setTransform(ratio, 0, 0, ratio, 0, 0);
    return { draw, width, height };
  }

  const LEFT = 56, RIGHT = 12, TOP = 10, BOTTOM = 34;

  function axis(low, high, isLog) {
    const from = isLog ? Math.log10(low) : low, to = isLog ? Math.log10(high) : high;
    const span = to - from || 1;
    const marks = [];
    if (isLog) {
      const steps = span > 3 ? [1] : [1, 2, 5];
      for (let power = Math.floor(from); power <= Math.ceil(to); power += 1)
        for (const step of steps) marks.push(step * 10 ** power);
    } else {
      const raw = span / 6, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].find((n) => n * power >= raw) * power;
      for (let mark = Math.ceil(low / step) * step; mark <= high; mark += step) marks.push(mark);
    }
    return { part: (value) => ((isLog ? Math.log10(value) : value) - from) / span, marks: marks.filter((mark) => mark >= low && mark <= high) };
  }

  function marker(draw, shape, x, y, hollow) {
    draw.beginPath();
    if (shape === 0) draw.arc(x, y, 3, 0, 7);
    else if (shape === 1) draw.rect(x - 3, y - 3, 6, 6);
    else if (shape === 2) { draw.moveTo(x, y - 4); draw.lineTo(x + 4, y + 3); draw.lineTo(x - 4, y + 3); draw.closePath(); }
    else { draw.moveTo(x, y - 4); draw.lineTo(x + 4, y); draw.lineTo(x, y + 4); draw.lineTo(x - 4, y); draw.closePath(); }
    if (hollow) draw.stroke(); else draw.fill();
  }

  function scatter(id, name, title, isLog) {
    const canvas = document.getElementById(id);
    let points = [];

    function redraw() {
      const { draw, width, height } = sharp(canvas, canvas.clientHeight);
      const places = [];
      lanes.forEach((lane, index) => lane.columns.ttft_ms.forEach((ms, at) => {
        const value = name === "number" ? lane.columns.number[at] + 1 : lane.columns[name][at];
        if (ms !== null && ms > 0 && value !== null && value > 0) places.push({ lane, index, at, ms, value });
      }));
      if (!places.length) return;
      let [left, right, low, high] = [Infinity, 0, Infinity, 0];
      for (const { value, ms } of places) {
        left = Math.min(left, value); right = Math.max(right, value); low = Math.min(low, ms); high = Math.max(high, ms);
      }
      const across = axis(left, right, isLog), up = axis(low / 1.2, high * 1.2, true);
      const x = (value) => LEFT + across.part(value) * (width - LEFT - RIGHT);
      const y = (ms) => height - BOTTOM - up.part(ms) * (height - TOP - BOTTOM);
      draw.clearRect(0, 0, width, height);
      draw.font = "12px system-ui, sans-serif";
      draw.strokeStyle = color("line"); draw.fillStyle = color("faint"); draw.lineWidth = 1;
      draw.textAlign = "right"; draw.textBaseline = "middle";
      for (const mark of up.marks) {
        draw.beginPath(); draw.moveTo(LEFT, y(mark)); draw.lineTo(width - RIGHT, y(mark)); draw.stroke();
        draw.fillText(short(mark), LEFT - 6, y(mark));
      }
      draw.textAlign = "center"; draw.textBaseline = "top";
      for (const mark of across.marks) draw.fillText(short(mark), x(mark), height - BOTTOM + 4);
      draw.fillText(title, LEFT + (width - LEFT - RIGHT) / 2, height - 15);
      draw.textAlign = "left";
      draw.fillText("ms", 4, 2);
      points = places.map((place) => ({ ...place, x: x(place.value), y: y(place.ms) }));
      for (const point of points) {
        draw.fillStyle = draw.strokeStyle = laneColor(point.index);
        draw.globalAlpha = point.lane.keys[point.at] === chosen ? 1 : 0.65;
        marker(draw, point.index % 4, point.x, point.y, point.lane.columns.cold[point.at]);
      }
      draw.globalAlpha = 1; draw.strokeStyle = color("ink");
      for (const point of points) if (point.lane.keys[point.at] === chosen) {
        draw.beginPath(); draw.arc(point.x, point.y, 7, 0, 7); draw.stroke();
      }
    }

    function nearest(event) {
      const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      let best = null, least = 400;
      for (const point of points) {
        const far = (point.x - x) ** 2 + (point.y - y) ** 2;
        if (far < least) { least = far; best = point; }
      }
      return best;
    }

    canvas.addEventListener("mousemove", (event) => {
      const point = nearest(event);
      document.getElementById("told").textContent = point ? said(point.lane, point.at) : "";
    });
    canvas.addEventListener("click", (event) => {
      const point = nearest(event);
      if (point) choose(point.lane.keys[point.at]);
    });
    return redraw;
  }

  function said(lane, at) {
    const columns = lane.columns;
    const copy = columns.copy[at] ? `, copy ${columns.copy[at]}` : "";
    const late = columns.late_ms[at] === null ? "" : `, sent ${short(columns.late_ms[at])} ms late`;
    return `${lane.label}, turn ${columns.turn[at]} of ${text(columns.session[at])}${copy}: ${text(columns.outcome[at])}, `
      + `TTFT ${short(columns.ttft_ms[at])} ms, engine ${short(columns.engine_ms[at])}, queue ${short(columns.queue_ms[at])}${late}; `
      + `prompt ${short(columns.tokens_prompt[at])} tokens, computed ${short(columns.tokens_computed[at])}`
      + (columns.best[at] === null ? "" : `; likeliest: ${text(columns.best[at])}`)
      + (columns.cold[at] ? "; a cold start" : "");
  }

  const order = lanes.reduce((most, lane) => (lane.keys.length > most.keys.length ? lane : most));
  let chosen = order.keys[0];
  const slider = document.getElementById("chosen");
  slider.max = order.keys.length - 1;
  slider.addEventListener("input", () => choose(order.keys[Number(slider.value)]));

  function choose(key) {
    chosen = key;
    const at = order.at.get(key);
    if (at !== undefined) slider.value = at;
    document.getElementById("which").textContent = at === undefined ? "" : `${at + 1} of ${order.keys.length}`;
    showTurn();
    redraws.forEach((redraw) => redraw());
  }

  function showTurn() {
    const place = document.getElementById("turn");
    place.replaceChildren();
    for (const lane of lanes) {
      const at = lane.at.get(chosen);
      if (at === undefined) continue;
      element("h3", place, lane.label);
      element("div", place, said(lane, at));
      const pieces = lane.strips.get(lane.columns.number[at]);
      if (!pieces) { element("div", place, "The blocks of this turn were not kept.", "note"); continue; }
      const bar = element("div", place, "", "bar"), changed = [];
      let total = 0;
      for (let each = 2; each < pieces.length; each += 3) total += pieces[each];
      for (let each = 0; each < pieces.length; each += 3) {
        const kind = data.kinds[pieces[each + 1]], name = text(pieces[each]), tokens = pieces[each + 2];
        const piece = element("span", bar);
        piece.style.width = `${(100 * tokens) / total}%`;
        piece.style.background = `var(--${kind})`;
        piece.title = `${name}: ${kind}, ${tokens} tokens`;
        if (kind === "encoded" || kind === "loaded") changed.push(`${name} (${kind}, ${tokens})`);
      }
      const listed = changed.slice(0, 30).join(", ") + (changed.length > 30 ? `, and ${changed.length - 30} more` : "");
      element("div", place, listed || "Every block was there.", "note");
    }
  }

  function stripMap(lane) {
    const place = document.getElementById("strips");
    element("h3", place, lane.label);
    const canvas = element("canvas", place), told = element("div", place, "", "note");
    const turns = lane.columns.number.map((number, at) => ({ at, pieces: lane.strips.get(number) })).filter((turn) => turn.pieces);
    const each = Math.max(1, Math.min(8, Math.floor(480 / turns.length)));
    canvas.style.height = `${each * turns.length}px`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Blocks of the prompts of ${turns.length} turns in ${lane.label}`);
    let widest = 1;
    for (const { pieces } of turns) {
      let total = 0;
      for (let at = 2; at < pieces.length; at += 3) total += pieces[at];
      widest = Math.max(widest, total);
    }
    function redraw() {
      const { draw, width } = sharp(canvas, each * turns.length);
      const fills = data.kinds.map(color);
      turns.forEach(({ at, pieces }, row) => {
        let x = 0;
        for (let piece = 0; piece < pieces.length; piece += 3) {
          const wide = (pieces[piece + 2] * width) / widest;
          draw.fillStyle = fills[pieces[piece + 1]];
          draw.fillRect(x, row * each, Math.max(wide, 0.5), each > 3 ? each - 1 : each);
          x += wide;
        }
        if (lane.keys[at] === chosen) { draw.strokeStyle = color("ink"); draw.strokeRect(0.5, row * each + 0.5, width - 1, each - 1); }
      });
    }
    function pointed(event) {
      const box = canvas.getBoundingClientRect();
      const turn = turns[Math.min(turns.length - 1, Math.max(0, Math.floor((event.clientY - box.top) / each)))];
      let left = ((event.clientX - box.left) * widest) / box.width, piece = 0;
      while (piece < turn.pieces.length && left > turn.pieces[piece + 2]) { left -= turn.pieces[piece + 2]; piece += 3; }
      return { turn, piece };
    }
    canvas.addEventListener("mousemove", (event) => {
      const { turn, piece } = pointed(event);
      const found = piece < turn.pieces.length ? `: ${text(turn.pieces[piece])}, ${data.kinds[turn.pieces[piece + 1]]}, ${turn.pieces[piece + 2]} tokens` : "";
      told.textContent = `turn ${lane.columns.turn[turn.at]} of ${text(lane.columns.session[turn.at])}${found}`;
    });
    canvas.addEventListener("click", (event) => choose(lane.keys[pointed(event).turn.at]));
    return redraw;
  }

  const redraws = [
    scatter("by-turn", "number", "turn", false),
    scatter("by-tokens", "tokens_computed", "tokens computed", true),
    ...lanes.filter((lane) => lane.strips.size).map(stripMap),
  ];
  const again = () => redraws.forEach((redraw) => redraw());
  window.addEventListener("resize", again);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  choose(chosen);
})();
