// Measures a page of `rumplab explain --html` from inside: scripts/reports puts it at the end of the page and reads what it
// finds wrong from the document. Opened at a link (#step-N), it looks whether the page begins there.
"use strict";
(async () => {
  const wrong = [];
  const check = (is, what) => { if (!is && !wrong.includes(what)) wrong.push(what); };
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const text = (element) => (element ? element.textContent.trim() : "");
  const one = (selector, root = document) => root.querySelector(selector);
  const settle = () => new Promise((done) => setTimeout(done, 50));
  const key = (name, target = document.body) => target.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const chosen = () => one(".row.now");

  // Whether the whole of an element can be seen, and no other lies on it.
  function isInView(element) {
    const box = element.getBoundingClientRect();
    const middle = (box.top + box.bottom) / 2;
    const isOnTop = (x) => { const top = document.elementFromPoint(x, middle); return top && (element.contains(top) || top.contains(element)); };
    return box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth + 0.5
      && isOnTop(box.left + 3) && isOnTop(box.right - 3);
  }

  // Everything that is listed, drawn at once as for paper. The steps of the page may be too many for that.
  function listed(mode) {
    one(`[data-mode="${mode}"]`).click();
    dispatchEvent(new Event("beforeprint"));
    const rows = all("#rows .row").map((row) => ({
      row, point: text(one(".point", row)), what: text(one(".what", row)), name: text(one(".name", row)),
      isScheduling: !!one(".what.scheduling", row), isGap: row.matches(".gap"), isStep: !!one(".what", row),
    }));
    const isWhole = one(`[data-mode="${mode}"]`).classList.contains("on");
    dispatchEvent(new Event("afterprint"));
    return isWhole ? rows : null;
  }

  function failure() {
    const row = all(".row.break").pop();
    check(row, "no row is marked as the one that failed");
    if (!row) return;
    check(isInView(row), "the row that failed is not in view");
    const what = one(".what", row).getBoundingClientRect(), place = one(".where", row).getBoundingClientRect();
    check(what.right <= innerWidth && place.right <= innerWidth, "the text of the row that failed is cut off");
    const source = one("#source .failed.at");
    check(source && isInView(source), "the source line of what failed is not in view");
  }

  function facts() {
    const told = all("#facts dd");
    const [scenario, variant] = document.title.split(": ")[0].split(" ");
    for (const [what, words] of [["scenario", scenario], ["variant", variant], ["build", /^rumplab \d/], ["command", "rumplab replay "]]) {
      const where = told.find((element) => (words.exec ? words.test(text(element)) : text(element).includes(words)));
      check(where && isInView(where), `the ${what} is not told above the fold`);
    }
  }

  // Where text of the rows in view is cut off although there is room for it.
  function clipped(when) {
    const lanes = one("#lanes"), view = lanes.getBoundingClientRect();
    check(document.documentElement.scrollWidth <= innerWidth, `the page is wider than the window ${when}`);
    for (const row of all("#rows .row")) {
      const box = row.getBoundingClientRect();
      if (box.top < view.top || box.bottom > view.bottom) continue;
      const texts = all("*", row).filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
      const isCut = (element) => {
        for (let inner = element; inner !== row; inner = inner.parentElement)
          if (getComputedStyle(inner).overflowX !== "visible" && inner.scrollWidth > inner.clientWidth + 1) return true;
        return element.getBoundingClientRect().right > view.right;
      };
      const cut = texts.find(isCut);
      if (!cut) continue;
      const begin = (one(".text", row) || one(".lane", row) || row).getBoundingClientRect().left;
      let used = 0;
      for (const element of texts) for (const node of element.childNodes) {
        const range = document.createRange();
        range.selectNodeContents(node);
        const at = range.getBoundingClientRect();
        let right = Math.min(at.right, view.right);
        for (let inner = element; inner !== row; inner = inner.parentElement) right = Math.min(right, inner.getBoundingClientRect().right);
        if (at.left >= begin) used += Math.max(0, right - at.left);
      }
      check(view.right - begin - used < 60, `"${text(cut)}" is cut off although there is room ${when}`);
    }
    for (const panel of all("#source, #told, .why")) check(panel.scrollWidth <= panel.clientWidth + 1, `text is cut off in ${panel.id || "the verdict"} ${when}`);
  }

  function cycle() {
    const lines = all(".why p").filter((line) => text(line).startsWith("cycle: "));
    const drawing = one("#graph svg");
    if (!lines.length) {
      const waits = /deadlock|lost wake-up/.test(text(one("h1")).toLowerCase());
      check(!drawing || waits, "a graph is drawn although nobody waits for ever");
      return;
    }
    const told = lines.map((line) => text(line).slice("cycle: ".length).split(" => "));
    const stations = told.flat();
    const steps = told.flatMap((cycle) => cycle.slice(1).map((to, index) => `${cycle[index]} => ${to}`));
    const printed = [...new Set(steps)].sort();
    check(isInView(lines[0]), "the cycle is not in view");
    const arrows = all(".edge.bad", drawing || document);
    const drawn = arrows.map(({ dataset }) => `${dataset.from} => ${dataset.to}`).sort();
    check(printed.join() === drawn.join(), `the cycle that is drawn (${drawn}) is not the one that is printed (${printed})`);
    const words = all("text", drawing || document).map(text);
    for (const station of stations) check(words.includes(station), `no box is called ${station}`);
  }

  // What lies between two rows that are listed is told there, neither more nor less.
  function folds() {
    const steps = listed("all"), short = listed("story");
    if (!steps) return;
    let at = 0, told = 0;
    for (const item of [...short, null]) {
      if (item && item.isGap) told += Number((/(\d+) (more )?steps?/.exec(text(item.row)) || [0, 0])[1]);
      if (item && !item.isStep) continue;
      let next = item ? steps.findIndex((step, index) => index >= at && step.point === item.point && step.what === item.what) : steps.length;
      check(next >= 0, `step ${item && item.point} is listed twice, or too late`);
      if (next < 0) next = at;
      const hidden = steps.slice(at, next).filter((step) => step.isStep && !step.isScheduling).length;
      check(hidden === told, `${hidden} steps are left out before step ${item ? item.point : "the end"}, and the page says ${told}`);
      [at, told] = [next + 1, 0];
    }
  }

  async function searches() {
    const field = one("#search"), words = text(one("#rows .what")).split(" ")[0];
    check(field, "there is no search");
    if (!field) return;
    const ask = (what) => { field.value = what; field.dispatchEvent(new Event("input", { bubbles: true })); };
    const first = chosen();
    ask(words);
    const hits = Number((/^(\d+) hits?$/.exec(text(one("#hits"))) || [0, 0])[1]);
    check(hits > 0, `search finds no "${words}"`);
    const seen = new Set();
    for (let i = 0; i < Math.min(hits, 3); i++) {
      key("Enter", field);
      check(text(chosen()).includes(words), `search goes to "${text(chosen())}" for "${words}"`);
      check(isInView(chosen()), "what search finds is not in view");
      seen.add(chosen().dataset.row);
    }
    check(seen.size === Math.min(hits, 3), "search stays where it is");
    ask("no such step");
    check(text(one("#hits")) === "no hit", "search finds what is not there");
    key("j", field);
    check(first && chosen(), "a key in the search field moves the steps");
    key("Escape", field);
    check(field.value === "", "Esc does not clear the search");
  }

  function filters() {
    one('[data-mode="story"]').click();
    const before = text(one("#count"));
    for (const sort of ["threads", "locks"]) {
      const button = one(`#filters button[data-sort="${sort}"]`);
      check(button || sort === "locks", `no filter for ${sort}`);
      if (!button) continue;
      const name = text(button).replace(/^[A-Z](?=\w)/, sort === "locks" ? "" : "$&");
      button.click();
      check(button.getAttribute("aria-pressed") === "true", "a filter that is on does not say so");
      const rows = (listed("kernel") || []).filter((item) => item.isStep);
      check(rows.length > 0, `no step of ${name}`);
      let who = "";
      for (const item of rows) {
        who = item.name || who;
        const isIts = sort === "threads"
          ? who.split(",")[0] === name || item.what === `=> ${name}`
          : item.what.includes(name.split(".").pop()) || one(".lock .first, .lock .last", item.row);
        check(isIts, `the filter for ${name} lets step ${item.point} of ${who} through: ${item.what}`);
      }
      check(text(one("#count")) !== before, "a filter changes nothing");
      one(`#filters button[data-sort="${sort}"]`).click();
    }
    one('[data-mode="story"]').click();
    check(text(one("#count")) === before, `without filters there are ${text(one("#count"))}, and were ${before}`);
  }

  async function links() {
    one('[data-mode="all"]').click();
    one("#lanes").scrollTop = 0;
    await settle();
    const rows = all("#rows .row[data-row]");
    const row = rows[Math.min(9, rows.length - 1)];
    check(row, "no step has a link");
    if (!row) return;
    const { hash } = one("a.point", row), { row: number } = row.dataset;
    one('[data-mode="story"]').click();
    location.hash = hash;
    await settle();
    check(chosen() && chosen().dataset.row === number && isInView(chosen()), `the link ${hash} does not lead to its step`);
    key("ArrowDown");
    check(chosen().dataset.row !== number, "the arrow keys do not move");
    const link = one("a.point", chosen());
    check(!link || location.hash === link.hash, "the address does not follow");
    const active = document.getElementById(one("#lanes").getAttribute("aria-activedescendant"));
    check(active && active === chosen() && active.getAttribute("aria-selected") === "true", "assistive technology is not told which step is chosen");
    key("f");
    check(chosen().matches(".break") && isInView(chosen()), "f does not lead to what failed");
  }

  function overview() {
    const strip = one("#strip");
    check(strip, "there is no overview");
    if (!strip) return;
    const { data } = strip.getContext("2d").getImageData(0, 0, strip.width, strip.height);
    check(data.some((value) => value > 0), "the overview is empty");
    const before = chosen(), box = strip.getBoundingClientRect();
    strip.dispatchEvent(new PointerEvent("pointerdown", { clientX: box.left + 5, clientY: box.top + 1, buttons: 1, bubbles: true }));
    check(chosen() !== before && isInView(chosen()), "a click on the overview leads nowhere");
  }

  // Red is the failure's alone, and every text can be read on its ground.
  function colours() {
    const channels = (colour) => {
      const numbers = (colour.match(/[\d.]+/g) || []).map(Number);
      return colour.startsWith("color(") ? numbers.map((n, i) => (i < 3 ? n * 255 : n)) : numbers;
    };
    const hue = ([r, g, b]) => {
      const most = Math.max(r, g, b), least = Math.min(r, g, b), range = most - least;
      if (range < 40) return null;
      const turn = most === r ? (g - b) / range : most === g ? 2 + (b - r) / range : 4 + (r - g) / range;
      return (turn * 60 + 360) % 360;
    };
    const probe = document.body.appendChild(document.createElement("i"));
    const resolved = (colour) => { probe.style.color = colour; return channels(getComputedStyle(probe).color); };
    const red = hue(resolved("var(--bad)"));
    const used = new Set(all('[style*="--c"]').map((element) => element.style.getPropertyValue("--c").trim()));
    for (const colour of [...used, "var(--interrupt)"]) {
      const other = hue(resolved(colour));
      const apart = other === null ? 180 : Math.min(Math.abs(red - other), 360 - Math.abs(red - other));
      check(apart >= 40, `the hue of ${colour} is ${Math.round(apart)} degrees from the failure's red`);
    }
    probe.remove();
    const light = (rgb) => {
      const [r, g, b] = rgb.slice(0, 3).map((n) => (n / 255 <= 0.04045 ? n / 255 / 12.92 : ((n / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
      for (let inner = element; inner; inner = inner.parentElement) {
        const back = channels(getComputedStyle(inner).backgroundColor);
        if (back.length === 3 || back[3] > 0.5) return back;
      }
      return resolved("Canvas");
    };
    for (const element of all(".what, .name, .where, .point, .number, .row.forced span, .row.gap, dt, dd span, small, #count, li button, h1, .why p, #source div")) {
      if (!text(element)) continue;
      const [one, two] = [light(channels(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
      const ratio = (one + 0.05) / (two + 0.05);
      check(ratio >= 4.5, `${element.className || element.tagName} has a contrast of ${ratio.toFixed(1)}`);
    }
    for (const element of all("button, input, select, canvas, [tabindex='0'], svg")) {
      const name = element.getAttribute("aria-label") || element.getAttribute("title") || text(element);
      check(name || element.matches("#source"), `${element.tagName} ${element.id} has no name for assistive technology`);
    }
  }

  try {
    await settle();
    if (location.hash) {
      const row = chosen();
      check(row && `#step-${text(one(".point", row))}` === location.hash.replace(/(-\d+)-\d+$/, "$1") && isInView(row), `the page does not begin at ${location.hash}`);
    } else {
      failure();
      facts();
      clipped("on opening");
      cycle();
      colours();
      overview();
      for (const mode of ["kernel", "all", "story"]) {
        one(`[data-mode="${mode}"]`).click();
        clipped(`in the view "${mode}"`);
      }
      folds();
      await searches();
      filters();
      await links();
    }
  } catch (error) {
    wrong.push(`${error.name}: ${error.message}`);
  }
  const measured = document.body.appendChild(document.createElement("pre"));
  measured.id = "measured";
  measured.textContent = [`${innerWidth}x${innerHeight}, ${wrong.length} wrong`, ...wrong].join("\n");
})();
