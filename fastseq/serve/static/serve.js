// The page of `fastseq serve`: requests the answer as one types, and shows it. All that is shown is
// set as text, never as HTML.
"use strict";

const PAUSE = 150; // milliseconds without a key, after which the text is sent
const MOST_CELLS = 20000; // of a map; a larger one would take seconds to draw

const at = (id) => document.getElementById(id);
const form = at("form"), columns = at("columns"), model = at("model"), beam = at("beam");
let timer = 0, asked = new AbortController();

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// ---- the form ----

function chosen() {
  const { columns: names, attention } = model.selectedOptions[0].dataset;
  return { names: JSON.parse(names), attention: JSON.parse(attention) };
}

function makeColumns() {
  const before = [...columns.querySelectorAll("input")].map((input) => input.value);
  columns.replaceChildren(...chosen().names.map((name, place) => {
    const id = `column-${place}`;
    const input = make("input", {
      id, type: "text", value: before[place] ?? "", maxLength: columns.dataset.longest,
      spellcheck: false, autocapitalize: "off",
    });
    return make("div", { className: "field" }, make("label", { htmlFor: id, textContent: name }), input);
  }));
}

function text() {
  return [...columns.querySelectorAll("input")].map((input) => input.value).join("\t");
}

// ---- the answer ----

async function ask() {
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  if (!text().trim()) return show(null);
  const alternatives = beam.valueAsNumber;
  if (!beam.checkValidity() || Number.isNaN(alternatives)) {
    return say(`alternatives: expected a whole number from 1 to ${beam.max}`);
  }
  at("answer").classList.add("old");
  try {
    const response = await fetch("v1/predict", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        text: text(), model: model.value, beam: alternatives, n_best: alternatives,
        scores: true, attention: chosen().attention,
      }),
      signal,
    });
    const document = await response.json();
    if (signal.aborted) return undefined;
    return response.ok ? show(document.results[0]) : say(document.error.message);
  } catch (error) {
    return signal.aborted ? undefined : say(`the server does not answer: ${error.message}`);
  }
}

function say(message) {
  show(null);
  at("status").textContent = message;
}

function show(result) {
  const best = result?.answers[0];
  at("answer").classList.remove("old");
  at("answer").textContent = best?.text ?? "";
  const notes = [];
  if (result?.unknown) {
    notes.push(`symbols that the training data did not have: ${[...new Set(result.unknown)].map(name).join(", ")}`);
  }
  if (best?.cut) notes.push("the answer was cut at the longest length that is searched");
  if (best && !best.text) notes.push("the answer is empty");
  at("status").textContent = notes.join("; ");
  at("alternatives").hidden = !result;
  at("answers").tBodies[0].replaceChildren(...(result?.answers ?? []).map(alternative));
  showMap(result?.attention ?? null, Boolean(result));
}

function alternative({ text, score, cut }) {
  const probability = Math.exp(score);
  const bar = make("span", { className: "bar" });
  bar.style.width = `${100 * probability}%`;
  const share = make("span", { textContent: `${percent(probability)}${cut ? " (cut)" : ""}` });
  const cell = make("td", {}, make("span", {}, share, make("span", { className: "track" }, bar)));
  cell.dataset.column = "probability";
  return make("tr", {}, make("th", { scope: "row", textContent: text }), cell);
}

function percent(share) {
  const digits = share >= 0.1 ? 1 : share >= 0.001 ? 2 : 4;
  return `${(100 * share).toFixed(digits)} %`;
}

// ---- the attention map ----

const NAMES = { " ": ["␣", "space"], "</s>": ["end", "end"], "\t": ["⇥", "tab"], "\n": ["⏎", "line break"] };

function name(symbol) {
  return NAMES[symbol]?.[1] ?? symbol;
}

function heading(symbol, scope) {
  if (!(symbol in NAMES)) return make("th", { scope, textContent: symbol });
  const [sign, said] = NAMES[symbol];
  const shown = make("span", { textContent: sign, title: said, ariaHidden: "true" });
  return make("th", { scope }, shown, make("span", { className: "said", textContent: said }));
}

function weight(share, from, to) {
  const said = `${Math.round(100 * share)} %`;
  const cell = make("td", { title: `${name(to)} from ${name(from)}: ${said}` },
    make("span", { className: "said", textContent: said }));
  cell.style.setProperty("--weight", share);
  return cell;
}

function showMap(map, answered) {
  const cells = map ? map.input.length * map.output.length : 0;
  const reason = !answered ? ""
    : !map ? "This model has no attention."
    : cells === 0 ? "The answer is empty: there is nothing to show."
    : cells > MOST_CELLS ? `A map of ${map.output.length} rows and ${map.input.length} columns is too large to show.`
    : "";
  at("attention").hidden = !answered;
  at("no-map").hidden = !reason;
  at("no-map").textContent = reason;
  at("map").hidden = !answered || Boolean(reason);
  at("map").replaceChildren();
  if (!answered || reason) return;
  const head = make("tr", {}, make("td"), ...map.input.map((symbol) => heading(symbol, "col")));
  const rows = map.output.map((symbol, row) => make("tr", {}, heading(symbol, "row"),
    ...map.weights[row].map((share, column) => weight(share, map.input[column], symbol))));
  const caption = make("caption", { className: "said", textContent: "Attention: symbols of the text in columns, those of the answer in rows" });
  at("map").append(make("table", { className: "map" }, caption, make("thead", {}, head), make("tbody", {}, ...rows)));
}

// ---- begin ----

form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  ask();
});
form.addEventListener("input", (event) => {
  clearTimeout(timer);
  if (!event.isComposing) timer = setTimeout(ask, PAUSE);
});
form.addEventListener("compositionend", () => {
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE);
});
model.addEventListener("change", makeColumns);
makeColumns();
show(null);
columns.querySelector("input").focus();
