"use strict";
// The page: it shows a question, moves and zooms all images together, and takes one choice. Questions come from and
// votes go to a source: begin(name), answer(question, choice), address(question, side), fault(address), leave().

const $ = (id) => document.getElementById(id);
const SIDES = ["left", "reference", "right"];
const ASKED = {
  hr: "Which image do you prefer as a version of the reference?",
  lr: "Which image do you prefer as a high-resolution version of the reference?",
};
const NAMED = { hr: "Reference", lr: "Reference (low resolution)" };
const LARGEST = 16; // screen pixels that a pixel may become

class Page {
  constructor(source) {
    Object.assign(this, { source, question: null, pixel: 1, right: 0, down: 0, isBusy: true, pressed: null });
    for (const button of document.querySelectorAll("[data-choice]")) {
      button.addEventListener("click", () => this.choose(button.dataset.choice));
    }
    $("in").addEventListener("click", () => this.zoom(2));
    $("out").addEventListener("click", () => this.zoom(0.5));
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("keyup", (event) => event.key.toLowerCase() === "r" && this.hold(false));
    window.addEventListener("blur", () => this.hold(false));
    for (const kind of ["pointerup", "pointercancel", "pointerleave"]) $("hold").addEventListener(kind, () => this.hold(false));
    $("hold").addEventListener("pointerdown", () => this.hold(true));
    $("hold").addEventListener("contextmenu", (event) => event.preventDefault());
    $("hold").addEventListener("click", (event) => { // of a key or of assistive technology: no pointer was down
      if (event.detail === 0) this.hold($("hold").getAttribute("aria-pressed") !== "true");
    });
    for (const frame of document.querySelectorAll(".frame")) this.gestures(frame);
    window.addEventListener("resize", () => this.place());
    $("leave").addEventListener("click", () => this.ask());
    $("start").addEventListener("submit", (event) => {
      event.preventDefault();
      this.begin($("name").value);
    });
  }

  say(text) {
    $("message").hidden = !text;
    $("message").textContent = text;
  }

  /** Asks for the rater's name. */
  ask() {
    this.source.leave();
    this.show("start");
    $("where").hidden = true;
    $("name").value = "";
    $("name").focus();
  }

  show(part) {
    for (const id of ["start", "vote", "end"]) $(id).hidden = id !== part;
  }

  async begin(name) {
    this.say("");
    try {
      await this.shown(await this.source.begin(name));
    } catch (error) {
      this.say(error.message);
    }
  }

  /** Shows a question once all its images are there, so that none is judged earlier than the other. */
  async shown(question) {
    $("where").hidden = false;
    $("who").textContent = question.rater;
    $("place").textContent = question.id ? `${question.done + 1} of ${question.of}` : `${question.of} of ${question.of}`;
    $("bar").value = question.done / question.of;
    if (!question.id) {
      this.question = null;
      this.show("end");
      $("thanks").textContent = this.source.thanks;
      return;
    }
    this.isBusy = true;
    this.question = question;
    this.show("vote");
    this.enable(false);
    $("vote").classList.add("waiting");
    $("question").textContent = ASKED[question.reference];
    $("named").textContent = NAMED[question.reference];
    $("reference").classList.toggle("lr", question.reference === "lr");
    const images = SIDES.map((side) => this.load($(side), this.source.address(question, side)));
    await Promise.all(images);
    this.fit();
    $("vote").classList.remove("waiting");
    this.isBusy = false;
    this.enable(true);
  }

  async load(image, address) {
    image.dataset.own = address;
    image.src = address;
    try {
      await image.decode();
    } catch {
      throw new Error(await this.source.fault(address));
    }
  }

  enable(isEnabled) {
    const buttons = [...document.querySelectorAll("[data-choice]")];
    if (!isEnabled) this.pressed ??= buttons.find((button) => button === document.activeElement);
    for (const button of buttons) button.disabled = !isEnabled; // which takes the focus from one
    if (!isEnabled) return;
    if (document.activeElement === document.body) this.pressed?.focus({ preventScroll: true });
    this.pressed = null;
  }

  async choose(choice) {
    if (this.isBusy || !this.question) return;
    this.isBusy = true;
    this.hold(false);
    this.enable(false);
    this.say("");
    let next;
    try {
      next = await this.source.answer(this.question, choice);
    } catch (error) {
      this.say(`Not saved: ${error.message}. Choose again.`);
      this.isBusy = false;
      this.enable(true);
      return;
    }
    try {
      await this.shown(next);
    } catch (error) {
      this.say(error.message);
    }
  }

  /** As many whole screen pixels per pixel as fit into the frame, at least one. */
  fit() {
    const frame = document.querySelector(".frame");
    const root = document.documentElement.style;
    const { width, height } = this.question;
    root.removeProperty("--tall");
    const box = frame.getBoundingClientRect();
    this.pixel = Math.max(1, Math.floor(Math.min(box.width / width, box.height / height)));
    this.right = this.down = 0;
    root.setProperty("--width", width);
    root.setProperty("--height", height);
    root.setProperty("--tall", `${height * this.pixel}px`);
    this.place();
  }

  /** Moves and zooms within the images: their edges never leave the edge of a frame that they cover. */
  place() {
    if (!this.question) return;
    const box = document.querySelector(".frame").getBoundingClientRect();
    const most = (side, size) => Math.max(0, (size - side / this.pixel) / 2);
    const within = (value, limit) => Math.min(Math.max(value, -limit), limit);
    this.right = within(this.right, most(box.width, this.question.width));
    this.down = within(this.down, most(box.height, this.question.height));
    const root = document.documentElement.style;
    for (const name of ["pixel", "right", "down"]) root.setProperty(`--${name}`, this[name]);
    $("scale").value = `${this.pixel}×`;
  }

  zoom(factor) {
    this.pixel = Math.min(Math.max(this.pixel * factor, 1), LARGEST);
    this.place();
  }

  move(right, down) {
    this.right += right / this.pixel;
    this.down += down / this.pixel;
    this.place();
  }

  /** Shows the reference in the place of A and B, or A and B again. */
  hold(isHeld) {
    if (($("hold").getAttribute("aria-pressed") === "true") === isHeld || (isHeld && this.isBusy)) return;
    $("hold").setAttribute("aria-pressed", isHeld);
    for (const side of ["left", "right"]) {
      $(side).src = $(isHeld ? "reference" : side).dataset.own;
      $(side).classList.toggle("lr", isHeld && this.question.reference === "lr");
    }
  }

  key(event) {
    if ($("vote").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    const choices = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "neither" };
    const others = {
      "+": () => this.zoom(2), "=": () => this.zoom(2), "-": () => this.zoom(0.5), r: () => this.hold(true), R: () => this.hold(true),
    };
    if (event.shiftKey && event.key in steps) this.move(...steps[event.key]);
    else if (event.key in choices) event.repeat || this.choose(choices[event.key]);
    else if (event.key in others) others[event.key]();
    else return;
    event.preventDefault();
  }

  /** One pointer drags all images, two zoom, and so does the wheel with Ctrl. */
  gestures(frame) {
    const pointers = new Map();
    const spread = () => {
      const [one, other] = [...pointers.values()];
      return Math.hypot(one[0] - other[0], one[1] - other[1]);
    };
    frame.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      frame.setPointerCapture(event.pointerId);
    });
    frame.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) return;
      const [x, y] = pointers.get(event.pointerId);
      const before = pointers.size === 2 ? spread() : 0;
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      if (pointers.size === 2) this.zoomTo(this.pixel * (spread() / (before || 1)));
      else this.move(event.clientX - x, event.clientY - y);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      frame.addEventListener(kind, (event) => {
        pointers.delete(event.pointerId);
        if (!pointers.size) this.zoomTo(Math.round(this.pixel)); // whole screen pixels again
      });
    }
    frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 2 : 0.5);
    }, { passive: false });
  }

  zoomTo(pixel) {
    this.pixel = Math.min(Math.max(pixel, 1), LARGEST);
    this.place();
    $("scale").value = `${Math.round(this.pixel)}×`;
  }
}
