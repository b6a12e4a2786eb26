// V's decoder, with the layers of vae/arch.py.

/** A transposed convolution of stride 2 without padding, of a (size, size, channels) image. */
class Conv2DTranspose {
  constructor(kernel, bias, size) {
    const [k, , filters, channels] = kernel.shape; // as Keras stores it
    Object.assign(this, { k, filters, channels, size, bias: bias.values, outSize: 2 * size + k - 2 });
    // (k, k, filters, channels) -> (channels, k, k, filters): one kernel row then adds to neighbors in the output.
    this.kernel = new Float32Array(kernel.values.length);
    for (let tap = 0; tap < k * k * filters; tap++) {
      for (let c = 0; c < channels; c++) {
        this.kernel[c * k * k * filters + tap] = kernel.values[tap * channels + c];
      }
    }
    this.output = new Float32Array(this.outSize * this.outSize * filters);
    this.active = new Int32Array(channels + 3); // channels of a pixel that are not zero, which relu leaves few of
  }

  /** Add every input pixel, times the kernel, to its k x k output pixels; returns the output before activation. */
  apply(input) {
    const { size, channels, k, filters, outSize, output, bias } = this;
    for (let i = 0; i < output.length; i += filters) output.set(bias, i);
    for (let pixel = 0; pixel < size * size; pixel++) {
      const row = Math.floor(pixel / size), column = pixel % size, start = pixel * channels;
      let count = 0;
      for (let c = 0; c < channels; c++) if (input[start + c] !== 0) this.active[count++] = c;
      for (let ky = 0; ky < k; ky++) {
        this.addRow(input, start, count, ky, ((2 * row + ky) * outSize + 2 * column) * filters);
      }
    }
    return output;
  }

  /** Add one kernel row of a pixel's active channels, four at a time, which quarters the passes over the output. */
  addRow(input, start, count, ky, out) {
    const { kernel, output, active } = this, width = this.k * this.filters, stride = this.k * width;
    let i = 0;
    for (; i + 4 <= count; i += 4) {
      const a = active[i], b = active[i + 1], c = active[i + 2], d = active[i + 3];
      const xa = input[start + a], xb = input[start + b], xc = input[start + c], xd = input[start + d];
      const wa = a * stride + ky * width, wb = b * stride + ky * width;
      const wc = c * stride + ky * width, wd = d * stride + ky * width;
      for (let j = 0; j < width; j++) {
        output[out + j] +=
          xa * kernel[wa + j] + xb * kernel[wb + j] + xc * kernel[wc + j] + xd * kernel[wd + j];
      }
    }
    for (; i < count; i++) {
      const x = input[start + active[i]], w = active[i] * stride + ky * width;
      for (let j = 0; j < width; j++) output[out + j] += x * kernel[w + j];
    }
  }
}

/** V's decoder: z -> a frame. */
class Decoder {
  constructor(weights) {
    const layer = (name, size) => new Conv2DTranspose(weights[`${name}_kernel`], weights[`${name}_bias`], size);
    this.dense_kernel = weights.dense_kernel.values;
    this.dense_bias = weights.dense_bias.values;
    this.hidden = new Float32Array(this.dense_bias.length);
    this.layers = [];
    for (let i = 0, size = 1; i < 4; i++) {
      this.layers.push(layer(`deconv${i}`, size));
      size = this.layers[i].outSize;
    }
  }

  /** Decode z into `pixels`, the RGBA bytes of a 64 x 64 canvas. */
  decode(z, pixels) {
    dense(z, this.dense_kernel, this.dense_bias, this.hidden);
    let x = this.hidden;
    this.layers.forEach((layer, i) => {
      x = layer.apply(x);
      if (i < 3) for (let j = 0; j < x.length; j++) if (x[j] < 0) x[j] = 0; // relu
    });
    for (let pixel = 0; pixel < FRAME_SIZE * FRAME_SIZE; pixel++) {
      for (let color = 0; color < 3; color++) pixels[4 * pixel + color] = 255 * sigmoid(x[3 * pixel + color]);
      pixels[4 * pixel + 3] = 255;
    }
  }
}
