/* Layer normalisation over the D numbers of each sample; the formulas stand in cpu/reference_layernorm.c.
 *
 * A block takes a sample: its threads sum its numbers in turns, in float and from the sample's first number, so that a mean far
 * from zero costs no digits, and join in a fixed tree. The gradients of weight and bias are sums over samples: a block takes
 * a few neighbouring numbers of a shard, whose lanes sum samples in turns and join in order; shards are folded by the tree.
 * Numbers are taken in memory order, [H][W][C]; weights lie in the order of their dimensions, [C][H][W]. */
#include "gpu/kernel.cuh"

namespace {

enum { ACROSS = 32, DEEP = DT_BLOCK / ACROSS };

struct layernorm {
  int64_t samples, count, plane, channels; /* count = D = plane * channels */
  dt_gpu_shards shards;
  const float *w, *b;
  float eps;
  /* Where the number at memory place i has its weight. */
  __device__ int64_t weight_of(int64_t i) const {
    return plane == 1 ? i : i % channels * plane + i / channels;
  }
};

/* The sum over the threads of a block, in which thread t takes in what stands `half` behind it; every thread gets it. The last
 * halves are within a warp. */
__device__ float sum_block(float value) {
  __shared__ float store[DT_BLOCK];
  __shared__ float sum;
  const int thread = (int)threadIdx.x;
  store[thread] = value;
  __syncthreads();
  for (int half = DT_BLOCK / 2; half >= DT_WARP; half /= 2) {
    if (thread < half) store[thread] = value += store[thread + half];
    __syncthreads();
  }
  if (thread < DT_WARP) {
    for (int half = DT_WARP / 2; half > 0; half /= 2) value += __shfl_down_sync(0xffffffffu, value, half);
    if (thread == 0) sum = value;
  }
  __syncthreads();
  return sum;
}

struct moments {
  float mean, inverse; /* 1 / sqrt(var + eps) */
};

template <class T>
__device__ moments moments_of(const layernorm &n, const T *x) {
  const float origin = dt_to_float(x[0]), count = (float)n.count;
  float sum = 0, off = 0, squares = 0;
  for (int64_t i = threadIdx.x; i < n.count; i += DT_BLOCK) sum += dt_to_float(x[i]) - origin;
  const float mean = origin + sum_block(sum) / count;
  for (int64_t i = threadIdx.x; i < n.count; i += DT_BLOCK) {
    const float d = dt_to_float(x[i]) - mean;
    off += d;
    squares += d * d;
  }
  off = sum_block(off) / count;
  const float variance = sum_block(squares) / count - off * off;
  return {mean, 1 / sqrtf((variance < 0 ? 0 : variance) + n.eps)};
}

template <class T>
__global__ void forward_kernel(layernorm n, const T *x, T *y) {
  const int64_t first = blockIdx.x * n.count;
  const moments m = moments_of(n, x + first);
  for (int64_t i = threadIdx.x; i < n.count; i += DT_BLOCK) {
    const int64_t weight = n.weight_of(i);
    y[first + i] = dt_from_float<T>((dt_to_float(x[first + i]) - m.mean) * m.inverse * n.w[weight] + n.b[weight]);
  }
}

/* dx, and the moments for the sums over samples. Gradients in empty positions are zero, and so is what comes of them. */
template <class T>
__global__ void backward_kernel(layernorm n, const T *x, const T *dy, T *dx, moments *out) {
  const int64_t first = blockIdx.x * n.count;
  const moments m = moments_of(n, x + first);
  float sum = 0, along = 0;
  for (int64_t i = threadIdx.x; i < n.count; i += DT_BLOCK) {
    const float g = dt_to_float(dy[first + i]) * n.w[n.weight_of(i)];
    sum += g;
    along += g * ((dt_to_float(x[first + i]) - m.mean) * m.inverse);
  }
  sum = sum_block(sum) / (float)n.count;
  along = sum_block(along) / (float)n.count;
  for (int64_t i = threadIdx.x; i < n.count; i += DT_BLOCK) {
    const float g = dt_to_float(dy[first + i]) * n.w[n.weight_of(i)];
    dx[first + i] = dt_from_float<T>(m.inverse * (g - sum - (dt_to_float(x[first + i]) - m.mean) * m.inverse * along));
  }
  if (threadIdx.x == 0) out[blockIdx.x] = m;
}

/* blockIdx.y is the shard, whose sums are `stride` behind those of the one before. */
template <class T>
__global__ void gradient_kernel(layernorm n, const T *x, const T *dy, const moments *of, float *dw, float *db, int64_t stride) {
  __shared__ float store[2][DEEP][ACROSS];
  const int across = (int)threadIdx.x, deep = (int)threadIdx.y;
  const int64_t i = (int64_t)blockIdx.x * ACROSS + across, first = blockIdx.y * n.shards.capacity;
  const int64_t end = first + n.shards.valid[blockIdx.y];
  float sum_w = 0, sum_b = 0;
  for (int64_t s = first + deep; i < n.count && s < end; s += DEEP) {
    const float g = dt_to_float(dy[s * n.count + i]);
    sum_w += g * ((dt_to_float(x[s * n.count + i]) - of[s].mean) * of[s].inverse);
    sum_b += g;
  }
  store[0][deep][across] = sum_w;
  store[1][deep][across] = sum_b;
  __syncthreads();
  if (deep > 0 || i >= n.count) return;
  for (int k = 1; k < DEEP; k++) {
    sum_w += store[0][k][across];
    sum_b += store[1][k][across];
  }
  dw[blockIdx.y * stride + n.weight_of(i)] = sum_w;
  db[blockIdx.y * stride + n.weight_of(i)] = sum_b;
}

template <class T>
dt_status forward(const layernorm &n, const void *x, void *y, cudaStream_t stream) {
  DT_LAUNCH(forward_kernel<T>, dim3((unsigned)n.samples), dim3(DT_BLOCK), stream, n, static_cast<const T *>(x),
            static_cast<T *>(y));
  return DT_OK;
}

typedef struct gradients {
  void *dx;
  float *dw, *db;
  moments *moments_of; /* [samples] */
  float *each;         /* [shards][2][D]: sums of several shards */
} gradients;

template <class T>
dt_status backward(const layernorm &n, const void *x, const void *dy, const gradients &to, cudaStream_t stream) {
  const T *from = static_cast<const T *>(x), *gradient = static_cast<const T *>(dy);
  DT_LAUNCH(backward_kernel<T>, dim3((unsigned)n.samples), dim3(DT_BLOCK), stream, n, from, gradient, static_cast<T *>(to.dx),
            to.moments_of);
  if (to.dw == NULL) return DT_OK; /* a frozen layer */
  const int shards = n.shards.count;
  dim3 grid((unsigned)((n.count + ACROSS - 1) / ACROSS), (unsigned)shards), block(ACROSS, DEEP);
  float *dw = shards > 1 ? to.each : to.dw, *db = shards > 1 ? to.each + n.count : to.db;
  DT_LAUNCH(gradient_kernel<T>, grid, block, stream, n, from, gradient, to.moments_of, dw, db, 2 * n.count);
  const dt_gpu_shard_sums sums = {to.each, shards, 2 * n.count, 2 * n.count, {to.dw, to.db}, n.count};
  return shards == 1 ? DT_OK : dt_gpu_fold_shards(DT_GPU_F32, &sums, stream);
}

layernorm layernorm_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_gpu_values values = dt_gpu_values_of(run, instr, micro, DT_ARG_X);
  layernorm n = {};
  n.samples = values.samples;
  n.plane = values.inner;
  n.channels = values.channels;
  n.count = n.plane * n.channels;
  n.shards = dt_gpu_input_of(run, micro).shards;
  n.w = static_cast<const float *>(dt_gpu_arg(run, instr, micro, DT_ARG_W));
  n.b = static_cast<const float *>(dt_gpu_arg(run, instr, micro, DT_ARG_B));
  n.eps = (float)instr->norm.eps;
  return n;
}

/* WORK: the moments of samples, then the sums of shards. */
size_t moments_bytes(int64_t samples) {
  return dt_gpu_round_up((size_t)samples * sizeof(moments));
}

}  // namespace

dt_status dt_gpu_ln_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  const int shards = program->micro_batch_shards;
  *out = moments_bytes(shards * program->shard_capacity);
  if (shards > 1) *out += (size_t)(shards * 2 * dt_gpu_count(program, instr, DT_ARG_X)) * sizeof(float);
  return DT_OK;
}

dt_status dt_gpu_ln_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const layernorm n = layernorm_of(run, instr, micro);
  const void *x = dt_gpu_arg(run, instr, micro, DT_ARG_X);
  void *y = dt_gpu_arg(run, instr, micro, DT_ARG_Y);
  DT_WITH_TYPE(dt_gpu_of(run)->type, return forward<T>(n, x, y, dt_gpu_stream(run, instr)));
  return DT_OK;
}

dt_status dt_gpu_ln_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const layernorm n = layernorm_of(run, instr, micro);
  const void *x = dt_gpu_arg(run, instr, micro, DT_ARG_X), *dy = dt_gpu_arg(run, instr, micro, DT_ARG_DY);
  void *work = dt_gpu_arg(run, instr, micro, DT_ARG_WORK);
  const gradients to = {dt_gpu_arg(run, instr, micro, DT_ARG_DX),
                        static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_DW)),
                        static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_DB)), static_cast<moments *>(work),
                        (float *)((char *)work + moments_bytes(n.samples))};
  DT_WITH_TYPE(dt_gpu_of(run)->type, return backward<T>(n, x, dy, to, dt_gpu_stream(run, instr)));
  return DT_OK;
}
