// The table of the rows that match: sorting and pages. Texts are inserted as text, never as markup.
(() => {
  const heads = ["Example", "Rank", "Reason", "Cluster", "Damage", "Prompt", "Response"];
  const PER_PAGE = 25, BRIEF = 160, numeric = new Set([1, 3, 4]);
  const element = (id) => document.getElementById(id);
  let page = 0, sorted = null, down = false;

  for (const reason of data.rows.reasons) element("row-reason").add(new Option(reason, reason));
  for (const cluster of [...new Set(rows.cluster)].sort((a, b) => a - b)) {
    element("row-cluster").add(new Option(`${cluster}: ${data.clusters[cluster] || ""}`.slice(0, 48), cluster));
  }

  const columns = [
    (i) => rows.id[i], (i) => texts.get(i)?.rank ?? null, (i) => rows.reason[i], clusterOf, damageOf,
    (i) => texts.get(i)?.prompt ?? null, (i) => texts.get(i)?.response ?? null,
  ];

  function matchingRows() {
    const found = rows.order.filter((i) => matching[i]);
    if (sorted === null) return found;
    const keyed = found.map((i) => [columns[sorted](i), i]);
    keyed.sort(([one], [other]) => {
      // Missing values come last in either direction.
      if (one === null || other === null) return (one === null) - (other === null);
      return (one < other ? -1 : one > other ? 1 : 0) * (down ? -1 : 1);
    });
    return keyed.map(([, i]) => i);
  }

  function cellText(value, column) {
    const text = value === null ? "–" : column === 4 ? value.toFixed(3) : String(value);
    return text.length > BRIEF ? text.slice(0, BRIEF - 1) + "…" : text;
  }

  function show() {
    const found = matchingRows(), pages = Math.max(1, Math.ceil(found.length / PER_PAGE)), body = element("row-body");
    page = Math.min(page, pages - 1);
    body.textContent = "";
    for (const i of found.slice(page * PER_PAGE, (page + 1) * PER_PAGE)) {
      const line = body.insertRow();
      columns.forEach((value, column) => {
        const cell = line.insertCell(), text = cellText(value(i), column);
        if (numeric.has(column)) cell.className = "number";
        cell.dataset.label = heads[column];
        if (column === 0) cell.append(Object.assign(document.createElement("code"), { textContent: text }));
        else cell.textContent = text;
      });
    }
    element("row-count").textContent = `${found.length.toLocaleString("en")} rows found`;
    element("row-page").textContent = `Page ${page + 1} of ${pages}`;
    element("row-back").disabled = page === 0;
    element("row-next").disabled = page >= pages - 1;
    [...element("row-heads").children].forEach((head, column) => {
      head.setAttribute("aria-sort", sorted !== column ? "none" : down ? "descending" : "ascending");
      head.firstChild.textContent = heads[column] + (sorted !== column ? "" : down ? " ↓" : " ↑");
    });
  }

  heads.forEach((text, column) => {
    const head = document.createElement("th"), button = document.createElement("button");
    head.scope = "col";
    if (numeric.has(column)) head.className = "number";
    button.type = "button";
    button.addEventListener("click", () => { down = sorted === column && !down; sorted = column; page = 0; show(); });
    head.append(button);
    element("row-heads").append(head);
  });
  followers.push(() => { page = 0; show(); });
  element("row-back").addEventListener("click", () => { page -= 1; show(); });
  element("row-next").addEventListener("click", () => { page += 1; show(); });
  show();
})();
