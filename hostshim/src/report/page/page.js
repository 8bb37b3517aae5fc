"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const ROW = 21, AROUND = 12, MOST_LOCKS = 8, MOST_CHIPS = 12, PRINTED = 4000;

  // Numbers of seven bits a byte in base 64: see the header of page.rs.
  function numbers(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    let at = 0;
    return {
      more: () => at < bytes.length,
      next() {
        let number = 0, shift = 1, byte;
        do {
          byte = bytes[at++];
          number += (byte & 127) * shift;
          shift *= 128;
        } while (byte > 127);
        return number;
      },
    };
  }
  function spans(text, sorts, named) {
    const from = numbers(text), list = [];
    let first = 0;
    while (from.more()) {
      const sort = sorts[from.next()];
      first += from.next();
      list.push({ ...named(sort), first, end: first + from.next() });
    }
    return list;
  }

  // Rows: the step number of each, and its kind, which is all that many rows share: who does what, and where.
  const count = data.rows;
  const points = new Float64Array(count), kindOf = new Uint32Array(count), kinds = [];
  {
    const from = numbers(data.stream), next = new Map(), known = new Map();
    let point = 0, state = -1, before = -1, foretold = from.next();
    for (let i = 0; i < count; i++) {
      let came;
      if (foretold > 0) {
        foretold--;
        came = next.get(before);
      } else {
        const word = from.next();
        const now = word & 1 ? from.next() : state;
        came = [Math.floor(word / 2), now, from.next()];
        next.set(before, came);
        foretold = from.next();
      }
      point += came[0];
      state = came[1];
      before = state * data.deeds.length + came[2];
      if (!known.has(before)) {
        const [cpu, lwp, level] = data.states[state], [what, place, sort] = data.deeds[came[2]];
        known.set(before, kinds.length);
        kinds.push({ cpu, lwp, level, what, place: data.places[place], sort, name: data.lwps[lwp][0] });
      }
      points[i] = point;
      kindOf[i] = known.get(before);
    }
  }
  const at = (row) => kinds[kindOf[row]];
  // How many rows before each are no work of the scheduler's own.
  const acts = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) acts[i + 1] = acts[i] + (at(i).sort === "scheduling" ? 0 : 1);

  // Spans, sorted by their first row, by what is asked for them.
  const by = (list, key, size) => {
    const groups = Array.from({ length: size }, () => []);
    for (const span of list) groups[key(span)].push(span);
    return groups;
  };
  const runs = by(spans(data.runs, data.runners, ([cpu, lwp]) => ({ cpu, lwp })), (s) => s.cpu, data.cpus);
  const layers = by(
    spans(data.layered, data.layerings, ([cpu, below, depth, name]) => ({ cpu, below, depth, name })), (s) => s.cpu, data.cpus);
  const holds = by(
    spans(data.held, data.holders, ([lock, lwp, shared]) => ({ lock, lwp, shared })), (s) => s.lock, data.locks.length);
  // How many things of a sorted list come at `place` or before.
  function upTo(list, place, of) {
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (of(list[middle]) <= place) low = middle + 1; else high = middle;
    }
    return low;
  }
  const before = (spans, row) => upTo(spans, row, (span) => span.first) - 1;
  const runAt = (cpu, row) => runs[cpu][before(runs[cpu], row)];
  function layersAt(cpu, row) {
    const found = [];
    for (let i = before(layers[cpu], row); i >= 0; i--) {
      const layer = layers[cpu][i];
      if (layer.end > row) found.unshift(layer);
      if (layer.depth === 0) break;
    }
    return found;
  }
  function holdAt(lock, row) {
    const list = holds[lock];
    for (let i = before(list, row), tries = 0; i >= 0 && tries < 6; i--, tries++) if (list[i].end > row) return list[i];
    return null;
  }

  // The locks that have a column: those held at the end, then those held longest; the scheduler's own tell nothing.
  const dull = /ci_schedstate|sleepq_locks|tt_chain|cc_lock/;
  const shortName = (lock) => data.locks[lock].split(".").slice(-2).join(".");
  const shownLocks = data.locks.map((name, lock) => ({
    name, lock, length: holds[lock].reduce((sum, s) => sum + s.end - s.first, 0), atEnd: holds[lock].some((s) => s.end >= count),
  })).filter((l) => !dull.test(l.name)).sort((a, b) => b.atEnd - a.atEnd || b.length - a.length).slice(0, MOST_LOCKS)
    .map((l, index) => ({ ...l, letter: String.fromCharCode(65 + index) }));

  // Colours: grey for idle threads, else hues that are far apart. None is near red, which is the failure's alone.
  const HUES = [215, 150, 280, 75, 185, 310, 105, 250];
  const colourOf = (i) => `${HUES[i % 8] - (i & 8 ? 17 : 0)} ${i & 8 ? 28 : 55}% var(--light)`;
  let taken = 0;
  const colours = data.lwps.map(([, role]) => `hsl(${role === "idle" ? "215 8% 58%" : colourOf(taken++)})`);
  const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const plural = (n, what) => `${n} ${what}${n === 1 ? "" : what.endsWith("ch") ? "es" : "s"}`;
  const moments = new Map();
  data.moments.forEach(([row, weight, , place], index) => {
    if (!moments.has(row)) moments.set(row, []);
    moments.get(row).push({ weight, index, place });
  });
  const numbered = [...moments.keys()].sort((a, b) => a - b);

  // What the reader wants to see: a view, and of it what threads and locks do.
  const wanted = { mode: "story", threads: new Set(), locks: new Set() };
  const story = new Set(data.story.filter((part) => typeof part === "number"));
  for (const row of numbered) story.add(row);
  const inStory = [...story].sort((a, b) => a - b);
  const storySwitches = new Set(data.story.filter((part) => part.departure !== undefined).map((part) => part.departure));

  // Kinds of rows that the filters let through; rows at which a lock is taken or given back are let through one by one.
  let passes = null, edges = new Set();
  function setFilters() {
    const { threads, locks } = wanted;
    edges = new Set();
    for (const lock of locks) for (const hold of holds[lock]) edges.add(hold.first).add(hold.end - 1);
    const names = new Set([...threads].map((lwp) => `=> ${data.lwps[lwp][0]}`));
    const ofThread = (kind) => !threads.size || threads.has(kind.lwp) || names.has(kind.what);
    const words = [...locks].map((lock) => ({ full: data.locks[lock], last: data.locks[lock].split(".").pop() }));
    const has = (text, word) => text.split(/[^\w.\[\]#\/-]+/).some((part) => part === word || part.startsWith(`${word}.`));
    const ofLock = (kind) => words.some(({ full, last }) => has(kind.what, kind.sort === "note" ? last : full));
    passes = threads.size || locks.size
      ? kinds.map((kind) => ofThread(kind) ? (!locks.size || ofLock(kind) ? 2 : 1) : 0) : null;
  }
  const isWanted = (row) => !passes || passes[kindOf[row]] === 2 || passes[kindOf[row]] === 1 && edges.has(row);
  const isListed = (row, mode) => isWanted(row)
    && (mode === "all" || moments.has(row) || (mode === "kernel" ? at(row).sort !== "scheduling" : story.has(row)));

  // What is listed: rows by number, forced switches as { departure }, and between them gaps that say what is left out.
  function listed() {
    const { mode } = wanted, items = [];
    const hidden = (from, to) => (mode === "all" ? Math.max(0, to - from) : acts[to] - acts[Math.min(from, to)]);
    let from = 0, nextSwitch = 0, steps = 0, switches = 0;
    const pass = (to) => { steps += hidden(from, to); from = Math.max(from, to); };
    const flush = () => {
      if (steps || switches) items.push({ skipped: [steps, switches], row: Math.max(0, from - 1) });
      steps = switches = 0;
    };
    const switchesUpTo = (row, last) => {
      for (; nextSwitch < data.departures.length && data.departures[nextSwitch][0] <= row; nextSwitch++) {
        const place = data.departures[nextSwitch][0];
        pass(Math.min(place, count));
        const isShown = passes ? place === row && !last : mode !== "story" || storySwitches.has(nextSwitch);
        if (!isShown) { switches++; continue; }
        flush();
        items.push({ departure: nextSwitch, row: place });
      }
    };
    const add = (row) => {
      switchesUpTo(row, false);
      pass(row);
      flush();
      items.push(row);
      from = row + 1;
    };
    if (mode === "story") for (const row of inStory) { if (isWanted(row)) add(row); }
    else for (let row = 0; row < count; row++) if (isListed(row, mode)) add(row);
    switchesUpTo(Infinity, true);
    pass(count);
    flush();
    return items;
  }

  let items = [], now = -1, drawn = [-1, -1];
  const lanes = $("lanes"), rowsBox = $("rows");
  const isRow = (item) => typeof item === "number";
  const rowOf = (item) => (isRow(item) ? item : item.row);
  lanes.style.setProperty("--lane", `${data.cpus <= 4 ? 38 : data.cpus <= 8 ? 24 : 14}px`);
  lanes.style.setProperty("--indent", `${Math.min(9, 40 / data.cpus)}%`);

  function heads() {
    const locks = shownLocks.map((l) => `<span class="lock" title="${escape(l.name)}">${l.letter}</span>`).join("");
    const cpus = Array.from({ length: data.cpus }, (_, cpu) => `<span class="lane">${data.cpus <= 4 ? "cpu" : ""}${cpu}</span>`).join("");
    $("heads").innerHTML = `<span class="point">step</span><span class="marks"></span>${locks}${cpus}<span class="text">what happens</span><span class="where">where</span>`;
  }

  // One item. `above` is the row that is listed before it, -1 if none is; `fresh` that something is left out in between.
  function draw(index, above, fresh) {
    const item = items[index];
    const open = (sort, more) =>
      `<div class="row${sort}${index === now ? " now" : ""}" role="option" id="i${index}" aria-selected="${index === now}" data-i="${index}"${more} style="top:${index * ROW}px">`;
    if (!isRow(item)) {
      if (!item.skipped) return `${open(" forced", "")}<span>&gt;&gt;&gt; ${escape(data.departures[item.departure][1])}</span></div>`;
      const [steps, switches] = item.skipped;
      const parts = [steps && plural(steps, "more step"), switches && plural(switches, "more forced switch")].filter(Boolean);
      return `${open(" gap", "")}… ${parts.join(" and ")}</div>`;
    }
    const told = moments.get(item) || [], kind = at(item);
    const breaks = told.some((m) => m.weight === "break") ? " break" : "";
    const badges = told.map((m) => `<span class="number ${m.weight}">${m.index + 1}</span>`).join("");
    const locks = shownLocks.map((l) => {
      const hold = holdAt(l.lock, item);
      if (!hold) return `<span class="lock"></span>`;
      const ends = (hold.first === item ? " first" : "") + (hold.end === item + 1 ? " last" : "");
      const title = `${data.lwps[hold.lwp][0]} holds ${l.name}`;
      return `<span class="lock" title="${escape(title)}"><i class="${hold.shared ? "shared" : ""}${ends}" style="--c:${colours[hold.lwp]}"></i></span>`;
    }).join("");
    let cpus = "";
    for (let cpu = 0; cpu < data.cpus; cpu++) cpus += lane(cpu, item);
    const handler = handlerAt(kind.cpu, item);
    const last = above < 0 ? null : at(above);
    const isNew = fresh || !last || last.lwp !== kind.lwp || last.cpu !== kind.cpu || handler !== handlerAt(kind.cpu, above);
    const name = isNew ? `<span class="name">${escape(kind.name)}${handler ? `, interrupt ${handler}` : ""}</span>: ` : "  ";
    const idle = data.lwps[kind.lwp][1] === "idle" && !handler ? " idle" : "";
    const text = `<span class="text${idle}${handler ? " interrupt" : ""}" style="--cpu:${kind.cpu};--c:${colours[kind.lwp]}"><span class="pad"></span><span class="told"><span class="deed">${name}<span class="what ${kind.sort}">${escape(kind.what)}</span></span><span class="where">${escape(kind.place)}</span></span></span>`;
    const point = `<a class="point" href="#${linkTo(item)}" tabindex="-1">${points[item]}</a>`;
    return `${open(breaks + (isHit(item) ? " hit" : ""), ` data-row="${item}"`)}${point}<span class="marks">${badges}</span>${locks}${cpus}${text}</div>`;
  }
  // The interrupt that a CPU handles at a row, if it does.
  function handlerAt(cpu, row) {
    const stack = layersAt(cpu, row), inmost = stack[stack.length - 1];
    return inmost && data.layers[inmost.name][0] === "interrupt" ? data.layers[inmost.name][1] : "";
  }
  // What runs on a CPU at a row: bars for what lies below, then what runs.
  function lane(cpu, row) {
    const run = runAt(cpu, row);
    if (!run) return `<span class="lane"></span>`;
    const bar = (lwp, how) => `<span class="bar" style="--c:${colours[lwp]}" title="${escape(data.lwps[lwp][0])}${how}"></span>`;
    let bars = "", handler = false;
    // A softint that is about to be switched to is no layer yet.
    const stack = layersAt(cpu, row).filter((layer) => data.layers[layer.name][0] !== "softint" || layer.below !== run.lwp);
    stack.forEach((layer, index) => {
      const [sort, name] = data.layers[layer.name];
      handler = sort === "interrupt";
      if (!handler) { bars += bar(layer.below, ", below"); return; }
      // The thread that was interrupted lies below it, unless a softint has put it there already.
      if (index === stack.length - 1 || data.layers[stack[index + 1].name][0] !== "softint") bars += bar(layer.below, ", interrupted");
      bars += `<span class="bar interrupt" title="interrupt ${name}"></span>`;
    });
    if (!handler) bars += bar(run.lwp, "");
    return `<span class="lane${at(row).cpu === cpu ? " here" : ""}">${bars}</span>`;
  }

  function render(all) {
    const first = all ? 0 : Math.max(0, Math.floor(lanes.scrollTop / ROW) - AROUND);
    const last = all ? items.length : Math.min(items.length, Math.ceil((lanes.scrollTop + lanes.clientHeight) / ROW) + AROUND);
    drawStrip();
    if (drawn[0] === first && drawn[1] === last) return;
    drawn = [first, last];
    let html = "", above = -1;
    for (let i = first; i < last; i++) {
      html += draw(i, above, !isRow(items[i - 1]));
      if (isRow(items[i])) above = items[i];
    }
    rowsBox.innerHTML = html;
  }
  function redraw() { drawn = [-1, -1]; render(false); }

  // The whole run, narrow: who runs on each CPU, what is numbered, what is found, and which part is in view.
  function drawStrip() {
    const strip = $("strip"), scale = window.devicePixelRatio || 1;
    const width = strip.clientWidth, height = strip.clientHeight;
    if (!width || !height || !count) return;
    if (strip.width !== Math.round(width * scale) || strip.height !== Math.round(height * scale)) {
      strip.width = Math.round(width * scale);
      strip.height = Math.round(height * scale);
    }
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
    const paint = strip.getContext("2d"), light = colour("--light");
    paint.setTransform(scale, 0, 0, scale, 0, 0);
    paint.clearRect(0, 0, width, height);
    const lane = (width - 18) / data.cpus, y = (row) => row / count * height;
    for (let cpu = 0; cpu < data.cpus; cpu++) {
      let since = 0, lwp = -1;
      for (let line = 0; line <= height; line++) {
        const run = line < height ? runAt(cpu, Math.floor(line / height * count)) : null;
        const here = run && data.lwps[run.lwp][1] !== "idle" ? run.lwp : -1;
        if (here === lwp) continue;
        if (lwp >= 0) {
          paint.fillStyle = colours[lwp].replace("var(--light)", light);
          paint.fillRect(5 + cpu * lane, since, Math.max(1, lane - 1), line - since);
        }
        since = line;
        lwp = here;
      }
    }
    paint.fillStyle = colour("--interrupt");
    for (const line of new Set(hits.map((row) => Math.floor(y(row))))) paint.fillRect(0, line, 4, 2);
    for (const row of numbered) for (const { weight } of moments.get(row)) {
      const fails = weight === "break";
      paint.fillStyle = colour(fails ? "--bad" : weight === "forced" ? "--ink" : "--soft");
      paint.fillRect(fails ? 0 : width - 11, Math.min(y(row), height - 3), fails ? width : 11, fails ? 3 : 2);
    }
    const seen = (index) => rowOf(items[Math.max(0, Math.min(items.length - 1, index))]);
    if (!items.length) return;
    const top = y(seen(Math.floor(lanes.scrollTop / ROW)));
    const end = y(seen(Math.floor((lanes.scrollTop + lanes.clientHeight - $("heads").offsetHeight) / ROW) - 1) + 1);
    paint.strokeStyle = colour("--ink");
    paint.strokeRect(0.5, top + 0.5, width - 1, Math.max(3, end - top - 1));
  }

  function relist(row) {
    items = listed();
    rowsBox.style.height = `${items.length * ROW}px`;
    for (const button of document.querySelectorAll("[data-mode]")) {
      button.classList.toggle("on", button.dataset.mode === wanted.mode);
      button.setAttribute("aria-pressed", button.dataset.mode === wanted.mode);
    }
    for (const button of document.querySelectorAll("#filters button")) {
      const [set, ids] = chipOf(button), on = ids.every((id) => set.has(id));
      button.classList.toggle("on", on);
      button.setAttribute("aria-pressed", on);
    }
    const steps = items.filter(isRow).length;
    $("count").textContent = steps === count ? plural(count, "step") : `${steps} of ${plural(count, "step")}`;
    drawn = [-1, -1];
    now = -1;
    if (items.length) select(find(row), false); else { render(false); $("told").textContent = "No step is left by these filters."; $("source").textContent = ""; }
  }
  // The row that the reader is at.
  const here = () => (now >= 0 && items[now] !== undefined ? Math.min(rowOf(items[now]), count - 1) : Math.max(0, failed));
  // The item of a row, or of the next one that is listed.
  function find(row) {
    const index = upTo(items, row - 1, rowOf);
    for (let i = index; i < items.length; i++) if (isRow(items[i])) return i;
    for (let i = items.length - 1; i >= 0; i--) if (isRow(items[i])) return i;
    return items.length - 1;
  }
  function setMode(mode) { const row = here(); wanted.mode = mode; relist(row); }
  // Selects a row, in the narrowest view that has it.
  function reveal(row) {
    if (!isWanted(row)) { wanted.threads.clear(); wanted.locks.clear(); setFilters(); relist(row); }
    if (!isListed(row, wanted.mode)) { wanted.mode = at(row).sort === "scheduling" ? "all" : "kernel"; relist(row); }
    select(find(row));
  }

  // The part of an address that names a row: its step, and which of the rows of that step it is unless it is the first.
  function linkTo(row) {
    let first = row;
    while (first > 0 && points[first - 1] === points[row]) first--;
    return `step-${points[row]}${row > first ? `-${row - first + 1}` : ""}`;
  }
  function rowOfLink(hash) {
    const parts = /^#step-(\d+)(?:-(\d+))?$/.exec(hash);
    if (!parts || !count) return -1;
    const first = upTo(points, Number(parts[1]) - 1, (point) => point);
    const row = Math.min(first, count - 1), other = row + Number(parts[2] || 1) - 1;
    return other < count && points[other] === points[row] ? other : row;
  }

  function select(index, tell = true) {
    if (!items.length) return;
    now = Math.max(0, Math.min(items.length - 1, index));
    const top = now * ROW, room = lanes.clientHeight - $("heads").offsetHeight;
    const isSeen = top >= lanes.scrollTop + ROW && top + 2 * ROW <= lanes.scrollTop + room;
    if (!isSeen) lanes.scrollTop = Math.max(0, top - Math.max(ROW, Math.floor(room * (top < lanes.scrollTop ? 0.3 : 0.7))));
    redraw();
    lanes.setAttribute("aria-activedescendant", `i${now}`);
    detail(now);
    const told = isRow(items[now]) ? (moments.get(items[now]) || []).map((m) => m.index) : [];
    for (const li of document.querySelectorAll("li[data-moment]")) li.classList.toggle("now", told.includes(+li.dataset.moment));
    if (tell && isRow(items[now])) {
      // Some browsers do not let a page from a file change its address.
      try { history.replaceState(null, "", `#${linkTo(items[now])}`); } catch { /* then it has no link */ }
    }
  }

  // Lines of source around a place, as far as the page has them.
  function excerpt(place, isFailure, around) {
    const [, file, line] = /^(.*):(\d+)$/.exec(place) || [];
    const lines = data.sources[file];
    if (!lines || lines[line] === undefined) return "";
    let first = +line, last = +line;
    while (first > line - around && lines[first - 1] !== undefined) first--;
    while (last < +line + around && lines[last + 1] !== undefined) last++;
    const numbers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    const indent = Math.min(...numbers.filter((n) => lines[n].trim()).map((n) => lines[n].search(/\S/)));
    return `<div class="file">${escape(place)}</div>` + numbers.map((n) =>
      `<div class="${isFailure ? "failed" : ""}${n === +line ? " at" : ""}"><span class="number">${n}</span>${escape(lines[n].slice(indent))}</div>`).join("");
  }
  function sourceOf(row) {
    const told = moments.get(row) || [], breaks = told.filter((m) => m.weight === "break");
    const places = breaks.map((m) => m.place || data.failed_at).filter(Boolean);
    const failures = new Set(places);
    if (!breaks.some((m) => m.place)) places.push(at(row).place);
    const known = [...new Set(places)].filter((place) => excerpt(place, false, 0));
    return known.map((place) => excerpt(place, failures.has(place), known.length > 1 ? 1 : 3)).join("");
  }
  function detail(index) {
    const item = items[index];
    if (item === undefined) return;
    $("source").innerHTML = isRow(item) ? sourceOf(item) : "";
    const line = $("source").querySelector(".at");
    $("source").scrollTop = line ? line.offsetTop - ($("source").clientHeight - line.offsetHeight) / 2 : 0;
    if (!isRow(item)) {
      $("told").textContent = item.skipped ? "These steps are left out. Click to see them."
        : `A forced switch: here the schedule differs from the default.\n${data.departures[item.departure][1]}`;
      return;
    }
    const kind = at(item), { cpu, lwp, name } = kind;
    const held = data.locks.map((lock, i) => [lock, holdAt(i, item)]).filter(([, h]) => h && h.lwp === lwp).map(([lock]) => lock);
    const others = Array.from({ length: data.cpus }, (_, other) => other).filter((other) => other !== cpu)
      .map((other) => { const run = runAt(other, item); return `cpu${other} runs ${run ? data.lwps[run.lwp][0] : "nothing"}`; });
    const told = (moments.get(item) || []).map((m) => `${m.index + 1}: ${data.moments[m.index][2]}`);
    $("told").textContent = [
      ...told,
      `step ${points[item]}: ${name} on cpu${cpu}, at level ${data.levels[kind.level]}: ${kind.what}${kind.place ? `, at ${kind.place}` : ""}`,
      `${name} holds ${held.join(", ") || "no lock"}. ${others.length ? `Meanwhile ${others.join(", ")}.` : "There is no other CPU."}`,
    ].join("\n");
  }
  function moment(step) {
    const row = now >= 0 ? here() : -1;
    const next = step > 0 ? numbered.find((place) => place > row) : numbered.filter((place) => place < row).pop();
    if (next !== undefined) reveal(next);
  }

  // Search: every row in which all words occur, whether or not it is listed; a number is also the number of a step.
  let hits = [], found = null, asked = "";
  const isHit = (row) => found !== null && (found.kinds[kindOf[row]] || points[row] === found.point);
  function search() {
    asked = $("search").value;
    const words = asked.trim().toLowerCase().split(/\s+/).filter(Boolean);
    hits = [];
    found = null;
    if (words.length) {
      const texts = kinds.map((k) => `${k.name} cpu${k.cpu} ${k.what} ${k.place || ""}`.toLowerCase());
      found = { kinds: texts.map((text) => words.every((word) => text.includes(word))), point: words.length === 1 ? Number(words[0]) : NaN };
      for (let row = 0; row < count; row++) if (isHit(row) && isWanted(row)) hits.push(row);
    }
    $("hits").textContent = words.length ? (hits.length ? plural(hits.length, "hit") : "no hit") : "";
    redraw();
  }
  function hit(step) {
    if ($("search").value !== asked) search();
    if (!hits.length) return;
    const row = here(), after = upTo(hits, row, (place) => place);
    const next = step > 0 ? after % hits.length : (upTo(hits, row - 1, (place) => place) - 1 + hits.length) % hits.length;
    reveal(hits[next]);
    $("hits").textContent = `${next + 1} of ${hits.length}`;
  }

  // Filters: a button for each thread and each lock that has a column, which tell the colours and letters too; a list for the rest.
  function filters() {
    const threads = data.lwps.map(([name, role], lwp) => ({ name, role, ids: [lwp] })).filter((t) => t.role !== "idle");
    const idle = data.lwps.map(([, role], lwp) => (role === "idle" ? lwp : -1)).filter((lwp) => lwp >= 0);
    if (idle.length) threads.push({ name: "idle", ids: idle });
    const chip = (sort, ids, mark, name, title) =>
      `<button type="button" data-sort="${sort}" data-ids="${ids}" title="${escape(title)}" aria-pressed="false">${mark}${escape(name)}</button>`;
    const rest = (sort, what, list) => (list.length
      ? `<select data-sort="${sort}" aria-label="more ${what}"><option value="">more …</option>${list.map((o) => `<option value="${o.id}">${escape(o.name)}</option>`).join("")}</select>` : "");
    const others = data.locks.map((name, id) => ({ name, id })).filter((l) => !shownLocks.some((s) => s.lock === l.id));
    $("filters").innerHTML = `<span class="term">threads</span>`
      + threads.slice(0, MOST_CHIPS).map((t) => chip("threads", t.ids, `<i style="--c:${colours[t.ids[0]]}"></i>`, t.name, `only what ${t.name} does`)).join("")
      + rest("threads", "threads", threads.slice(MOST_CHIPS).map((t) => ({ name: t.name, id: t.ids.join() })))
      + (data.locks.length ? `<span class="term">locks</span>` : "")
      + shownLocks.map((l) => chip("locks", [l.lock], `<b>${l.letter}</b>`, shortName(l.lock), `only what concerns ${l.name}`)).join("")
      + rest("locks", "locks", others);
  }
  const chipOf = (element) => [wanted[element.dataset.sort], element.dataset.ids.split(",").map(Number)];
  function toggle(set, ids) {
    const row = here(), on = ids.every((id) => set.has(id));
    for (const id of ids) if (on) set.delete(id); else set.add(id);
    setFilters();
    relist(row);
    if (found) search();
  }
  function clear() {
    const row = here();
    $("search").value = "";
    wanted.threads.clear();
    wanted.locks.clear();
    for (const list of document.querySelectorAll("#filters select")) list.value = "";
    setFilters();
    search();
    relist(row);
  }

  const modes = ["story", "kernel", "all"];
  const failed = data.failed === null ? count - 1 : data.failed;
  const keys = {
    j: () => select(now + 1), ArrowDown: () => select(now + 1), k: () => select(now - 1), ArrowUp: () => select(now - 1),
    PageDown: () => select(now + 15), PageUp: () => select(now - 15), Home: () => select(0), End: () => select(items.length - 1),
    n: () => moment(1), p: () => moment(-1), f: () => reveal(failed), m: () => setMode(modes[(modes.indexOf(wanted.mode) + 1) % modes.length]),
    "/": () => $("search").focus(), Escape: () => { clear(); lanes.focus({ preventScroll: true }); },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
    const inField = event.target.closest("input, select"), scrolls = event.target.closest("aside, #detail, header");
    if (event.key !== "Escape" && (inField || scrolls && event.key.length > 1)) return;
    event.preventDefault();
    keys[event.key]();
  });
  $("search").addEventListener("input", search);
  $("search").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); hit(event.shiftKey ? -1 : 1); } });
  $("next").addEventListener("click", () => hit(1));
  $("previous").addEventListener("click", () => hit(-1));

  const indexOf = (event) => { const box = event.target.closest("[data-i]"); return box ? +box.dataset.i : -1; };
  rowsBox.addEventListener("click", (event) => {
    const index = indexOf(event), item = items[index];
    if (item === undefined || event.target.closest("a")) return;
    if (!isRow(item) && item.skipped) {
      // To the first of the steps that were left out.
      const first = isRow(items[index - 1]) ? items[index - 1] + 1 : index ? rowOf(items[index - 1]) : 0;
      let row = first;
      while (item.skipped[0] && row < count - 1 && wanted.mode !== "all" && at(row).sort === "scheduling") row++;
      reveal(row);
    } else select(index);
  });
  rowsBox.addEventListener("mouseover", (event) => { const index = indexOf(event); if (index >= 0) detail(index); });
  rowsBox.addEventListener("mouseleave", () => { if (now >= 0) detail(now); });
  addEventListener("hashchange", () => { const row = rowOfLink(location.hash); if (row >= 0) reveal(row); });
  for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => setMode(button.dataset.mode));
  for (const li of document.querySelectorAll("li[data-moment]"))
    li.addEventListener("click", () => reveal(data.moments[+li.dataset.moment][0]));
  $("filters").addEventListener("click", (event) => { const button = event.target.closest("button"); if (button) toggle(...chipOf(button)); });
  $("filters").addEventListener("change", (event) => {
    const list = event.target;
    if (!list.value) return;
    toggle(wanted[list.dataset.sort], list.value.split(",").map(Number));
    list.value = "";
  });
  const point = (event) => {
    if (event.buttons & 1) select(find(Math.floor(Math.max(0, Math.min(0.9999, event.offsetY / $("strip").clientHeight)) * count)));
  };
  $("strip").addEventListener("pointerdown", point);
  $("strip").addEventListener("pointermove", point);
  $("save").href = `data:text/plain;charset=utf-8,${encodeURIComponent(data.replay[1])}`;
  $("copy").addEventListener("click", async () => {
    getSelection().selectAllChildren($("command"));
    try { await navigator.clipboard.writeText($("command").textContent); $("copy").textContent = "copied"; } catch { /* it is selected */ }
  });
  let waiting = false;
  lanes.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; render(false); });
  });
  addEventListener("resize", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  // On paper everything that is listed is drawn, or what matters if that is too much.
  let screenMode = wanted.mode;
  addEventListener("beforeprint", () => {
    screenMode = wanted.mode;
    if (items.length > PRINTED) setMode("story");
    drawn = [-1, -1];
    render(true);
  });
  addEventListener("afterprint", () => { if (screenMode !== wanted.mode) setMode(screenMode); redraw(); });

  heads();
  filters();
  // The reader begins where it broke, unless the address says where.
  relist(failed);
  const linked = rowOfLink(location.hash);
  if (linked >= 0) reveal(linked);
})();
