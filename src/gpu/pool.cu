/* Pooling over a window of KH x KW, channel by channel; the meaning stands in cpu/reference_pool.c. A thread computes V
 * channels of one pixel: of the output in forward, of the input in backward, where it looks through the windows that cover its
 * pixel. So nothing is added to what another thread adds to. */
#include "gpu/elementwise.cuh"

namespace {

struct pool {
  int64_t count;                   /* packs of what is written */
  dt_divisor packs, height, width; /* packs of a pixel, and the image that is written */
  int x_height, x_width, y_height, y_width;
  dt_window window;
  dt_divisor stride[2], dilation[2];
  bool average;
};

/* A thread's pixel of the image that is written, with its channels. */
struct place {
  int64_t sample;
  int row, column, pack;
};

__device__ place place_of(const pool &p, int64_t i) {
  place at;
  int64_t pixel = p.packs.divide(i), row = p.width.divide(pixel);
  at.pack = (int)(i - pixel * p.packs.divisor);
  at.column = (int)(pixel - row * p.width.divisor);
  at.sample = p.height.divide(row);
  at.row = (int)(row - at.sample * p.height.divisor);
  return at;
}

/* Element of a pack in an image. */
template <int V>
__device__ int64_t element(const pool &p, const place &at, int height, int width, int row, int column) {
  return (((at.sample * height + row) * width + column) * p.packs.divisor + at.pack) * V;
}

/* --- forward --- */

/* What a window has come to so far. */
template <int V>
struct best {
  float value[V];
  uint8_t argmax[V];
  bool any;
  /* The first largest wins; a NaN wins, so that it is not lost from sight. */
  __device__ void meet(const float (&x)[V], int k) {
    for (int v = 0; v < V; v++) {
      if (any && !(x[v] > value[v]) && !isnan(x[v])) continue;
      value[v] = x[v];
      argmax[v] = (uint8_t)k;
    }
    any = true;
  }
};

/* A walk over the taps of a window, row after row. */
struct tap {
  int k, r, s;
  __device__ void step(const dt_window &w) {
    k++;
    if (++s < w.kernel[1]) return;
    s = 0;
    r++;
  }
};

enum { TAPS = 8 }; /* whose reads a thread has on their way */

/* TAPS places from `from` on: reads those that lie in the image, and returns which do, a bit each. */
template <class T, int V>
__device__ unsigned fetch_taps(const pool &p, const T *x, const place &at, tap *from, dt_fetched<T, V> (&read)[TAPS]) {
  const dt_window &w = p.window;
  const int top = at.row * w.stride[0] - w.pad[0], left = at.column * w.stride[1] - w.pad[1];
  unsigned inside = 0;
  DT_UNROLL for (int i = 0; i < TAPS; i++, from->step(w)) {
    const int row = top + from->r * w.dilation[0], column = left + from->s * w.dilation[1];
    if (from->r >= w.kernel[0] || row < 0 || row >= p.x_height || column < 0 || column >= p.x_width) continue;
    read[i] = dt_fetch<V>(x + element<V>(p, at, p.x_height, p.x_width, row, column));
    inside |= 1u << i;
  }
  return inside;
}

/* AVERAGE, which is p.average, is known to the compiler: a maximum needs no registers for sums. */
template <class T, int V, bool AVERAGE>
__global__ void pool_forward(pool p, const T *x, T *y, uint8_t *argmax) {
  const dt_window &w = p.window;
  const int taps = w.kernel[0] * w.kernel[1];
  for (int64_t i = dt_thread_index(); i < p.count; i += dt_thread_count()) {
    const place at = place_of(p, i);
    best<V> most = {};
    float value[V];
    double sum[V] = {}; /* a window may be an image of a million pixels, whose mean is far from zero */
    tap next = {};
    while (next.k < taps) {
      dt_fetched<T, V> read[TAPS];
      const int first = next.k;
      const unsigned inside = fetch_taps<T, V>(p, x, at, &next, read);
      DT_UNROLL for (int k = 0; k < TAPS; k++) {
        if (!(inside >> k & 1)) continue;
        dt_unpack(read[k], value);
        if (AVERAGE) {
          for (int v = 0; v < V; v++) sum[v] += value[v];
        } else {
          most.meet(value, first + k);
        }
      }
    }
    for (int v = 0; v < V; v++) value[v] = AVERAGE ? (float)(sum[v] / taps) : most.value[v];
    dt_write<V>(y + i * V, value);
    if (argmax == NULL) continue;
    dt_pack<uint8_t, V> pack;
    for (int v = 0; v < V; v++) pack.item[v] = most.argmax[v];
    *reinterpret_cast<dt_pack<uint8_t, V> *>(argmax + i * V) = pack;
  }
}

/* --- backward --- */

/* The windows along one axis that may cover a pixel: first..last. */
struct span {
  int first, last;
};

__device__ span windows_over(const pool &p, int axis, int pixel, int windows) {
  const dt_window &w = p.window;
  const int reach = (w.kernel[axis] - 1) * w.dilation[axis], from = pixel + w.pad[axis] - reach;
  span s;
  s.first = from > 0 ? (int)p.stride[axis].divide(from + w.stride[axis] - 1) : 0;
  s.last = (int)p.stride[axis].divide(pixel + w.pad[axis]);
  if (s.last >= windows) s.last = windows - 1;
  return s;
}

/* The place in window number `index` at which it covers the pixel; -1 where dilation skips it. */
__device__ int place_in(const pool &p, int axis, int pixel, int index) {
  const int offset = pixel + p.window.pad[axis] - index * p.window.stride[axis];
  const int place = (int)p.dilation[axis].divide(offset);
  return place * p.window.dilation[axis] == offset ? place : -1;
}

/* Adds what the window that `e` begins hands to the pixel at its place k. */
template <class T, int V>
__device__ void gather(const pool &p, const T *dy, const uint8_t *argmax, int64_t e, int k, float (&sum)[V]) {
  float value[V];
  dt_read<V>(dy + e, value);
  dt_pack<uint8_t, V> most = {};
  if (!p.average) most = *reinterpret_cast<const dt_pack<uint8_t, V> *>(argmax + e);
  for (int v = 0; v < V; v++) sum[v] += p.average || most.item[v] == k ? value[v] : 0;
}

template <class T, int V>
__global__ void pool_backward(pool p, const T *dy, const uint8_t *argmax, dt_fused<T> fused, T *dx) {
  const dt_window &w = p.window;
  const float places = (float)(w.kernel[0] * w.kernel[1]);
  for (int64_t i = dt_thread_index(); i < p.count; i += dt_thread_count()) {
    const place at = place_of(p, i);
    const span rows = windows_over(p, 0, at.row, p.y_height), columns = windows_over(p, 1, at.column, p.y_width);
    float sum[V] = {};
    for (int row = rows.first; row <= rows.last; row++) {
      const int r = place_in(p, 0, at.row, row);
      for (int column = columns.first; r >= 0 && column <= columns.last; column++) {
        const int s = place_in(p, 1, at.column, column);
        if (s < 0) continue;
        gather<T, V>(p, dy, argmax, element<V>(p, at, p.y_height, p.y_width, row, column), r * w.kernel[1] + s, sum);
      }
    }
    if (p.average) {
      for (int v = 0; v < V; v++) sum[v] /= places;
    }
    dt_finish(fused, i * V, sum);
    dt_write<V>(dx + i * V, sum);
  }
}

/* --- launches --- */

pool pool_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg large, dt_arg small, int width) {
  const dt_gpu_image x = dt_gpu_image_of(run, instr, micro, large), y = dt_gpu_image_of(run, instr, micro, small);
  const dt_gpu_image out = instr->op == DT_OP_POOL_FWD ? y : x;
  pool p = {};
  p.count = dt_gpu_image_count(&out) / width;
  p.packs = dt_divisor_of(x.channels / width);
  p.height = dt_divisor_of(out.height);
  p.width = dt_divisor_of(out.width);
  p.x_height = (int)x.height, p.x_width = (int)x.width;
  p.y_height = (int)y.height, p.y_width = (int)y.width;
  p.window = instr->pool.window;
  for (int axis = 0; axis < 2; axis++) {
    p.stride[axis] = dt_divisor_of(p.window.stride[axis]);
    p.dilation[axis] = dt_divisor_of(p.window.dilation[axis]);
  }
  p.average = instr->pool.average;
  return p;
}

/* Each by the widest packs, of V elements at most, that a pixel's channels are made of. */
template <class T, int V>
dt_status forward(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  if constexpr (V > 1) {
    if (dt_gpu_image_of(run, instr, micro, DT_ARG_X).channels % V != 0) return forward<T, V / 2>(run, instr, micro);
  }
  pool p = pool_of(run, instr, micro, DT_ARG_X, DT_ARG_Y, V);
  const T *x = (const T *)dt_gpu_arg(run, instr, micro, DT_ARG_X);
  T *y = (T *)dt_gpu_arg(run, instr, micro, DT_ARG_Y);
  uint8_t *argmax = (uint8_t *)dt_gpu_arg(run, instr, micro, DT_ARG_AUX);
  cudaStream_t stream = dt_gpu_stream(run, instr);
  if (p.average)
    DT_LAUNCH((pool_forward<T, V, true>), dt_grid(p.count), dim3(DT_BLOCK), stream, p, x, y, argmax);
  else
    DT_LAUNCH((pool_forward<T, V, false>), dt_grid(p.count), dim3(DT_BLOCK), stream, p, x, y, argmax);
  return DT_OK;
}

template <class T, int V>
dt_status backward(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  if constexpr (V > 1) {
    if (dt_gpu_image_of(run, instr, micro, DT_ARG_DX).channels % V != 0) return backward<T, V / 2>(run, instr, micro);
  }
  pool p = pool_of(run, instr, micro, DT_ARG_DX, DT_ARG_DY, V);
  DT_LAUNCH((pool_backward<T, V>), dt_grid(p.count), dim3(DT_BLOCK), dt_gpu_stream(run, instr), p,
            (const T *)dt_gpu_arg(run, instr, micro, DT_ARG_DY), (const uint8_t *)dt_gpu_arg(run, instr, micro, DT_ARG_AUX),
            dt_fused_of<T>(run, instr, micro), (T *)dt_gpu_arg(run, instr, micro, DT_ARG_DX));
  return DT_OK;
}

}  // namespace

dt_status dt_gpu_pool_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, DT_TRY((forward<T, dt_pack_width<T>>(run, instr, micro))));
  return DT_OK;
}

dt_status dt_gpu_pool_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, DT_TRY((backward<T, dt_pack_width<T>>(run, instr, micro))));
  return DT_OK;
}
