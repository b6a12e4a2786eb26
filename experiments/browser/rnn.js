// M, with the formulas of rnn/arch.py, which explains them.

/** The MDN-RNN: an LSTM step, and a sample of the next z and reward. */
class RNN {
  constructor(weights) {
    for (const [name, weight] of Object.entries(weights)) this[name] = weight.values;
    this.gates = new Float32Array(4 * HIDDEN_UNITS); // input, forget, candidate, output
    this.recurrent = new Float32Array(4 * HIDDEN_UNITS);
    this.none = new Float32Array(4 * HIDDEN_UNITS); // the recurrent product has no bias of its own
    this.outputs = new Float32Array(3 * MIXTURES * Z_DIM + 1);
  }

  /** One step of the LSTM: x = [z, action, positive reward]; h and c are replaced by the next ones. */
  step(x, h, c) {
    const { gates, recurrent } = this, n = HIDDEN_UNITS;
    dense(x, this.lstm_kernel, this.lstm_bias, gates);
    dense(h, this.lstm_recurrent_kernel, this.none, recurrent);
    for (let i = 0; i < 4 * n; i++) gates[i] += recurrent[i];
    for (let i = 0; i < n; i++) {
      c[i] = sigmoid(gates[n + i]) * c[i] + sigmoid(gates[i]) * Math.tanh(gates[2 * n + i]);
      h[i] = sigmoid(gates[3 * n + i]) * Math.tanh(c[i]);
    }
  }

  /**
   * One step of the LSTM and one sample of what follows: h, c, z and mu are replaced by the next ones; mu is the mean of
   * the Gaussians that z was drawn from.
   * noise: NOISE numbers, of which the sample is a function; temperature divides log_pi and the reward's logit, and its
   * square root scales sigma. Returns the probability of a positive reward and whether the sample is positive, 0 or 1.
   */
  dream(x, h, c, noise, temperature, z, mu) {
    this.step(x, h, c);
    dense(h, this.mixture_kernel, this.mixture_bias, this.outputs);
    for (let latent = 0; latent < Z_DIM; latent++) {
      const k = this.component(latent, noise[Z_DIM + latent], temperature);
      const sigma = Math.exp(this.outputs[(2 * MIXTURES + k) * Z_DIM + latent]) * Math.sqrt(temperature);
      mu[latent] = this.outputs[(MIXTURES + k) * Z_DIM + latent];
      z[latent] = mu[latent] + sigma * noise[latent];
    }
    const rewardProbability = sigmoid(this.outputs[3 * MIXTURES * Z_DIM] / temperature);
    return { rewardProbability, positiveReward: noise[2 * Z_DIM] < rewardProbability ? 1 : 0 };
  }

  /** The number of the Gaussian that the uniform number chooses from the mixture of one latent. */
  component(latent, uniform, temperature) {
    const log_pi = k => this.outputs[k * Z_DIM + latent] / temperature;
    let largest = -Infinity, total = 0;
    for (let k = 0; k < MIXTURES; k++) largest = Math.max(largest, log_pi(k));
    for (let k = 0; k < MIXTURES; k++) total += Math.exp(log_pi(k) - largest);
    let mixture = 0, cdf = Math.exp(log_pi(0) - largest) / total;
    while (mixture < MIXTURES - 1 && uniform > cdf) cdf += Math.exp(log_pi(++mixture) - largest) / total;
    return mixture;
  }
}
