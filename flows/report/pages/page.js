"use strict";
(function () {
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const data = (id) => { const block = document.getElementById(id); return block && JSON.parse(block.textContent); };
  const fill = (select, entries, chosen) => {
    select.replaceChildren(...entries.map(([value, text]) => new Option(text, value, false, value === chosen)));
  };

  function navigation() {
    // The pointer picks and goes; the arrow keys of a closed list only pick, and the button beside it goes.
    all("select[data-go]").forEach((select) => {
      const go = () => { location.href = select.value; };
      let typed = false;
      select.addEventListener("pointerdown", () => { typed = false; });
      select.addEventListener("keydown", () => { typed = true; });
      select.addEventListener("change", () => { if (!typed) go(); });
      select.closest(".go").querySelector("button").addEventListener("click", go);
      window.addEventListener("pageshow", () => { select.value = select.querySelector("[selected]").value; });
    });
    document.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      if (event.target.closest("input, select, textarea, .scroll")) return;
      const link = event.key === "ArrowLeft" ? one("a[rel=prev]") : event.key === "ArrowRight" ? one("a[rel=next]") : null;
      if (link) { event.preventDefault(); location.href = link.href; }
    });
  }

  function map(box) {
    const within = (selector) => box.querySelector(selector);
    const figures = JSON.parse(within("script").textContent);
    const payer = within(".map-payer"), measure = within(".map-measure"), tiles = Array.from(box.querySelectorAll(".tiles a"));
    function show() {
      const p = Number(payer.value), m = Number(measure.value);
      const layer = figures.layers[p][m], texts = layer.texts.split("|"), shades = layer.shades, unit = figures.units[m] === "$" ? "$" : "";
      tiles.forEach((tile) => {
        const place = figures.codes.indexOf(tile.dataset.code), small = figures.small[p][place] === "1";
        tile.className = shades[place] === "-" ? "" : "q" + shades[place];
        tile.querySelector(".figure").textContent = texts[place] + (small ? "*" : "");
        const note = !texts[place] ? ", no figure" : small ? ", small sample" : "";
        tile.querySelector(".unseen").textContent = " " + tile.dataset.name + note;
      });
      const entries = layer.legend.map((text, shade) => {
        const entry = document.createElement("li"), swatch = document.createElement("span");
        swatch.className = "swatch q" + shade;
        entry.append(swatch, unit + text);
        return entry;
      });
      within(".map-legend").replaceChildren(...entries);
      within(".map-said").textContent = figures.payers[p] + ", " + figures.measures[m] + (entries.length ? "" : ": no figure in any state");
    }
    payer.addEventListener("change", show);
    measure.addEventListener("change", show);
    show();
  }

  function calculator(figures) {
    const code = one("#rvu-code"), year = one("#rvu-year"), state = one("#rvu-state"), locality = one("#rvu-locality");
    const units = one("#rvu-units"), rows = one("#rvu-rows"), said = one("#rvu-said");
    const money = (cents) => (cents === null ? "" : (cents / 100).toFixed(2));
    const places = () => figures.years[year.value].places.filter((place) => place[0] === state.value);
    function states() {
      const known = Array.from(new Set(figures.years[year.value].places.map((place) => place[0]))).sort();
      fill(state, known.map((name) => [name, name]), known.includes(state.value) ? state.value : state.dataset.first);
      localities();
    }
    function localities() {
      const entries = places().map((place) => [place[1], place[1] + " " + figures.names[place[2]]]);
      fill(locality, [["", "all (" + entries.length + ")"], ...entries], "");
      show();
    }
    function row(place, count) {
      const [full, reduced] = place[3][figures.codes.indexOf(code.value)];
      const line = document.createElement("tr"), head = document.createElement("th");
      head.scope = "row";
      head.textContent = place[0] + " " + place[1] + " " + figures.names[place[2]];
      const amounts = [full, full * count, reduced, reduced === null ? null : full + reduced * (count - 1)];
      line.append(head, ...amounts.map((cents) => { const cell = document.createElement("td"); cell.textContent = money(cents); return cell; }));
      return line;
    }
    function show() {
      const of = figures.years[year.value], rvus = of.rvus[code.value], count = Number(units.value);
      const whole = Number.isInteger(count) && count >= 1 && count <= Number(units.max);
      units.setAttribute("aria-invalid", String(!whole));
      if (!rvus || !whole) {
        rows.replaceChildren();
        said.textContent = whole ? "Medicare has no amount for " + code.value + " in " + year.value + "." : "Units: a whole number from 1 to " + units.max + ".";
        return;
      }
      said.textContent = "CPT " + code.value + ", " + year.value + ": work " + rvus[0] + " + practice expense " + rvus[1] + " + malpractice " + rvus[2] +
        " = " + rvus[3] + " RVUs; conversion factor $" + of.factor + "; " + count + (count === 1 ? " unit" : " units") + ".";
      rows.replaceChildren(...places().filter((place) => !locality.value || place[1] === locality.value).map((place) => row(place, count)));
    }
    const years = Object.keys(figures.years);
    fill(code, figures.codes.map((name) => [name, name]), code.dataset.first);
    fill(year, years.map((name) => [name, name]), years.includes(year.dataset.first) ? year.dataset.first : years[years.length - 1]);
    year.addEventListener("change", states);
    state.addEventListener("change", localities);
    [code, locality].forEach((select) => select.addEventListener("change", show));
    units.addEventListener("input", show);
    states();
  }

  // One stop of the tab key for each row of figures: its median. The other figures lead to the same place.
  all(":is(.figures, .networks, .others) td:not(.middle) > a").forEach((link) => { link.tabIndex = -1; });
  navigation();
  all(".map").forEach(map);
  const fees = data("rvu-data");
  if (fees) calculator(fees);
})();
