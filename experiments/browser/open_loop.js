// The section "Real above dream", as dream_open_loop of simulation/dream.py: M reads the first real steps, then dreams on
// under the recorded actions.

const HORIZON = 100; // dreamed steps at most
const STRIP = 6; // moments of the strip
const GAP = 4; // pixels between its frames

class OpenLoop {
  constructor(drive, rnn, decoder, world, perSecond) {
    Object.assign(this, { drive, rnn, world, playing: false });
    this.horizon = Math.min(HORIZON, Math.floor(drive.steps / 2));
    this.zs = new Float32Array(this.horizon * Z_DIM);
    this.real = new Screen("open-loop-real", decoder);
    this.dream = new Screen("open-loop-dream", decoder);
    this.clock = new Clock(perSecond / 2, () => this.playing, () => this.move(1));
    this.strip = new Screen("open-loop-strip", decoder);
    this.strip.context.canvas.width = STRIP * (FRAME_SIZE + GAP) - GAP;
    this.strip.context.canvas.height = 2 * FRAME_SIZE + GAP;
    this.listen();
    this.dreamAgain();
  }

  listen() {
    this.start = element("open-loop-start");
    this.frame = element("open-loop-frame");
    this.start.max = this.drive.steps - this.horizon;
    this.start.value = Math.min(100, this.start.max);
    this.frame.max = this.horizon;
    this.start.addEventListener("change", () => this.dreamAgain());
    this.start.addEventListener("input", () => this.showStart());
    this.frame.addEventListener("input", () => this.show());
    element("open-loop-play").addEventListener("click", () => this.play(!this.playing));
    element("open-loop-back").addEventListener("click", () => this.move(-1));
    element("open-loop-next").addEventListener("click", () => this.move(1));
    element("open-loop-again").addEventListener("click", () => this.dreamAgain());
  }

  /** Dream anew from the chosen frame: fills `zs`, (horizon, 32). */
  dreamAgain() {
    const { drive, rnn } = this, prime = this.start.valueAsNumber;
    const h = new Float32Array(HIDDEN_UNITS), c = new Float32Array(HIDDEN_UNITS);
    const x = new Float32Array(INPUTS), noise = new Float32Array(NOISE);
    for (let t = 0; t < prime - 1; t++) {
      fillInput(x, drive.z(t), drive.action(t), drive.positiveRewards[t]);
      rnn.step(x, h, c);
    }
    const z = drive.z(prime - 1).slice(), mu = new Float32Array(Z_DIM);
    let positiveReward = drive.positiveRewards[prime - 1];
    for (let i = 0; i < this.horizon; i++) {
      fillInput(x, z, drive.action(prime - 1 + i), positiveReward);
      fillNoise(noise);
      ({ positiveReward } = rnn.dream(x, h, c, noise, this.world.temperature, z, mu));
      this.zs.set(z, i * Z_DIM);
    }
    this.showStart();
    this.show();
    this.showStrip();
  }

  play(playing) {
    this.playing = playing;
    if (playing && this.frame.valueAsNumber === this.horizon) this.frame.value = 1;
    setText("open-loop-play", playing ? "Stop" : "Play");
    this.clock.wake();
  }

  move(by) {
    this.frame.value = this.frame.valueAsNumber + by;
    if (this.frame.valueAsNumber === this.horizon) this.play(false);
    this.show();
  }

  showStart() {
    element("open-loop-start-value").value = `${this.start.value} of ${this.drive.steps}`;
  }

  show() {
    const i = this.frame.valueAsNumber - 1;
    element("open-loop-frame-value").value = `+${i + 1} of ${this.horizon}`;
    this.real.showFrame(this.drive, this.start.valueAsNumber + i);
    this.dream.showDecoded(this.z(i));
  }

  showStrip() {
    const moments = Array.from({ length: STRIP }, (_, n) => Math.round(n * (this.horizon - 1) / (STRIP - 1)));
    moments.forEach((i, n) => {
      this.strip.showFrame(this.drive, this.start.valueAsNumber + i, n * (FRAME_SIZE + GAP), 0);
      this.strip.showDecoded(this.z(i), n * (FRAME_SIZE + GAP), FRAME_SIZE + GAP);
    });
    setText("open-loop-caption", `Real above dream, ${moments.map(i => `+${i + 1}`).join(", ")} steps on`);
  }

  /** The dreamed z after i + 1 steps. */
  z(i) {
    return this.zs.subarray(i * Z_DIM, (i + 1) * Z_DIM);
  }
}
