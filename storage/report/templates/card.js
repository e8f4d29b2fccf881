// One row beside the map or above the table: decision, cluster, signals, prompt and response. Texts are never markup.
const card = (() => {
  const place = document.getElementById("card"), add = document.getElementById("card-add");
  let current = -1;

  function element(tag, text, kind) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function short(value) {
    if (value === null || Number.isInteger(value)) return value === null ? "–" : value.toLocaleString("en");
    const [digits, power] = value.toPrecision(3).replace(/^-/, "−").split("e");
    return power ? `${digits}·10${[...String(Number(power))].map((sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]).join("")}` : digits;
  }

  function signals(i) {
    const list = element("dl"), text = texts.get(i), damage = damageOf(i);
    const pairs = text ? text.values.map((value, at) => [data.titles[data.texts.signals[at]], short(value)])
      : damage === null ? [] : [[data.titles.cds, "about " + damage.toFixed(2)]];
    for (const [name, value] of pairs) {
      const pair = element("div");
      pair.append(element("dt", name), element("dd", value));
      list.append(pair);
    }
    return list;
  }

  function write(i) {
    const text = texts.get(i), meta = element("p", undefined, "meta"), decision = element("p", undefined, "decision");
    const rank = text?.rank ? `, rank ${text.rank.toLocaleString("en")}` : "";
    meta.append(element("code", rows.id[i]), element("b", rows.kept[i] ? "kept" + rank : rows.reason[i], "tag"));
    decision.textContent = data.meanings[rows.reason[i]] || "";
    place.className = rows.kept[i] ? "kept" : "left";
    place.replaceChildren(meta, decision);
    if (rows.cluster) {
      const cluster = element("p", undefined, "of"), dot = element("span", undefined, "key");
      dot.style.background = clusterColour(rows.cluster[i]);
      cluster.append(dot, nameOf(i));
      place.append(cluster);
    }
    if (text) {
      for (const role of ["prompt", "response"]) {
        const turn = element("p", undefined, "turn");
        turn.append(element("span", role, "role"), text[role]);
        place.append(turn);
      }
    } else {
      const where = element("p", "The page has no room for the text of every row: ", "small");
      where.append(element("code", `curate explain ${rows.id[i]}`));
      place.append(where);
    }
    place.append(signals(i));
  }

  function show(i, fix) {
    if (i < 0 && !fix) return;
    if (fix) { filter.shown = i; map?.draw(); label(); }
    const wanted = i < 0 ? filter.shown : i;
    if (wanted < 0 || wanted === current) return;
    current = wanted;
    write(wanted);
  }

  function label() {
    add.disabled = filter.shown < 0;
    add.textContent = filter.picked?.has(filter.shown) ? "Take the row from the selection" : "Add the row to the selection";
  }

  function toggle() {
    if (filter.shown < 0) return;
    const picked = new Set(filter.picked);
    if (!picked.delete(filter.shown)) picked.add(filter.shown);
    update({ picked: picked.size ? picked : null });
  }

  add.addEventListener("click", toggle);
  followers.push(label);
  label();
  return { show, toggle, back: () => show(-1, false) || (filter.shown >= 0 && show(filter.shown, false)) };
})();
