// Sizes, weights and the arithmetic that V, M and C share. Arrays are Float32Array; sums are computed in double precision.
"use strict";

const Z_DIM = 32, HIDDEN_UNITS = 256, MIXTURES = 5, ACTION_DIM = 3;
const INPUTS = Z_DIM + ACTION_DIM + 1; // z, action, positive reward
const NOISE = 2 * Z_DIM + 1; // numbers per step: standard normal, then uniform for the mixtures, then for the reward
const FRAME_SIZE = 64;

// --- weights ---------------------------------------------------------------------------------------------------------

/** Float32Array of the half-precision numbers (IEEE 754 binary16, little-endian) of a base64 string. */
function readHalves(base64) {
  const bytes = atob(base64);
  const numbers = new Float32Array(bytes.length / 2);
  for (let i = 0; i < numbers.length; i++) {
    numbers[i] = halfToNumber(bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8));
  }
  return numbers;
}

/** The value of 16 bits: sign, five bits of exponent, ten of fraction. */
function halfToNumber(half) {
  const sign = half & 0x8000 ? -1 : 1, exponent = (half >> 10) & 0x1f, fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Split the numbers of `readHalves` into arrays by name; `layout` lists [name, shape] in order. */
function splitWeights(numbers, layout) {
  const weights = {};
  let start = 0;
  for (const [name, shape] of layout) {
    const size = shape.reduce((product, n) => product * n, 1);
    weights[name] = { shape, values: numbers.subarray(start, start + size) };
    start += size;
  }
  return weights;
}

/** y = x W + b, where W has the shape (x.length, y.length). */
function dense(x, W, b, y) {
  const n = y.length;
  y.set(b);
  for (let i = 0; i < x.length; i++) {
    const xi = x[i], row = i * n;
    for (let j = 0; j < n; j++) y[j] += xi * W[row + j];
  }
}

const sigmoid = x => 1 / (1 + Math.exp(-x));
