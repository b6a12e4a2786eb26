// The section of latent sliders: a real frame, and what V decodes from its z with latents moved.

class Latents {
  constructor(drive, decoder, latents) {
    Object.assign(this, { drive, latents });
    this.real = new Screen("latents-real", decoder);
    this.decoded = new Screen("latents-decoded", decoder);
    this.z = new Float32Array(Z_DIM);
    this.limit = Math.max(3, Math.ceil(drive.zs.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
    this.sliders = latents.map(latent => this.addSlider(latent));
    this.frame = element("latents-frame");
    this.frame.max = drive.steps - 1;
    this.frame.value = Math.floor(drive.steps / 2);
    this.frame.addEventListener("input", () => this.showFrame());
    element("latents-reset").addEventListener("click", () => this.showFrame());
    this.showFrame();
  }

  addSlider(latent) {
    const row = document.createElement("div");
    row.className = "slider";
    const id = `latents-z${latent}`;
    row.innerHTML = `<label for="${id}">z ${latent}</label><output id="${id}-value" for="${id}"></output>
      <input id="${id}" type="range" min="${-this.limit}" max="${this.limit}" step="0.05">`;
    element("latents-sliders").append(row);
    const input = element(id);
    input.addEventListener("input", () => {
      this.z[latent] = input.valueAsNumber;
      this.showValue(latent);
      this.decoded.showDecoded(this.z);
    });
    return input;
  }

  /** Show the chosen frame and put every slider at its z. */
  showFrame() {
    const t = this.frame.valueAsNumber;
    element("latents-frame-value").value = `${t + 1} of ${this.drive.steps}`;
    this.z.set(this.drive.z(t));
    this.latents.forEach((latent, i) => {
      this.sliders[i].value = this.z[latent];
      this.showValue(latent);
    });
    this.real.showFrame(this.drive, t);
    this.decoded.showDecoded(this.z);
  }

  showValue(latent) {
    element(`latents-z${latent}-value`).value = this.z[latent].toFixed(2);
  }
}
