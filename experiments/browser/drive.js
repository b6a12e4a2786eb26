// The first section: a person, or the controller, drives in the dream.

const KEYS = {
  ArrowLeft: "left", ArrowRight: "right", ArrowUp: "gas", ArrowDown: "brake",
  KeyA: "left", KeyD: "right", KeyW: "gas", KeyS: "brake",
};

class Drive {
  constructor(world, controller, screen, data) {
    Object.assign(this, { world, controller, screen, keyBrake: data.key_brake });
    this.held = new Map(); // key code or pointer -> what it holds down
    this.action = new Float32Array(ACTION_DIM);
    this.controllerDrives = true;
    this.paused = matchMedia("(prefers-reduced-motion: reduce)").matches; // then nothing moves before it is started
    this.inView = true;
    this.period = 0; // milliseconds between two frames, averaged
    this.clock = new Clock(data.steps_per_second, () => this.runs(), now => this.timedStep(now));
    this.listen();
    this.show();
    this.clock.wake();
  }

  runs() {
    return !this.paused && this.inView && !this.world.end;
  }

  /** The action of the held keys and pads. */
  keyboardAction() {
    const held = new Set(this.held.values());
    this.action[0] = held.has("right") - held.has("left");
    this.action[1] = held.has("gas") ? 1 : 0;
    this.action[2] = held.has("brake") ? this.keyBrake : 0;
  }

  /** One step of the dream, and its picture. */
  step() {
    if (this.controllerDrives) this.controller.act(this.world.mu, this.world.h, this.action);
    else this.keyboardAction();
    this.world.step(this.action);
    this.show();
  }

  timedStep(now) {
    const passed = now - this.last;
    if (passed < 1000) this.period = this.period ? 0.95 * this.period + 0.05 * passed : passed;
    this.last = now;
    this.step();
  }

  // --- what a visitor does -------------------------------------------------------------------------------------------

  listen() {
    const game = element("drive-game");
    element("drive").addEventListener("keydown", event => this.keyDown(event));
    addEventListener("keyup", event => this.held.delete(event.code));
    addEventListener("blur", () => this.held.clear());
    for (const pad of document.querySelectorAll("#drive-pads button")) this.listenToPad(pad);
    this.on("drive-hand-over", () => this.handOver(!this.controllerDrives));
    this.on("drive-pause", () => this.pause(!this.paused));
    this.on("drive-restart", () => this.restart());
    this.on("drive-again", () => (this.world.end ? this.restart() : this.pause(false)));
    const temperature = element("drive-temperature");
    temperature.addEventListener("input", () => this.setTemperature(temperature.valueAsNumber));
    this.setTemperature(temperature.valueAsNumber);
    new IntersectionObserver(([entry]) => {
      this.inView = entry.isIntersecting;
      this.clock.wake();
    }).observe(game);
    game.focus({ preventScroll: true });
  }

  /** A button that returns the focus to the picture, so that the keys go on driving. */
  on(id, act) {
    element(id).addEventListener("click", () => {
      act();
      element("drive-game").focus({ preventScroll: true });
    });
  }

  keyDown(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input")) return; // sliders have keys
    const act = { KeyC: () => this.handOver(!this.controllerDrives), KeyP: () => this.pause(!this.paused),
      KeyR: () => this.restart() }[event.code];
    if (KEYS[event.code]) this.hold(event.code, KEYS[event.code]);
    else if (act && !event.repeat) act();
    else return;
    event.preventDefault(); // arrow keys drive and do not scroll
  }

  listenToPad(pad) {
    pad.addEventListener("pointerdown", event => {
      event.preventDefault();
      this.hold(event.pointerId, pad.dataset.key);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      addEventListener(end, event => this.held.delete(event.pointerId));
    }
    pad.addEventListener("keydown", event => {
      if (event.code === "Space" || event.code === "Enter") this.hold(event.code, pad.dataset.key);
    });
    pad.addEventListener("contextmenu", event => event.preventDefault()); // of a long touch
  }

  /** Something that drives is pressed: the visitor takes the wheel. */
  hold(code, key) {
    this.held.set(code, key);
    if (this.world.end) return;
    this.controllerDrives = false;
    this.pause(false);
  }

  handOver(toController) {
    this.controllerDrives = toController;
    this.show();
  }

  pause(paused) {
    this.paused = paused;
    this.show();
    this.clock.wake();
  }

  restart() {
    this.world.reset();
    this.pause(false);
  }

  setTemperature(temperature) {
    this.world.temperature = temperature;
    element("drive-temperature-value").value = temperature.toFixed(2);
  }

  // --- what a visitor sees -------------------------------------------------------------------------------------------

  show() {
    const { world, action } = this;
    this.screen.showDecoded(world.z);
    setText("drive-steps", world.steps);
    setText("drive-score", world.score.toFixed(1));
    setText("drive-chance", `${Math.round(100 * world.rewardProbability)} %`);
    setText("drive-fps", this.period ? Math.round(1000 / this.period) : "–");
    ["steer", "gas", "brake"].forEach((name, i) => {
      element(`drive-${name}`).style.setProperty("--value", action[i]);
      setText(`drive-${name}-value`, action[i].toFixed(2));
    });
    setText("drive-who", this.controllerDrives ? "the controller" : "you");
    setText("drive-hand-over", this.controllerDrives ? "Take the wheel" : "Let the controller drive");
    setText("drive-pause", this.paused ? "Go on" : "Pause");
    element("drive-card").hidden = !this.paused && !world.end;
    setText("drive-message", world.end ? `${world.end} Predicted reward ${world.score.toFixed(0)}.` : "Paused.");
    setText("drive-again", world.end ? "New dream" : world.steps ? "Go on" : "Start");
  }
}
