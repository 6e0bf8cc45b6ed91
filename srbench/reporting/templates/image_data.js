// The data of the page, written by page/image_data.py: names, files and values of its images.

const { scale, metrics, settings, competing, projected, maps, columns, images: stored, opening, compressed, copies } = JSON.parse(document.getElementById("data").textContent);
const LEAST_THUMBNAIL = 96; // side of LR in pixels below which HR is the thumbnail

/** Values by row without those that say nothing about the model: consistency with LR of outputs projected onto LR. */
function comparable(values, rows, metric) {
  const isOfProjection = (place) => metric.group === "Consistency" && projected.includes(rows[place]);
  return values.map((value, place) => (isOfProjection(place) ? null : value));
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
    return stored.files[column][this.place] ?? null;
  }

  /** The address of a column's map of a kind, or null. */
  map(kind, column) {
    return stored.maps[kind]?.[column][this.place] ?? null;
  }

  hasFiles() {
    return columns.some((_, column) => this.file(column) !== null);
  }

  hasMap(kind) {
    return columns.some((_, column) => this.map(kind, column) !== null);
  }

  /** The value of a metric: an array with one number per sample, or one number for all; null if it is missing. */
  value(setting, metric) {
    return stored.values[setting][metric]?.[this.place] ?? null;
  }

  /** The thumbnail for the list: LR, or HR if LR is too small to recognise. */
  get thumbnail() {
    const isLarge = Math.max(this.width, this.height) >= LEAST_THUMBNAIL * scale;
    const files = columns.flatMap(({ setting }, column) => (setting === null ? this.file(column) ?? [] : []));
    return (isLarge ? files[0] : files.at(-1)) ?? null;
  }
}

const images = stored.names.map((_, place) => new PageImage(place));
