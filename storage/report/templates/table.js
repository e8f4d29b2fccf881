// The table of rows: search, two filters, sorting, pages. Texts are inserted as text, never as markup.
(() => {
  const heads = ["Example", "Rank", "Reason", "Cluster", "Damage", "Prompt", "Response"];
  const PER_PAGE = 25, numeric = new Set([1, 3, 4]);
  const element = (id) => document.getElementById(id);
  const search = element("row-search"), reason = element("row-reason"), cluster = element("row-cluster");
  const lower = data.rows.map((row) => row.join(" ").toLowerCase());
  let page = 0, sorted = null, down = false;

  function options(select, values, text) {
    for (const value of values) select.add(new Option(text(value), value));
  }
  const seen = (column) => [...new Set(data.rows.map((row) => row[column]))].filter((value) => value !== null);
  options(reason, seen(2).sort(), (value) => value);
  options(cluster, seen(3).sort((a, b) => a - b), (value) => `${value}: ${data.clusters[value] || ""}`.slice(0, 48));

  function matchingRows() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = data.rows.filter((row, i) => words.every((word) => lower[i].includes(word))
      && (!reason.value || row[2] === reason.value) && (!cluster.value || String(row[3]) === cluster.value));
    if (sorted !== null) {
      const last = (value) => value === null;  // missing values come last in either direction
      rows.sort((a, b) => {
        const [one, other] = [a[sorted], b[sorted]];
        if (last(one) || last(other)) return last(one) - last(other);
        return (one < other ? -1 : one > other ? 1 : 0) * (down ? -1 : 1);
      });
    }
    return rows;
  }

  function show() {
    const rows = matchingRows(), pages = Math.max(1, Math.ceil(rows.length / PER_PAGE)), body = element("row-body");
    page = Math.min(page, pages - 1);
    body.textContent = "";
    for (const row of rows.slice(page * PER_PAGE, (page + 1) * PER_PAGE)) {
      const line = body.insertRow();
      row.forEach((value, column) => {
        const cell = line.insertCell();
        if (numeric.has(column)) cell.className = "number";
        cell.dataset.label = heads[column];
        const text = value === null ? "–" : column === 4 ? value.toFixed(3) : String(value);
        if (column === 0) cell.append(Object.assign(document.createElement("code"), { textContent: text }));
        else cell.textContent = text;
      });
    }
    element("row-count").textContent = `${rows.length.toLocaleString("en")} rows found`;
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
  for (const input of [search, reason, cluster]) input.addEventListener("input", () => { page = 0; show(); });
  element("row-back").addEventListener("click", () => { page -= 1; show(); });
  element("row-next").addEventListener("click", () => { page += 1; show(); });
  show();
})();
