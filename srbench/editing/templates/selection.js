"use strict";

// A box on a canvas that shows an image: moved, resized by its corners, by pointer or keys, in pixels of the image.
class Selection {
  /**
   * name: what a screen reader calls it. limits: { grid, step, least, most, resizes }: sides and corners are multiples
   * of grid, keys move it by step, sides have at least so many pixels and the box at most; resizes false keeps its size.
   * moved: called with the box during a movement, settled: after it.
   */
  constructor(canvas, kind, name, limits, moved, settled) {
    Object.assign(this, { canvas, name, limits, moved, settled, box: null, size: [1, 1] });
    this.frame = document.createElement("div");
    this.frame.className = `box ${kind}`;
    this.frame.tabIndex = 0;
    this.frame.hidden = true;
    this.frame.setAttribute("role", "group");
    this.frame.setAttribute("aria-roledescription", "box");
    canvas.append(this.frame);
    if (limits.resizes) for (const corner of ["nw", "ne", "sw", "se"]) this.addCorner(corner);
    drags(this.frame, (event) => this.grab(event));
    this.frame.addEventListener("keydown", (event) => this.key(event));
  }

  addCorner(corner) {
    const handle = document.createElement("span");
    handle.className = `corner ${corner}`;
    handle.dataset.corner = corner;
    this.frame.append(handle);
  }

  /** Shows a box, or none, without a call of moved or settled. */
  show(box) {
    this.box = box;
    placeBox(this.frame, box, this.size);
    if (box) this.frame.setAttribute("aria-label", `${this.name}: ${box[2]} × ${box[3]} at ${box[0]}, ${box[1]}; arrows move it${this.limits.resizes ? ", with Shift they resize it" : ""}`);
  }

  /** Shows the nearest box that is allowed. */
  move(box) {
    this.show(this.within(box));
    this.moved(this.box);
  }

  within([x, y, width, height]) {
    const { grid } = this.limits;
    const [wide, high] = this.size;
    const place = (start, length, whole) => Math.max(0, Math.min(nearest(start, grid), Math.floor((whole - length) / grid) * grid));
    [width, height] = this.limits.resizes ? this.sides(width, height) : [width, height];
    return [place(x, width, wide), place(y, height, high), width, height];
  }

  /** The sides of a box, multiples of the grid, in the image, of a size that is allowed. */
  sides(...lengths) {
    const { grid, least, most } = this.limits;
    const within = lengths.map((length, axis) => Math.min(Math.max(nearest(length, grid), least), Math.floor(this.size[axis] / grid) * grid));
    const factor = Math.min(1, Math.sqrt(most / (within[0] * within[1])));
    return within.map((length) => Math.max(factor < 1 ? Math.floor((length * factor) / grid) * grid : length, least));
  }

  /** The box between a corner that stays and a point. */
  span([x, y], [u, v]) {
    const [width, height] = this.sides(Math.abs(u - x), Math.abs(v - y));
    this.move([u < x ? x - width : x, v < y ? y - height : y, width, height]);
  }

  /** The box about a point. */
  centre([u, v]) {
    const [, , width, height] = this.box;
    this.move([u - width / 2, v - height / 2, width, height]);
  }

  grab(event) {
    const [x, y, width, height] = this.box;
    const corner = event.target.dataset.corner;
    const [u, v] = pixelAt(this.canvas, event, this.size);
    const stays = corner && [corner.includes("w") ? x + width : x, corner.includes("n") ? y + height : y];
    return {
      move: (next) => {
        const [right, down] = pixelAt(this.canvas, next, this.size);
        if (corner) this.span(stays, [right, down]);
        else this.move([x + right - u, y + down - v, width, height]);
      },
      end: () => [x, y, width, height].join() !== this.box.join() && this.settled(this.box),
    };
  }

  key(event) {
    const step = this.limits.step * (event.altKey || event.ctrlKey ? 8 : 1);
    const [right, down] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] ?? [0, 0];
    if (!right && !down) return;
    event.preventDefault();
    event.stopPropagation();
    const [x, y, width, height] = this.box;
    if (!event.shiftKey) this.move([x + right, y + down, width, height]);
    else if (this.limits.resizes) this.move([x, y, width + right, height + down]);
    this.settled(this.box);
  }
}

const nearest = (number, grid) => Math.round(number / grid) * grid;

/** The pixel of the image under a pointer; an edge of the image if that is outside. */
function pixelAt(canvas, event, size) {
  const area = canvas.getBoundingClientRect();
  const shares = [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  return shares.map((share, axis) => Math.round(Math.min(Math.max(share, 0), 1) * size[axis]));
}

/** Lays an element over a box of an image of this size; without a box it is hidden. */
function placeBox(element, box, size) {
  element.hidden = !box;
  if (!box) return;
  const shares = { "--left": box[0] / size[0], "--top": box[1] / size[1], "--wide": box[2] / size[0], "--high": box[3] / size[1] };
  for (const [name, share] of Object.entries(shares)) element.style.setProperty(name, share);
}

/** Calls start when a pointer goes down on an element; what it returns follows that pointer until it goes up. */
function drags(element, start) {
  let pointer = null;
  let drag = null;
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || pointer !== null) return;
    event.stopPropagation();
    drag = start(event);
    if (!drag) return;
    pointer = event.pointerId;
    element.setPointerCapture(pointer);
  });
  element.addEventListener("pointermove", (event) => event.pointerId === pointer && drag.move(event));
  for (const kind of ["pointerup", "pointercancel"]) {
    element.addEventListener(kind, (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      drag.end(event);
    });
  }
}
