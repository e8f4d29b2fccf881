// The ids of the rows that match, as arguments of `curate select` or as a file for them.
(() => {
  const MANY = 1000;
  const element = (id) => document.getElementById(id);
  const area = element("ids"), said = element("ids-said"), count = element("ids-count");
  const found = () => rows.id.filter((_, i) => matching[i]);

  function write() {
    const ids = active() ? found() : [], option = document.querySelector("input[name=option]:checked").value;
    const kept = active() ? matching.reduce((sum, one, i) => sum + (one && rows.kept[i]), 0) : 0;
    const number = (value) => value.toLocaleString("en");
    count.textContent = ids.length || active() ? `${number(ids.length)} rows, ${number(kept)} of them kept` : "No row is selected.";
    // A command line holds no more than about two megabytes on Linux, and 32 kilobytes on Windows.
    area.value = ids.length > MANY ? `${option} @ids.txt` : ids.map((id) => `${option} ${id}`).join(" ");
    said.textContent = ids.length > MANY ? "Save the list beside it first." : "";
    for (const one of ["ids-copy", "ids-save"]) element(one).disabled = !ids.length;
    element("ids-clear").disabled = !active();
  }

  element("ids-copy").addEventListener("click", async () => {
    area.select();
    let copied = true;
    // Without permission, the old way; a browser may refuse that, too.
    try { await navigator.clipboard.writeText(area.value); } catch { copied = document.execCommand("copy"); }
    said.textContent = copied ? "Copied." : "This browser does not let the page copy: press Ctrl-C.";
  });
  element("ids-save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([found().join("\n") + "\n"], { type: "text/plain" }));
    link.download = "ids.txt";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  element("ids-clear").addEventListener("click", () => update({ words: "", reason: "", cluster: "", picked: null }));
  for (const input of document.querySelectorAll("input[name=option]")) input.addEventListener("change", write);
  followers.push(write);
  write();
})();
