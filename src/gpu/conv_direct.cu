/* Direct convolution. Forward and the gradient of x have a thread for each element they write, neighbours along the channels;
 * the gradient of w has a block for a few neighbouring weights, whose threads sum over pieces of the positions in turn, in
 * float, and add the pieces in a fixed tree. */
#include "gpu/conv_direct.h"

#include "gpu/kernel.cuh"

/* Position of one element in an image [samples][H][W][C]. */
struct place {
  int64_t n, h, w, c;
};

static inline __device__ place place_of(const dt_gpu_image &image, int64_t element) {
  place at;
  at.c = element % image.channels;
  element /= image.channels;
  at.w = element % image.width;
  element /= image.width;
  at.h = element % image.height;
  at.n = element / image.height;
  return at;
}

static inline __device__ int64_t element_of(const dt_gpu_image &image, int64_t n, int64_t h, int64_t w, int64_t c) {
  return ((n * image.height + h) * image.width + w) * image.channels + c;
}

/* The pixel under tap k of the window at output position p, or -1 outside the image. */
static inline __device__ int64_t pixel_under(const dt_window &window, int axis, int64_t p, int k, int64_t size) {
  int64_t pixel = p * window.stride[axis] - window.pad[axis] + (int64_t)k * window.dilation[axis];
  return pixel >= 0 && pixel < size ? pixel : -1;
}

/* The output position whose tap k lies on a pixel, or -1 when there is none. */
static inline __device__ int64_t position_over(const dt_window &window, int axis, int64_t pixel, int k, int64_t size) {
  int64_t reach = pixel + window.pad[axis] - (int64_t)k * window.dilation[axis];
  if (reach < 0 || reach % window.stride[axis] != 0) return -1;
  int64_t p = reach / window.stride[axis];
  return p < size ? p : -1;
}

template <class T>
static __global__ void forward_kernel(dt_gpu_conv c, const T *x, const T *w, const float *bias, T *y, int64_t count) {
  const int64_t inputs = c.x.channels / c.groups, outputs = c.y.channels / c.groups;
  const int kh = c.window.kernel[0], kw = c.window.kernel[1];
  for (int64_t e = dt_thread_index(); e < count; e += dt_thread_count()) {
    const place at = place_of(c.y, e);
    const int64_t first = at.c / outputs * inputs;
    float sum = 0;
    for (int r = 0; r < kh; r++) {
      const int64_t row = pixel_under(c.window, 0, at.h, r, c.x.height);
      for (int s = 0; s < kw && row >= 0; s++) {
        const int64_t column = pixel_under(c.window, 1, at.w, s, c.x.width);
        if (column < 0) continue;
        const T *pixel = x + element_of(c.x, at.n, row, column, first);
        const T *weight = w + ((at.c * kh + r) * kw + s) * inputs;
        for (int64_t i = 0; i < inputs; i++) sum = fmaf(dt_to_float(weight[i]), dt_to_float(pixel[i]), sum);
      }
    }
    y[e] = dt_from_float<T>(number_act_value(&c.act, bias != NULL ? sum + bias[at.c] : sum));
  }
}

template <class T>
static __global__ void dgrad_kernel(dt_gpu_conv c, const T *dy, const T *w, T *dx, int64_t count) {
  const int64_t inputs = c.x.channels / c.groups, outputs = c.y.channels / c.groups;
  const int kh = c.window.kernel[0], kw = c.window.kernel[1];
  for (int64_t e = dt_thread_index(); e < count; e += dt_thread_count()) {
    const place at = place_of(c.x, e);
    const int64_t first = at.c / inputs * outputs, input = at.c % inputs;
    float sum = 0;
    for (int r = 0; r < kh; r++) {
      const int64_t row = position_over(c.window, 0, at.h, r, c.y.height);
      for (int s = 0; s < kw && row >= 0; s++) {
        const int64_t column = position_over(c.window, 1, at.w, s, c.y.width);
        if (column < 0) continue;
        const T *gradient = dy + element_of(c.y, at.n, row, column, first);
        const T *weight = w + ((first * kh + r) * kw + s) * inputs + input;
        for (int64_t o = 0; o < outputs; o++) {
          sum = fmaf(dt_to_float(weight[o * kh * kw * inputs]), dt_to_float(gradient[o]), sum);
        }
      }
    }
    dx[e] = dt_from_float<T>(sum);
  }
}

/* Threads of a block of wgrad_kernel: as many neighbouring input channels of one [o][r][s] as this says, times the pieces of
 * the sum. */
static inline __host__ __device__ int lanes_of(int64_t inputs) {
  int lanes = 1;
  while (lanes < 32 && lanes < inputs) lanes *= 2;
  return lanes;
}

/* The part of the sum for dw[o][r][s][i] over the positions piece, piece + pieces, ... */
template <class T>
static inline __device__ float sum_piece(const dt_gpu_conv &c, const T *x, const T *dy, int64_t o, int r, int s, int64_t input,
                                         int piece, int pieces) {
  const int64_t positions = c.y.samples * c.y.height * c.y.width;
  float sum = 0;
  for (int64_t p = piece; p < positions; p += pieces) {
    const place at = place_of(c.y, p * c.y.channels + o);
    const int64_t row = pixel_under(c.window, 0, at.h, r, c.x.height);
    const int64_t column = pixel_under(c.window, 1, at.w, s, c.x.width);
    if (row < 0 || column < 0) continue;
    const float gradient = dt_to_float(dy[p * c.y.channels + o]);
    sum = fmaf(gradient, dt_to_float(x[element_of(c.x, at.n, row, column, input)]), sum);
  }
  return sum;
}

/* Block b computes the weights of group b: [o][r][s] and `lanes` channels from a multiple of that on. */
template <class T>
static __global__ void wgrad_kernel(dt_gpu_conv c, const T *x, const T *dy, float *dw, int64_t blocks) {
  __shared__ float part[DT_BLOCK];
  const int64_t inputs = c.x.channels / c.groups, outputs = c.y.channels / c.groups;
  const int lanes = lanes_of(inputs), pieces = DT_BLOCK / lanes;
  const int lane = threadIdx.x % lanes, piece = threadIdx.x / lanes;
  const int64_t strips = (inputs + lanes - 1) / lanes;
  const int kh = c.window.kernel[0], kw = c.window.kernel[1];
  for (int64_t b = blockIdx.x; b < blocks; b += gridDim.x) {
    const int64_t i = b % strips * lanes + lane, tap = b / strips % (kh * kw), o = b / strips / (kh * kw);
    part[threadIdx.x] =
        i < inputs ? sum_piece(c, x, dy, o, (int)(tap / kw), (int)(tap % kw), o / outputs * inputs + i, piece, pieces) : 0.0f;
    __syncthreads();
    for (int half = pieces / 2; half > 0; half /= 2) {
      if (piece < half) part[threadIdx.x] += part[threadIdx.x + half * lanes];
      __syncthreads();
    }
    if (piece == 0 && i < inputs) dw[(o * kh * kw + tap) * inputs + i] = part[lane];
    __syncthreads();
  }
}

template <class T>
static __global__ void bias_kernel(dt_act act, const float *bias, int64_t columns, T *y, int64_t count) {
  for (int64_t e = dt_thread_index(); e < count; e += dt_thread_count()) {
    y[e] = dt_from_float<T>(number_act_value(&act, dt_to_float(y[e]) + bias[e % columns]));
  }
}

dt_status dt_gpu_conv_direct_fwd(dt_gpu_type type, const dt_gpu_conv *conv, const void *x, const void *w, const float *bias,
                                 void *y, cudaStream_t stream) {
  const int64_t count = dt_gpu_image_count(&conv->y);
  DT_WITH_TYPE(type, DT_LAUNCH(forward_kernel<T>, dt_grid(count), dim3(DT_BLOCK), stream, *conv, (const T *)x, (const T *)w,
                               bias, (T *)y, count));
  return DT_OK;
}

dt_status dt_gpu_conv_direct_dgrad(dt_gpu_type type, const dt_gpu_conv *conv, const void *dy, const void *w, void *dx,
                                   cudaStream_t stream) {
  const int64_t count = dt_gpu_image_count(&conv->x);
  DT_WITH_TYPE(type, DT_LAUNCH(dgrad_kernel<T>, dt_grid(count), dim3(DT_BLOCK), stream, *conv, (const T *)dy, (const T *)w,
                               (T *)dx, count));
  return DT_OK;
}

dt_status dt_gpu_conv_direct_wgrad(dt_gpu_type type, const dt_gpu_conv *conv, const void *x, const void *dy, float *dw,
                                   cudaStream_t stream) {
  const int64_t inputs = conv->x.channels / conv->groups, lanes = lanes_of(inputs);
  const int64_t blocks = conv->y.channels * conv->window.kernel[0] * conv->window.kernel[1] * ((inputs + lanes - 1) / lanes);
  DT_WITH_TYPE(type, DT_LAUNCH(wgrad_kernel<T>, dt_grid(blocks * DT_BLOCK), dim3(DT_BLOCK), stream, *conv, (const T *)x,
                               (const T *)dy, dw, blocks));
  return DT_OK;
}

dt_status dt_gpu_apply_bias(dt_gpu_type type, dt_act act, const float *bias, int64_t rows, int64_t columns, void *y,
                            cudaStream_t stream) {
  const int64_t count = rows * columns;
  DT_WITH_TYPE(type, DT_LAUNCH(bias_kernel<T>, dt_grid(count), dim3(DT_BLOCK), stream, act, bias, columns, (T *)y, count));
  return DT_OK;
}
