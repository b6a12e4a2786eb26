// C, as in controller/arch.py.

/** The controller: one linear layer from [z, h] to steer -1..1, gas 0..1 and brake 0..1. */
class Controller {
  constructor(weights) {
    this.W = weights.controller_W.values; // (3, 288), row by row
    this.b = weights.controller_b.values;
  }

  act(z, h, action) {
    const features = Z_DIM + HIDDEN_UNITS, x = [0, 0, 0];
    for (let row = 0; row < ACTION_DIM; row++) {
      let sum = this.b[row];
      for (let i = 0; i < Z_DIM; i++) sum += this.W[row * features + i] * z[i];
      for (let i = 0; i < HIDDEN_UNITS; i++) sum += this.W[row * features + Z_DIM + i] * h[i];
      x[row] = Math.tanh(sum);
    }
    action[0] = x[0];
    action[1] = (x[1] + 1) / 2;
    action[2] = Math.max(x[2], 0);
    return action;
  }
}
