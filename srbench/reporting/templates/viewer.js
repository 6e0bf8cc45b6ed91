// The viewer: all images show the same window. Centre, zoom and divider are CSS variables of the viewer, so images
// cannot get out of step.

const MAX_PIXEL = 64; // largest zoom, in screen pixels per image pixel

class Viewer {
  /** root: the element with the CSS variables. stage: the large frame. changed: called after every move. */
  constructor(root, stage, divider, changed) {
    Object.assign(this, { root, stage, divider, changed, shown: stage, entered: null, x: 0.5, y: 0.5, zoom: 1, split: 0.5, width: 1 });
    this.gestures(stage);
    divider.addEventListener("keydown", (event) => this.dividerKey(event));
    this.observer = new ResizeObserver(() => this.place());
    this.observer.observe(stage);
    document.addEventListener("pointerdown", (event) => this.entered?.contains(event.target) || this.leave());
  }

  /** Sets the frame whose size defines the zoom. */
  showOn(frame) {
    this.observer.disconnect();
    this.shown = frame;
    this.observer.observe(frame);
    this.look(this.x, this.y, this.zoom);
  }

  /** Lets the wheel zoom in this frame without a key, until a click elsewhere or Escape. */
  enter(frame) {
    if (this.entered !== frame) this.leave();
    this.entered = frame;
    frame.classList.add("entered");
  }

  leave() {
    this.entered?.classList.remove("entered");
    this.entered = null;
  }

  /** Sets the size of the images in pixels. */
  setImage(width, height) {
    this.width = width;
    this.root.style.setProperty("--aspect", width / height);
    this.place();
  }

  /** Screen pixels per image pixel. */
  get pixel() {
    return (this.shown.getBoundingClientRect().width / this.width) * this.zoom * devicePixelRatio;
  }

  /** Clamps a zoom: at least the whole image (or 1:1 if that is smaller), at most 64 screen pixels per image pixel. */
  within(zoom) {
    const whole = this.pixel / this.zoom;
    return Math.min(Math.max(zoom, Math.min(1, 1 / whole)), Math.max(1, MAX_PIXEL / whole));
  }

  /** Zooms to a number of screen pixels per image pixel, about the centre of the window. */
  setPixel(count) {
    if (this.pixel) this.look(this.x, this.y, (count / this.pixel) * this.zoom);
  }

  /** Shows the window around (x, y), fractions of the image, moved to lie inside it. */
  look(x, y, zoom) {
    this.zoom = this.within(zoom);
    const margin = Math.min(0.5 / this.zoom, 0.5);
    this.x = Math.min(Math.max(x, margin), 1 - margin);
    this.y = Math.min(Math.max(y, margin), 1 - margin);
    this.place();
    this.changed();
  }

  place() {
    for (const name of ["x", "y", "zoom"]) this.root.style.setProperty(`--${name}`, this[name]);
    this.root.classList.toggle("zoomed", this.zoom > 1);
    // Show pixels as squares, unless squares would differ in size.
    this.root.classList.toggle("smooth", this.pixel < 2 && Math.abs(this.pixel - 1) > 1e-3);
    document.getElementById("scale").value = `${Number(this.pixel.toPrecision(2))}×`;
  }

  /** Zooms by a factor about a point, given as fractions of the frame. */
  zoomAbout(u, v, factor) {
    const [x, y] = [this.x + (u - 0.5) / this.zoom, this.y + (v - 0.5) / this.zoom];
    const zoom = this.within(this.zoom * factor);
    this.look(x - (u - 0.5) / zoom, y - (v - 0.5) / zoom, zoom);
  }

  /** Zooms in or out to the next power of two of screen pixels per image pixel, about a point of the frame. */
  step(up, u = 0.5, v = 0.5) {
    if (!this.pixel) return; // nothing is shown
    const power = Math.log2(this.pixel);
    const next = up ? Math.floor(power + 1.001) : Math.ceil(power - 1.001);
    this.zoomAbout(u, v, 2 ** (next - power));
  }

  pan(right, down) {
    this.look(this.x + right / this.zoom, this.y + down / this.zoom, this.zoom);
  }

  setSplit(share) {
    this.split = Math.min(Math.max(share, 0), 1);
    const percent = Math.round(this.split * 100);
    this.root.style.setProperty("--split", `${this.split * 100}%`);
    this.divider.setAttribute("aria-valuenow", percent);
    this.divider.setAttribute("aria-valuetext", `${percent} % A, ${100 - percent} % B`);
    this.changed();
  }

  dividerKey(event) {
    const step = event.shiftKey ? 0.1 : 0.01;
    const places = { ArrowLeft: this.split - step, ArrowRight: this.split + step, Home: 0, End: 1 };
    if (!(event.key in places)) return;
    event.preventDefault();
    event.stopPropagation();
    this.setSplit(places[event.key]);
  }

  /** Handles pointers: one moves the window (or the divider if not zoomed), two zoom, a double click zooms in or out. */
  gestures(frame) {
    const pointers = new Map();
    let onDivider = false;
    const shares = (event) => {
      const box = frame.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    const movesDivider = () => frame === this.stage && (onDivider || this.zoom <= 1);
    frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.enter(frame);
      pointers.set(event.pointerId, shares(event));
      frame.setPointerCapture(event.pointerId);
      onDivider = pointers.size === 1 && event.target === this.divider;
      if (pointers.size === 1 && movesDivider() && event.pointerType === "mouse") this.setSplit(shares(event)[0]);
    });
    frame.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) return;
      const before = [...pointers.values()];
      const [u, v] = shares(event);
      const [u0, v0] = pointers.get(event.pointerId);
      pointers.set(event.pointerId, [u, v]);
      if (pointers.size === 2) this.pinch(before, [...pointers.values()]);
      else if (movesDivider()) this.setSplit(u);
      else this.pan(u0 - u, v0 - v);
    });
    const release = (event) => pointers.delete(event.pointerId);
    frame.addEventListener("pointerup", release);
    frame.addEventListener("pointercancel", release);
    frame.addEventListener("wheel", (event) => {
      const hasKey = event.ctrlKey || event.metaKey;
      if (!hasKey && this.entered !== frame) return; // let the page scroll
      event.preventDefault();
      this.zoomAbout(...shares(event), Math.exp(-event.deltaY * (hasKey ? 0.005 : 0.002)));
    }, { passive: false });
    frame.addEventListener("dblclick", (event) => {
      if (this.zoom > 1) this.look(0.5, 0.5, 1);
      else this.zoomAbout(...shares(event), 8 / this.pixel);
    });
  }

  pinch(before, after) {
    const middle = (points) => [(points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2];
    const distance = (points) => Math.hypot(points[0][0] - points[1][0], points[0][1] - points[1][1]);
    const [from, to] = [middle(before), middle(after)];
    this.pan(from[0] - to[0], from[1] - to[1]);
    if (distance(before) > 0) this.zoomAbout(...to, distance(after) / distance(before));
  }
}
