"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [ABSENT, SAME, CHANGED, NEW] = [0, 1, 2, 3];
  const WORDS = ["absent", "unchanged", "changed", "new"];
  const numFrames = data.frames.length;
  // Browsers draw no canvas that is larger than this on a side.
  const LARGEST = 16000;
  const cellWidth = Math.max(1, Math.min(16, Math.floor(1400 / numFrames)));
  const shownFrames = Math.min(numFrames, Math.floor(LARGEST / cellWidth));
  const rowHeight = Math.max(2, Math.min(14, Math.floor(LARGEST / Math.max(1, data.blocks.length))));
  const mostTokens = Math.max(1, ...data.blocks.map((block) => block.tokens));
  const byId = (id) => document.getElementById(id);
  const grid = byId("grid"), names = byId("names"), tip = byId("tip"), cells = byId("cells");
  let rows = [], here = null, isKept = false;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The version of a block that holds in a frame: [since, text or -1, tokens]; its place among all of them.
  function versionAt(block, frame) {
    let low = 0, high = block.versions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (block.versions[middle][0] <= frame) low = middle + 1; else high = middle;
    }
    return low - 1;
  }

  function statusAt(block, frame) {
    const place = versionAt(block, frame);
    if (place < 0 || block.versions[place][1] < 0) return ABSENT;
    if (block.versions[place][0] < frame) return SAME;
    return place > 0 && block.versions[place - 1][1] >= 0 ? CHANGED : NEW;
  }

  function sized(canvas, width, height) {
    const scale = Math.min(window.devicePixelRatio || 1, LARGEST / width, LARGEST / height);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    return pen;
  }

  function drawCosts() {
    const height = 64, pen = sized(byId("costs"), shownFrames * cellWidth, height);
    // The first frame computes everything in every mode and would flatten all others.
    const later = data.costs.slice(1);
    const top = Math.max(1, ...(later.length ? later : data.costs).map((cost) => Math.max(cost[0], cost[1])));
    const bars = (index, ink) => {
      pen.fillStyle = ink;
      for (let frame = 0; frame < shownFrames; frame++) {
        const tall = Math.min(1, data.costs[frame][index] / top) * (height - 2);
        pen.fillRect(frame * cellWidth, height - tall, Math.max(1, cellWidth - 1), tall);
      }
    };
    bars(1, colour("--prefix"));
    bars(0, colour("--star"));
    byId("scale").textContent = "tokens computed a turn, up to " + top.toLocaleString("en");
  }

  function drawNames() {
    names.replaceChildren(...rows.map((block) => {
      const line = document.createElement("div");
      line.style.height = line.style.lineHeight = rowHeight + "px";
      line.style.fontSize = Math.min(11, rowHeight - 2) + "px";
      line.textContent = rowHeight >= 8 ? block.name : "";
      line.title = block.name + ": " + block.tokens + " tokens";
      const bar = document.createElement("i");
      bar.style.width = (64 * block.tokens / mostTokens) + "px";
      line.append(bar);
      return line;
    }));
  }

  function drawCells() {
    const pen = sized(cells, shownFrames * cellWidth, Math.max(1, rows.length) * rowHeight);
    const inks = [colour("--absent"), colour("--same"), colour("--changed"), colour("--new")];
    const gap = rowHeight > 4 ? 1 : 0, side = cellWidth > 4 ? 1 : 0;
    rows.forEach((block, row) => {
      for (let frame = 0; frame < shownFrames; frame++) {
        const status = statusAt(block, frame);
        if (status === ABSENT) continue;
        pen.fillStyle = inks[status];
        pen.fillRect(frame * cellWidth, row * rowHeight, cellWidth - side, rowHeight - gap);
      }
    });
    if (here) {
      pen.strokeStyle = colour("--mark");
      pen.lineWidth = 2;
      pen.strokeRect(here.frame * cellWidth, here.row * rowHeight, Math.max(3, cellWidth), Math.max(3, rowHeight));
    }
  }

  function line(kind, text, className) {
    const made = document.createElement(kind);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function tell() {
    for (const old of names.querySelectorAll(".here")) old.classList.remove("here");
    if (!here || !rows[here.row]) { tip.hidden = true; return; }
    const block = rows[here.row], place = versionAt(block, here.frame), status = statusAt(block, here.frame);
    names.children[here.row].classList.add("here");
    const said = "frame " + data.frames[here.frame] + ", " + WORDS[status];
    const parts = [line("b", block.name)];
    if (status === ABSENT) {
      parts.push(line("p", said));
    } else {
      const [since, text, tokens] = block.versions[place];
      parts.push(line("p", said + (status === SAME ? " since frame " + data.frames[since] : "") + ", " + tokens + " tokens"));
      if (status === CHANGED) parts.push(line("pre", data.texts[block.versions[place - 1][1]], "before"));
      parts.push(line("pre", data.texts[text]));
    }
    tip.replaceChildren(...parts);
    tip.hidden = false;
  }

  function pointAt(event) {
    const box = cells.getBoundingClientRect();
    const frame = Math.floor((event.clientX - box.left) / cellWidth), row = Math.floor((event.clientY - box.top) / rowHeight);
    return frame >= 0 && frame < shownFrames && row >= 0 && row < rows.length ? { frame, row } : null;
  }

  cells.addEventListener("mousemove", (event) => { if (!isKept) { here = pointAt(event); tell(); } });
  cells.addEventListener("mouseleave", () => { if (!isKept) { here = null; tell(); } });
  cells.addEventListener("click", (event) => { here = pointAt(event); isKept = here !== null; tell(); drawCells(); });
  grid.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") { here = null; isKept = false; }
    else if (!step) return;
    else {
      const now = here || { frame: 0, row: 0 };
      here = { frame: Math.max(0, Math.min(shownFrames - 1, now.frame + step[0])),
        row: Math.max(0, Math.min(rows.length - 1, now.row + step[1])) };
      isKept = true;
    }
    event.preventDefault();
    tell();
    drawCells();
  });

  function draw() {
    const wanted = byId("find").value.toLowerCase();
    rows = data.blocks.filter((block) => block.name.toLowerCase().includes(wanted));
    here = null;
    isKept = false;
    drawCosts();
    drawNames();
    drawCells();
    tell();
  }

  byId("find").addEventListener("input", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
  document.body.dataset.drawn = rows.length + "x" + shownFrames;
})();
