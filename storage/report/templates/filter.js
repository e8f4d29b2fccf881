// The rows, and which of them are asked for: by words, reason, cluster, or picked on the map. Map and table follow.
const rows = await unpackRows(data.rows), texts = await unpackTexts(data.texts);
// Rows with text come first, in the order in which Python chose them.
rows.order = [...texts.keys(), ...Array.from({ length: rows.n }, (_, i) => i).filter((i) => !texts.has(i))];
const filter = { words: "", reason: "", cluster: "", picked: null, shown: -1 };
let matching = new Uint8Array(rows.n).fill(1), lower = null;
const followers = [];

function clusterOf(i) { return rows.cluster ? rows.cluster[i] : null; }
function nameOf(i) { return rows.cluster ? data.clusters[rows.cluster[i]] || "" : ""; }

// Damage in nats: exact for rows with text, to 1.6 % of the range for others; null if it is missing.
function damageOf(i) {
  const at = data.texts.signals.indexOf("cds"), text = texts.get(i);
  if (text && at >= 0) return text.values[at];
  const { steps, most } = data.rows.damage || {};
  return !rows.damage || rows.damage[i] > steps ? null : rows.damage[i] / steps * most;
}

function searchable(i) {
  const text = texts.get(i);
  return [rows.id[i], rows.reason[i], nameOf(i), text?.prompt, text?.response].join(" ").toLowerCase();
}

function active() {
  return Boolean(filter.words.trim() || filter.reason || filter.cluster !== "" || filter.picked);
}

function update(changes) {
  Object.assign(filter, changes);
  const words = filter.words.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) lower ??= rows.id.map((_, i) => searchable(i));
  for (let i = 0; i < rows.n; i++) {
    matching[i] = (!filter.reason || rows.reason[i] === filter.reason)
      && (filter.cluster === "" || String(clusterOf(i)) === filter.cluster)
      && (!filter.picked || filter.picked.has(i)) && words.every((word) => lower[i].includes(word)) ? 1 : 0;
  }
  for (const follow of followers) follow();
}

// Inputs of the same filter in several places say the same.
for (const name of ["words", "reason", "cluster"]) {
  const inputs = [...document.querySelectorAll(`[data-filter=${name}]`)];
  for (const input of inputs) input.addEventListener("input", () => update({ [name]: input.value }));
  followers.push(() => { for (const input of inputs) if (input.value !== filter[name]) input.value = filter[name]; });
}
for (const dot of document.querySelectorAll(".dot")) {
  dot.addEventListener("click", () => update({ cluster: filter.cluster === dot.dataset.cluster ? "" : dot.dataset.cluster }));
  followers.push(() => dot.setAttribute("aria-pressed", String(dot.dataset.cluster === filter.cluster)));
}
for (const note of document.querySelectorAll(".text-note")) {
  if (texts.size < rows.n) note.textContent = `Words are looked for in the ${texts.size.toLocaleString("en")} rows whose text is in the page, ids, reasons and names in all.`;
}
