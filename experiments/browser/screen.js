// What the sections of the page share: elements by id, small canvases, frames of the recorded drive.

const element = id => document.getElementById(id);

/** A canvas that shows decoded z and recorded frames, 64 x 64 each, with their corner at (x, y). */
class Screen {
  constructor(id, decoder) {
    this.context = element(id).getContext("2d");
    this.decoder = decoder;
    this.image = this.context.createImageData(FRAME_SIZE, FRAME_SIZE);
  }

  showDecoded(z, x = 0, y = 0) {
    this.decoder.decode(z, this.image.data);
    this.context.putImageData(this.image, x, y);
  }

  showFrame(drive, t, x = 0, y = 0) {
    const left = FRAME_SIZE * (t % drive.columns), top = FRAME_SIZE * Math.floor(t / drive.columns);
    this.context.drawImage(drive.sheet, left, top, FRAME_SIZE, FRAME_SIZE, x, y, FRAME_SIZE, FRAME_SIZE);
  }
}

/** The recorded drive: z, action and positive reward of each step, and one image that holds all frames. */
class RecordedDrive {
  constructor(data) {
    this.steps = data.steps;
    this.columns = data.columns;
    this.zs = readHalves(data.z);
    this.actions = readHalves(data.actions);
    this.positiveRewards = data.positive_rewards;
    this.sheet = new Image();
    this.sheet.src = `data:image/png;base64,${data.frames}`;
  }

  z(t) {
    return this.zs.subarray(t * Z_DIM, (t + 1) * Z_DIM);
  }

  action(t) {
    return this.actions.subarray(t * ACTION_DIM, (t + 1) * ACTION_DIM);
  }
}

/** Call `step` `perSecond` times a second, or as often as pictures can be shown, while `running()` is true. */
class Clock {
  constructor(perSecond, running, step) {
    Object.assign(this, { period: 1000 / perSecond, running, step, due: 0, requested: false });
  }

  /** To be called whenever `running()` may have become true. */
  wake() {
    if (this.requested || !this.running()) return;
    this.requested = true;
    requestAnimationFrame(now => this.tick(now));
  }

  tick(now) {
    this.requested = false;
    if (!this.running()) return;
    if (now >= this.due) {
      this.due = Math.max(this.due + this.period, now);
      this.step(now);
    }
    this.wake();
  }
}

/** Set an element's text unless it is there already: each change costs layout, and is read out in a status. */
function setText(id, text) {
  const target = element(id);
  if (target.textContent !== String(text)) target.textContent = text;
}
