// Reads what packing.py and row_texts.py packed: base 85, a zlib stream, planes of bytes.
const LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%:()*+-;,=.?@^_`{|}~";

function fromText(text) {
  const value = new Uint8Array(128), missing = (5 - text.length % 5) % 5;
  [...LETTERS].forEach((letter, i) => { value[letter.charCodeAt(0)] = i; });
  const padded = text + "~".repeat(missing), raw = new Uint8Array(padded.length / 5 * 4), words = new DataView(raw.buffer);
  for (let i = 0; i < padded.length; i += 5) {
    let word = 0;
    for (let j = i; j < i + 5; j++) word = word * 85 + value[padded.charCodeAt(j)];
    words.setUint32(i / 5 * 4, word);
  }
  return raw.subarray(0, raw.length - missing);
}

async function inflate(text) {
  if (!text) return new Uint8Array();
  const { writable, readable } = new DecompressionStream("deflate"), writer = writable.getWriter(), parts = [];
  writer.write(fromText(text));
  writer.close();
  for (let reader = readable.getReader(), part; !(part = await reader.read()).done;) parts.push(part.value);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => { whole.set(part, at); return at + part.length; }, 0);
  return whole;
}

class Planes {
  constructor(raw) { this.raw = raw; this.at = 0; }
  bytes(n) { return this.raw.subarray(this.at, this.at += n); }
  pairs(n) {
    const high = this.bytes(n), low = this.bytes(n);
    return Uint16Array.from(high, (value, i) => value * 256 + low[i]);
  }
  unit(n) {  // places in [0, 1] of 12 bits
    const high = this.bytes(n), low = this.bytes(Math.ceil(n / 2));
    return Float32Array.from(high, (value, i) => (value * 16 + (i % 2 ? low[i >> 1] & 15 : low[i >> 1] >> 4)) / 4095);
  }
  ids(n, digits) {  // sorted ids, of which the differences are stored
    const planes = Array.from({ length: digits / 2 }, () => this.bytes(n));
    let id = 0n;
    return Array.from({ length: n }, (_, i) => {
      id += BigInt("0x" + planes.map((plane) => plane[i].toString(16).padStart(2, "0")).join(""));
      return id.toString(16).padStart(digits, "0");
    });
  }
}

async function unpackRows({ n, digits, reasons, clustered, damage, layouts, packed }) {
  const planes = new Planes(await inflate(packed)), rows = { n };
  rows.id = planes.ids(n, digits);
  rows.kept = planes.bytes(n);
  rows.reason = Array.from(planes.pairs(n), (which) => reasons[which]);
  rows.cluster = clustered ? planes.pairs(n) : null;
  rows.damage = damage ? planes.bytes(n) : null;
  rows.layouts = Object.fromEntries(layouts.map((name) => [name, [planes.unit(n), planes.unit(n)]]));
  return rows;
}

// Place of a row to its rank, values of the signals, prompt and response, for the rows whose text is in the page.
async function unpackTexts({ packed }) {
  const lines = new TextDecoder().decode(await inflate(packed)).split("\n").slice(0, -1).map((line) => JSON.parse(line));
  return new Map(lines.map(([place, rank, values, prompt, response]) => [place, { rank, values, prompt, response }]));
}
