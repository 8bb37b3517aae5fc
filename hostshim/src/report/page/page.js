"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const ROW = 22, AROUND = 12, MOST_LOCKS = 8, PRINTED = 4000;

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
  const count = data.rows;
  const row = {
    point: new Float64Array(count), cpu: new Uint8Array(count), lwp: new Uint16Array(count),
    level: new Uint8Array(count), deed: new Uint32Array(count),
  };
  {
    const from = numbers(data.stream);
    const next = new Map();
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
      const [cpu, lwp, level] = data.states[state];
      row.point[i] = point; row.cpu[i] = cpu; row.lwp[i] = lwp; row.level[i] = level; row.deed[i] = came[2];
    }
  }

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
  // The last span that begins at this row or before; -1 if none does.
  function before(spans, at) {
    let low = 0, high = spans.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (spans[middle].first <= at) low = middle + 1; else high = middle;
    }
    return low - 1;
  }
  const runAt = (cpu, at) => runs[cpu][before(runs[cpu], at)];
  function layersAt(cpu, at) {
    const found = [];
    for (let i = before(layers[cpu], at); i >= 0; i--) {
      const layer = layers[cpu][i];
      if (layer.end > at) found.unshift(layer);
      if (layer.depth === 0) break;
    }
    return found;
  }
  function holdAt(lock, at) {
    const list = holds[lock];
    for (let i = before(list, at), tries = 0; i >= 0 && tries < 6; i--, tries++) if (list[i].end > at) return list[i];
    return null;
  }

  // The locks that have a column: those held at the end, then those held longest; the scheduler's own tell nothing.
  const dull = /ci_schedstate|sleepq_locks|tt_chain|cc_lock/;
  const shownLocks = data.locks.map((name, lock) => ({
    name, lock, length: holds[lock].reduce((sum, s) => sum + s.end - s.first, 0), atEnd: holds[lock].some((s) => s.end >= count),
  })).filter((l) => !dull.test(l.name)).sort((a, b) => b.atEnd - a.atEnd || b.length - a.length).slice(0, MOST_LOCKS);

  // Colours: grey for idle LWPs, else hues far apart from one to the next.
  let hue = 0;
  const colours = data.lwps.map(([, role]) =>
    role === "idle" ? "hsl(215 8% 60%)" : `hsl(${(205 + 137.5 * hue++) % 360} 62% var(--light))`);
  const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const moments = new Map();
  data.moments.forEach(([at, weight], index) => {
    if (!moments.has(at)) moments.set(at, []);
    moments.get(at).push({ weight, index });
  });
  const departures = new Map();
  data.departures.forEach(([at], index) => {
    if (!departures.has(at)) departures.set(at, []);
    departures.get(at).push(index);
  });

  // What is listed: rows by number, departures as { departure }, gaps as { skipped }.
  function listed(mode) {
    if (mode === "story") {
      // Every moment is in the story, whether or not the text had room for it.
      const items = data.story.slice();
      const have = new Set(items.filter((item) => typeof item === "number"));
      for (const at of moments.keys()) if (!have.has(at)) insert(items, at);
      return items;
    }
    const items = [];
    for (let i = 0; i < count; i++) {
      for (const departure of departures.get(i) || []) items.push({ departure });
      if (mode === "all" || data.deeds[row.deed[i]][2] !== "scheduling" || moments.has(i)) items.push(i);
    }
    return items;
  }
  function insert(items, at) {
    let place = items.findIndex((item) => typeof item === "number" && item > at);
    if (place < 0) place = items.length;
    const gap = items[place - 1];
    items.splice(place, 0, at);
    // The gap that it lay in is now two; the counts are told for the first of them, less one.
    if (gap && gap.skipped) gap.skipped = [Math.max(gap.skipped[0] - 1, 0), gap.skipped[1]];
  }

  let mode = "story", items = [], now = -1, drawn = [-1, -1];
  const lanes = $("lanes"), rowsBox = $("rows");
  const plural = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

  function heads() {
    const locks = shownLocks.map((l) => `<span class="lock" title="${escape(l.name)}">${escape(l.name.split(".").slice(-2).join("."))}</span>`);
    const cpus = Array.from({ length: data.cpus }, (_, cpu) => `<span class="lane">cpu${cpu}</span>`);
    $("heads").innerHTML = `<span class="point">point</span><span class="marks"></span><span class="locks">${locks.join("")}</span>${cpus.join("")}<span class="where">where</span>`;
  }

  // One item. `above` is the row that is listed before it, -1 if none is; `fresh` that something is left out in between.
  function draw(index, above, fresh) {
    const item = items[index], top = `top:${index * ROW}px`, chosen = index === now ? " now" : "";
    if (typeof item !== "number") {
      if (item.skipped) {
        const [events, others] = item.skipped;
        const parts = [events && plural(events, "step"), others && plural(others, "departure")].filter(Boolean);
        return `<div class="row gap${chosen}" data-i="${index}" style="${top}">… ${parts.join(" and ") || "the scheduler"} more</div>`;
      }
      return `<div class="row departure${chosen}" data-i="${index}" style="${top}">&gt;&gt;&gt; ${escape(data.departures[item.departure][1])}</div>`;
    }
    const told = moments.get(item) || [];
    const breaks = told.some((m) => m.weight === "break") ? " break" : "";
    const badges = told.map((m) => `<span class="number ${m.weight}">${m.index + 1}</span>`).join("");
    const locks = shownLocks.map((l) => {
      const hold = holdAt(l.lock, item);
      if (!hold) return `<span class="lock"></span>`;
      const ends = (hold.first === item ? " first" : "") + (hold.end === item + 1 ? " last" : "");
      const title = `${data.lwps[hold.lwp][0]} holds ${l.name}`;
      return `<span class="lock" title="${escape(title)}"><i class="${hold.shared ? "shared" : ""}${ends}" style="--c:${colours[hold.lwp]}"></i></span>`;
    }).join("");
    let cells = "";
    for (let cpu = 0; cpu < data.cpus; cpu++) cells += lane(cpu, item, above, fresh);
    const place = data.places[data.deeds[row.deed[item]][1]];
    return `<div class="row${breaks}${chosen}" data-i="${index}" style="${top}"><span class="point">${row.point[item]}</span><span class="marks">${badges}</span><span class="locks">${locks}</span>${cells}<span class="where">${escape(place)}</span></div>`;
  }

  // What a CPU does at a row: bars for what lies below, then what runs.
  function lane(cpu, at, above, fresh) {
    const run = runAt(cpu, at);
    if (!run) return `<span class="lane"></span>`;
    const here = row.cpu[at] === cpu;
    const last = above < 0 ? null : runAt(cpu, above);
    let bars = "", inside = "", isNew = !last || last.lwp !== run.lwp || run.first > above;
    // A softint that is about to be switched to is no layer yet.
    const stack = layersAt(cpu, at).filter((layer) => data.layers[layer.name][0] !== "softint" || layer.below !== run.lwp);
    stack.forEach((layer, index) => {
      const [sort, name] = data.layers[layer.name];
      if (sort === "softint") {
        bars += `<span class="bar" style="--c:${colours[layer.below]}" title="${escape(data.lwps[layer.below][0])}, below"></span>`;
      } else {
        // The LWP that was interrupted lies below it, unless a softint has put it there already.
        if (index === stack.length - 1 || data.layers[stack[index + 1].name][0] !== "softint")
          bars += `<span class="bar" style="--c:${colours[layer.below]}" title="${escape(data.lwps[layer.below][0])}, interrupted"></span>`;
        bars += `<span class="bar interrupt" title="interrupt ${name}"></span>`;
        inside = " interrupt";
        isNew ||= layer.first > above;
      }
    });
    const inmost = stack[stack.length - 1];
    const handler = inmost && data.layers[inmost.name][0] === "interrupt";
    if (!handler) bars += `<span class="bar" style="--c:${colours[run.lwp]}"></span>`;
    const [name, role] = data.lwps[run.lwp];
    // Who runs is told once, and again where the eye has lost it.
    const label = isNew || here && (fresh || row.cpu[above] !== cpu)
      ? `<span class="name">${escape(name)}${handler ? `, interrupt ${data.layers[inmost.name][1]}` : ""}</span>${here ? ": " : ""}` : here ? "  " : "";
    const [what, , sort] = data.deeds[row.deed[at]];
    const text = here ? `<span class="what ${sort}">${escape(what)}</span>` : "";
    const idle = role === "idle" && !handler ? " idle" : "";
    const title = here ? ` title="${escape(`${name} on cpu${cpu}, ${what}`)}"` : "";
    return `<span class="lane">${bars}<span class="block${idle}${inside}${here ? " here" : " other"}" style="--c:${colours[run.lwp]}"${title}>${label}${text}</span></span>`;
  }

  function render(all) {
    const first = all ? 0 : Math.max(0, Math.floor(lanes.scrollTop / ROW) - AROUND);
    const last = all ? items.length : Math.min(items.length, Math.ceil((lanes.scrollTop + lanes.clientHeight) / ROW) + AROUND);
    if (drawn[0] === first && drawn[1] === last) return;
    drawn = [first, last];
    let html = "", above = -1;
    for (let i = first; i < last; i++) {
      const isRow = typeof items[i] === "number";
      html += draw(i, above, typeof items[i - 1] !== "number");
      if (isRow) above = items[i];
    }
    rowsBox.innerHTML = html;
  }
  function redraw() { drawn = [-1, -1]; render(false); }

  function setMode(next) {
    const at = now >= 0 ? nearest(now) : 0;
    mode = next;
    items = listed(mode);
    rowsBox.style.height = `${items.length * ROW}px`;
    for (const button of document.querySelectorAll("[data-mode]")) button.classList.toggle("on", button.dataset.mode === mode);
    const steps = items.filter((item) => typeof item === "number").length;
    $("count").textContent = steps === count ? plural(count, "step") : `${steps} of ${plural(count, "step")}`;
    drawn = [-1, -1];
    if (now >= 0) select(find(at)); else render(false);
  }
  // The row of an item; of a departure or a gap, that of the next row.
  function nearest(index) {
    for (let i = index; i < items.length; i++) if (typeof items[i] === "number") return items[i];
    return Math.max(0, count - 1);
  }
  // The item of a row, or of the next one that is listed.
  function find(at) {
    const index = items.findIndex((item) => typeof item === "number" && item >= at);
    return index < 0 ? items.length - 1 : index;
  }

  function select(index) {
    if (!items.length) return;
    now = Math.max(0, Math.min(items.length - 1, index));
    const top = now * ROW, head = $("heads").offsetHeight;
    if (top < lanes.scrollTop + ROW * 2) lanes.scrollTop = Math.max(0, top - ROW * 4);
    else if (top + head + ROW * 3 > lanes.scrollTop + lanes.clientHeight) lanes.scrollTop = top + head + ROW * 6 - lanes.clientHeight;
    redraw();
    detail(now);
    const told = typeof items[now] === "number" ? (moments.get(items[now]) || []).map((m) => m.index) : [];
    for (const li of document.querySelectorAll("li[data-moment]")) li.classList.toggle("now", told.includes(+li.dataset.moment));
  }
  function detail(index) {
    const item = items[index];
    if (item === undefined) return;
    if (typeof item !== "number") {
      $("detail").textContent = item.skipped ? "These steps are left out: click to see them."
        : `The schedule departs from the machine's default: ${data.departures[item.departure][1]}`;
      return;
    }
    const name = data.lwps[row.lwp[item]][0], [what, place] = data.deeds[row.deed[item]];
    const held = data.locks.map((lock, i) => [lock, holdAt(i, item)]).filter(([, h]) => h && h.lwp === row.lwp[item]).map(([lock]) => lock);
    const others = Array.from({ length: data.cpus }, (_, cpu) => cpu).filter((cpu) => cpu !== row.cpu[item])
      .map((cpu) => { const run = runAt(cpu, item); return `cpu${cpu}: ${run ? data.lwps[run.lwp][0] : "nothing"}`; });
    const lines = [
      `point ${row.point[item]}: ${name} on cpu${row.cpu[item]}, at level ${data.levels[row.level[item]]}: ${what}${data.places[place] ? `, at ${data.places[place]}` : ""}`,
      `${name} holds ${held.join(", ") || "no lock"}. Meanwhile ${others.join(", ") || "there is no other CPU"}.`,
      ...(moments.get(item) || []).map((m) => `${m.index + 1}: ${data.moments[m.index][2]}`),
    ];
    $("detail").textContent = lines.join("\n");
    $("detail").style.whiteSpace = "pre-wrap";
  }
  function moment(step) {
    const at = now >= 0 ? nearest(now) : -1;
    const places = [...moments.keys()].sort((a, b) => a - b);
    const next = step > 0 ? places.find((place) => place > at) : places.reverse().find((place) => place < at);
    if (next !== undefined) select(find(next));
  }

  const modes = ["story", "kernel", "all"];
  const keys = {
    j: () => select(now + 1), ArrowDown: () => select(now + 1), k: () => select(now - 1), ArrowUp: () => select(now - 1),
    PageDown: () => select(now + 20), PageUp: () => select(now - 20), Home: () => select(0), End: () => select(items.length - 1),
    n: () => moment(1), p: () => moment(-1), m: () => setMode(modes[(modes.indexOf(mode) + 1) % modes.length]),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  const indexOf = (event) => { const box = event.target.closest("[data-i]"); return box ? +box.dataset.i : -1; };
  rowsBox.addEventListener("click", (event) => {
    const index = indexOf(event);
    if (index < 0) return;
    const item = items[index];
    now = index;
    if (typeof item !== "number" && item.skipped) {
      // To the first of the steps that were left out.
      const from = typeof items[index - 1] === "number" ? items[index - 1] : 0;
      setMode(item.skipped[0] ? "kernel" : "all");
      select(find(from));
    } else select(index);
  });
  rowsBox.addEventListener("mouseover", (event) => { const index = indexOf(event); if (index >= 0) detail(index); });
  rowsBox.addEventListener("mouseleave", () => { if (now >= 0) detail(now); });
  for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => setMode(button.dataset.mode));
  for (const li of document.querySelectorAll("li[data-moment]"))
    li.addEventListener("click", () => select(find(data.moments[+li.dataset.moment][0])));
  let waiting = false;
  lanes.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; render(false); });
  });
  addEventListener("resize", redraw);
  // On paper everything that is listed is drawn, or what matters if that is too much.
  let screenMode = mode;
  addEventListener("beforeprint", () => {
    screenMode = mode;
    if (items.length > PRINTED) setMode("story");
    drawn = [-1, -1];
    render(true);
  });
  addEventListener("afterprint", () => { setMode(screenMode); redraw(); });

  heads();
  setMode("story");
  // The reader begins where it broke.
  select(items.length - 1);
})();
