// Long lists: only visible rows and a few around them exist, so that thousands of rows stay cheap.

const SPARE = 8; // rows to draw beyond the visible ones, on both sides

class LongList {
  /**
   * box: the scrolling element; it scrolls right if rows are side by side, else down. list: the parent of the rows.
   * make: makes the row of an entry. room: makes an empty row, which fills the space of rows that do not exist.
   * drawn: called when the rows in the list have changed. All rows must have the size of the first.
   */
  constructor(box, list, make, room, drawn = () => {}) {
    Object.assign(this, { box, list, make, drawn, places: [], rows: new Map(), isWhole: false });
    this.before = room();
    this.behind = room();
    box.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(box);
  }

  /** Shows the rows of these entries, in their order, all newly made. */
  show(places) {
    this.places = places;
    this.rows.clear();
    this.draw();
  }

  /** Draws all rows, for printing, or only the visible ones again. */
  setWhole(isWhole) {
    this.isWhole = isWhole;
    this.draw();
  }

  get isAcross() {
    return getComputedStyle(this.list).flexDirection === "row" && getComputedStyle(this.list).display === "flex";
  }

  /** CSS pixels from one row to the next, and of the gap between them; zeros while unknown. */
  measure() {
    const [first, second] = this.rows.values();
    if (!first?.isConnected) return [0, 0];
    const [upper, lower] = [first, second ?? first].map((row) => row.getBoundingClientRect());
    const [step, own] = this.isAcross ? [lower.left - upper.left, upper.width] : [lower.top - upper.top, upper.height];
    return [step || own, Math.max(step - own, 0)];
  }

  draw() {
    let [pitch, gap] = this.measure();
    if (!pitch) {
      this.put(0, Math.min(2 * SPARE, this.places.length), 0, 0);
      [pitch, gap] = this.measure();
    }
    if (!pitch) return; // nothing is shown
    const box = this.box;
    const [start, length] = this.isAcross ? [box.scrollLeft, box.clientWidth] : [box.scrollTop, box.clientHeight];
    const first = this.isWhole ? 0 : Math.min(Math.max(Math.floor(start / pitch) - SPARE, 0), Math.max(this.places.length - SPARE, 0));
    const end = this.isWhole ? this.places.length : Math.min(Math.ceil((start + length) / pitch) + SPARE, this.places.length);
    this.put(first, Math.max(first, end), pitch, gap);
  }

  /** Puts the rows [first, end) into the list, reusing elements that are already there. */
  put(first, end, pitch, gap) {
    const wanted = this.places.slice(first, end);
    const before = this.rows;
    this.rows = new Map(wanted.map((place) => [place, before.get(place) ?? this.make(place)]));
    const room = (row, count) => {
      row.style.width = row.style.height = "";
      row.style[this.isAcross ? "width" : "height"] = `${count * pitch - gap}px`;
      return count && pitch ? [row] : [];
    };
    const rows = [...room(this.before, first), ...this.rows.values(), ...room(this.behind, this.places.length - end)];
    const same = rows.length === this.list.children.length && rows.every((row, at) => this.list.children[at] === row);
    if (!same) this.arrange(rows);
    this.drawn();
  }

  /** Moves only rows that change their position, so that the focused element keeps the focus. */
  arrange(rows) {
    const stays = new Set(rows);
    for (const row of [...this.list.children]) if (!stays.has(row)) row.remove();
    let at = this.list.firstChild;
    for (const row of rows) {
      if (row === at) at = at.nextSibling;
      else this.list.insertBefore(row, at);
    }
  }

  /** Scrolls the row of an entry to the middle, if the list has it. */
  bring(place) {
    const at = this.places.indexOf(place);
    const [pitch] = this.measure();
    if (at < 0 || !pitch) return;
    const length = this.isAcross ? this.box.clientWidth : this.box.clientHeight;
    this.box.scrollTo({ [this.isAcross ? "left" : "top"]: (at + 0.5) * pitch - length / 2, behavior: "instant" });
    this.draw();
  }
}
