// The data of the page: names, files and values of its images, as page/contents.py writes them.

const { scale, metrics, settings, competing, maps, columns, images: stored, opening, compressed } = JSON.parse(document.getElementById("data").textContent);
const ABSENT = -3.4028234663852886e38; // the lowest float of 32 bits
const LEAST_THUMBNAIL = 96; // pixels: of a smaller LR, HR stands in the list

/** An address that is kept for its place, or that follows from the name; null where there is no file. */
function addressOf({ folder, ending, ranges, others }, place) {
  const quoted = (text) => text.split("/").map(encodeURIComponent).join("/");
  if (place in others) return others[place];
  return ranges.some(([first, end]) => first <= place && place < end) ? quoted(`${folder}${stored.names[place]}${ending}`) : null;
}

/** The floats of one metric and setting, which are read when they are first asked for. */
function floatsOf(values) {
  if (!values.floats) {
    const text = atob(values.data);
    const bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
    const isDouble = bytes.length === 8 * stored.names.length * Math.max(values.samples, 1);
    values.floats = isDouble ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer);
  }
  return values.floats;
}

/** A number as the page shows it: text where it is not finite, null where it is missing. */
function shownNumber(number) {
  if (number === ABSENT) return null;
  if (Number.isFinite(number)) return number;
  return Number.isNaN(number) ? "nan" : number > 0 ? "inf" : "-inf";
}

class PageImage {
  constructor(place) {
    this.place = place;
    this.name = stored.names[place];
    this.width = stored.widths[place];
    this.height = stored.heights[place];
  }

  /** The address of a column's file, or null. */
  file(column) {
    return addressOf(stored.files[column], this.place);
  }

  /** The address of a column's map of a kind, or null. */
  map(kind, column) {
    const addresses = stored.maps[kind]?.[column];
    return addresses ? addressOf(addresses, this.place) : null;
  }

  hasFiles() {
    return columns.some((_, column) => this.file(column) !== null);
  }

  hasMap(kind) {
    return columns.some((_, column) => this.map(kind, column) !== null);
  }

  /** The value of a metric: one per sample in a list, or one of the whole set; null where it is missing. */
  value(setting, metric) {
    const values = stored.values[setting][metric];
    if (values === null) return null;
    const floats = floatsOf(values);
    if (values.samples === 0) return shownNumber(floats[this.place]);
    const own = [...floats.subarray(this.place * values.samples, (this.place + 1) * values.samples)].filter((number) => number !== ABSENT);
    return own.length ? own.map(shownNumber) : null;
  }

  /** What the list shows of it: LR, or HR of an image so small that LR would be a blur. */
  get thumbnail() {
    const isLarge = Math.max(this.width, this.height) >= LEAST_THUMBNAIL * scale;
    const files = columns.flatMap(({ setting }, column) => (setting === null ? this.file(column) ?? [] : []));
    return (isLarge ? files[0] : files.at(-1)) ?? null;
  }
}

const images = stored.names.map((_, place) => new PageImage(place));
