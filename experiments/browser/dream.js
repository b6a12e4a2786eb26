// The dream world, as in simulation/dream.py.

/** A standard normal number (Box and Muller 1958). */
function standardNormal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

/** Fill `noise` with the numbers of one step: Z_DIM standard normal ones, the rest uniform. */
function fillNoise(noise) {
  for (let i = 0; i < NOISE; i++) noise[i] = i < Z_DIM ? standardNormal() : Math.random();
}

/** Write [z, action, positive reward], what M reads at a step, into x. */
function fillInput(x, z, action, positiveReward) {
  x.set(z);
  x.set(action, Z_DIM);
  x[INPUTS - 1] = positiveReward;
}

/** One dream: M in place of the game. `initial_z` holds mu and log_var (n, 32) of first frames, `rules` what ends it. */
class DreamWorld {
  constructor(rnn, initial_z, rules) {
    Object.assign(this, { rnn, initial_z, rules, temperature: 1 });
    this.z = new Float32Array(Z_DIM); // sampled; M reads it
    this.mu = new Float32Array(Z_DIM); // the mean of the Gaussians that z was drawn from; the controller sees it
    this.h = new Float32Array(HIDDEN_UNITS);
    this.c = new Float32Array(HIDDEN_UNITS);
    this.x = new Float32Array(INPUTS);
    this.noise = new Float32Array(NOISE);
    this.reset();
  }

  reset() {
    const { mu, log_var } = this.initial_z;
    const first = Z_DIM * Math.floor(Math.random() * (mu.length / Z_DIM));
    this.mu.set(mu.subarray(first, first + Z_DIM));
    for (let i = 0; i < Z_DIM; i++) this.z[i] = this.mu[i] + Math.exp(log_var[first + i] / 2) * standardNormal();
    this.h.fill(0);
    this.c.fill(0);
    Object.assign(this, { steps: 0, score: 0, positives: 0, stepsWithoutProgress: 0 });
    Object.assign(this, { positiveReward: 0, rewardProbability: 0, end: "" });
  }

  /** Take an action; sets z, h, c, the reward, and `end`, which says why the dream has ended or is empty. */
  step(action) {
    const { rules } = this;
    fillInput(this.x, this.z, action, this.positiveReward);
    fillNoise(this.noise);
    Object.assign(this, this.rnn.dream(this.x, this.h, this.c, this.noise, this.temperature, this.z, this.mu));
    this.steps += 1;
    this.positives += this.positiveReward;
    this.score += rules.tile_reward * this.positiveReward + rules.no_progress_reward;
    this.stepsWithoutProgress = this.positiveReward ? 0 : this.stepsWithoutProgress + 1;
    if (this.positives >= rules.lap_tiles) this.end = "The lap is complete.";
    else if (this.stepsWithoutProgress >= rules.max_steps_without_progress) {
      this.end = `M predicted no reward for ${rules.max_steps_without_progress} steps.`;
    } else if (this.steps >= rules.max_length) this.end = `${rules.max_length} steps are over.`;
  }
}
