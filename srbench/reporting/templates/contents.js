// The data of the page, written by page/contents.py: names, files and values of its images.

const { scale, metrics, settings, competing, maps, columns, images: stored, opening, compressed } = JSON.parse(document.getElementById("data").textContent);
const ABSENT = -3.4028234663852886e38; // encodes a missing value: the lowest 32-bit float
const LEAST_THUMBNAIL = 96; // side of LR in pixels below which HR is the thumbnail

/** The address of an image: stored by index, or built from its name; null if there is no file. */
function addressOf({ folder, ending, ranges, others }, place) {
  const quoted = (text) => text.split("/").map(encodeURIComponent).join("/");
  if (place in others) return others[place];
  return ranges.some(([first, end]) => first <= place && place < end) ? quoted(`${folder}${stored.names[place]}${ending}`) : null;
}

/** The floats of one metric and setting, decoded on first use. */
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

/** A number for the page: a string if it is not finite, null if it is missing. */
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

  /** The value of a metric: an array with one number per sample, or one number for all; null if it is missing. */
  value(setting, metric) {
    const values = stored.values[setting][metric];
    if (values === null) return null;
    const floats = floatsOf(values);
    if (values.samples === 0) return shownNumber(floats[this.place]);
    const own = [...floats.subarray(this.place * values.samples, (this.place + 1) * values.samples)].filter((number) => number !== ABSENT);
    return own.length ? own.map(shownNumber) : null;
  }

  /** The thumbnail for the list: LR, or HR if LR is too small to recognise. */
  get thumbnail() {
    const isLarge = Math.max(this.width, this.height) >= LEAST_THUMBNAIL * scale;
    const files = columns.flatMap(({ setting }, column) => (setting === null ? this.file(column) ?? [] : []));
    return (isLarge ? files[0] : files.at(-1)) ?? null;
  }
}

const images = stored.names.map((_, place) => new PageImage(place));
