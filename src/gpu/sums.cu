/* Sums in a fixed order: over the rows of a matrix, of gradient blocks, of many roots, and the norm of the gradient. */
#include "gpu/columns.cuh"
#include "gpu/fold.cuh"

namespace {

/* --- columns --- */

struct total {
  float value;
  __device__ void add(const total &other) {
    value += other.value;
  }
};

struct total_end {
  float *out; /* [shards][columns] */
  int64_t columns;
  __device__ void operator()(int shard, int64_t column, const total &sum) const {
    out[shard * columns + column] = sum.value;
  }
};

template <class T, int V>
__global__ void sum_columns(const T *x, int64_t rows, int64_t columns, int64_t piece, total *partial, total_end end) {
  const dt_lane lane = dt_lane_of<V>(rows, piece, columns);
  total sum[V] = {};
  int64_t at = blockIdx.z * rows * columns + lane.at;
  for (int row = 0; row < lane.rows; row += DT_COLUMNS_ROUND, at += DT_COLUMNS_ROUND * lane.stride) {
    dt_fetched<T, V> read[DT_COLUMNS_ROUND];
    float value[V];
    DT_UNROLL for (int i = 0; i < DT_COLUMNS_ROUND; i++) {
      if (row + i < lane.rows) read[i] = dt_fetch<V>(x + at + i * lane.stride);
    }
    DT_UNROLL for (int i = 0; i < DT_COLUMNS_ROUND; i++) {
      if (row + i >= lane.rows) break;
      dt_unpack(read[i], value);
      for (int v = 0; v < V; v++) sum[v].value += value[v];
    }
  }
  dt_columns_leave<total, V>(sum, columns, partial, end);
}

/* The shards' sums go behind the pieces' in `work`, but for those of a single shard, which are the result. */
template <class T, int V>
dt_status sum_columns_of(const T *x, int shards, int64_t rows, int64_t columns, void *work, float *out, cudaStream_t stream) {
  dt_columns cut = dt_columns_of(shards, rows, columns, V);
  float *each = (float *)((char *)work + dt_gpu_round_up(dt_columns_bytes(&cut, sizeof(total))));
  total_end end = {shards > 1 ? each : out, columns};
  DT_LAUNCH((sum_columns<T, V>), cut.grid, cut.block, stream, x, rows, columns, cut.piece, static_cast<total *>(work), end);
  DT_TRY(dt_columns_finish_launch<total>(&cut, work, end, stream));
  if (shards == 1) return DT_OK;
  const dt_gpu_shard_sums sums = {each, shards, columns, columns, {out, NULL}, columns};
  return dt_gpu_fold_shards(DT_GPU_F32, &sums, stream);
}

/* By the widest packs, of V elements at most, that rows are made of. */
template <class T, int V>
dt_status sum_columns_widely(const T *x, int shards, int64_t rows, int64_t columns, void *work, float *out,
                             cudaStream_t stream) {
  if constexpr (V > 1) {
    if (columns % V != 0) return sum_columns_widely<T, V / 2>(x, shards, rows, columns, work, out, stream);
  }
  return sum_columns_of<T, V>(x, shards, rows, columns, work, out, stream);
}

/* --- elements --- */

enum { PACK = 4 };

__global__ void add_elements(float *into, const float *from, int64_t count) {
  int64_t step = dt_thread_count() * PACK;
  for (int64_t i = dt_thread_index() * PACK; i < count; i += step) {
    if (i + PACK <= count) {
      float a[PACK], b[PACK];
      dt_read<PACK>(into + i, a);
      dt_read<PACK>(from + i, b);
      for (int k = 0; k < PACK; k++) a[k] += b[k];
      dt_write<PACK>(into + i, a);
    } else {
      for (int64_t k = i; k < count; k++) into[k] += from[k];
    }
  }
}

/* Any alignment. */
__global__ void add_elements_singly(float *into, const float *from, int64_t count) {
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) into[i] += from[i];
}

bool is_aligned(const void *p) {
  return (uintptr_t)p % (PACK * sizeof(float)) == 0;
}

/* --- roots --- */

/* The merges of a fold, small enough to go to a kernel by value. */
struct fold_plan {
  const float *source[DT_GPU_FOLD_MAX];
  uint8_t into[DT_GPU_FOLD_MAX], from[DT_GPU_FOLD_MAX];
  int sources, merges;
};

enum { FOLD_BLOCK = 128 };

/* Each thread has its element of every root in its own column of the store, and merges there. */
__global__ void fold_elements(fold_plan plan, int64_t count, float *out) {
  __shared__ float store[DT_GPU_FOLD_MAX][FOLD_BLOCK];
  int t = (int)threadIdx.x;
  for (int64_t e = dt_thread_index(); e < count; e += dt_thread_count()) {
    for (int i = 0; i < plan.sources; i++) store[i][t] = plan.source[i][e];
    for (int m = 0; m < plan.merges; m++) store[plan.into[m]][t] += store[plan.from[m]][t];
    out[e] = store[0][t];
  }
}

/* --- the norm of the gradient --- */

enum {
  NORM_PIECE = 4096,   /* elements of a block, at least */
  NORM_PIECES = 1024,  /* at most: longer gradients get longer pieces */
  SCALE_STEADY = 2000, /* steps after which a scale that has held is doubled */
  SCALE_LARGEST = 1 << 24
};

struct norm_cut {
  int64_t piece;
  int pieces;
};

norm_cut cut_norm(int64_t count) {
  norm_cut cut = {NORM_PIECE, 0};
  while (cut.piece * NORM_PIECES < count) cut.piece *= 2;
  cut.pieces = (int)dt_divide_up(count, cut.piece);
  return cut;
}

__global__ void sum_squares(const float *x, int64_t count, int64_t piece, double *partial) {
  int64_t first = blockIdx.x * piece, end = first + piece < count ? first + piece : count;
  double sum = 0;
  for (int64_t i = first + (int64_t)threadIdx.x * PACK; i < end; i += DT_BLOCK * PACK) {
    float value[PACK];
    dt_read<PACK>(x + i, value);
    for (int k = 0; k < PACK; k++) sum += (double)value[k] * (double)value[k];
  }
  sum = dt_fold_block(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/* Dynamic loss scaling (Micikevicius et al., "Mixed precision training", 2018): a gradient that is not finite skips its step
 * and halves the scale; after many steps without one the scale is doubled. Returns the norm to report, which is 0 for a skipped
 * step: a norm that is not finite would end the training. */
__device__ double rescale(float *state, double norm) {
  float used = state[DT_LOSS_SCALE_NEXT];
  bool finite = isfinite(norm);
  state[DT_LOSS_SCALE_USED] = used;
  state[DT_LOSS_SCALE_SKIP] = finite ? 0 : 1;
  state[DT_LOSS_SCALE_STEPS] = finite ? state[DT_LOSS_SCALE_STEPS] + 1 : 0;
  if (!finite) {
    state[DT_LOSS_SCALE_NEXT] = used / 2 > 1 ? used / 2 : 1;
    return 0;
  }
  if (state[DT_LOSS_SCALE_STEPS] >= SCALE_STEADY) {
    state[DT_LOSS_SCALE_NEXT] = 2 * used < SCALE_LARGEST ? 2 * used : SCALE_LARGEST;
    state[DT_LOSS_SCALE_STEPS] = 0;
  }
  return norm / used;
}

/* A block for each tensor (x) and for its parameters or its gradient (y). */
__global__ void tensor_squares(const dt_segment *tensor, const float *param, const float *grad, double *out) {
  const dt_segment own = tensor[blockIdx.x];
  const float *x = (blockIdx.y == 0 ? param : grad) + own.first;
  double sum = 0;
  for (int64_t i = (int64_t)threadIdx.x * PACK; i < own.count; i += DT_BLOCK * PACK) {
    float value[PACK];
    dt_read<PACK>(x + i, value);
    for (int k = 0; k < PACK; k++) sum += (double)value[k] * (double)value[k];
  }
  sum = dt_fold_block(sum);
  if (threadIdx.x == 0) out[2 * blockIdx.x + blockIdx.y] = sum;
}

enum { UNIT_BLOCKS = 64 };

/* Blocks for each tensor (x), which take its units in turn (y). Units may begin anywhere. */
__global__ void clip_units(const dt_segment *tensor, const float *param, float *grad, const dt_step *step) {
  __shared__ double factor;
  const dt_segment own = tensor[blockIdx.x];
  for (int64_t u = blockIdx.y; u < own.units; u += UNIT_BLOCKS) {
    const float *p = param + own.first + u * own.unit_count;
    float *g = grad + own.first + u * own.unit_count;
    double of_p = 0, of_g = 0;
    for (int64_t i = threadIdx.x; i < own.unit_count; i += DT_BLOCK) {
      of_p += (double)p[i] * (double)p[i];
      of_g += (double)g[i] * (double)g[i];
    }
    of_p = dt_fold_block(of_p);
    __syncthreads();
    of_g = dt_fold_block(of_g);
    if (threadIdx.x == 0) factor = dt_step_clip_unit(step, of_p, of_g);
    __syncthreads();
    const float by = (float)factor;
    for (int64_t i = threadIdx.x; factor < 1 && i < own.unit_count; i += DT_BLOCK) g[i] = by * g[i];
    __syncthreads();
  }
}

/* Every block adds up the pieces by itself, in the same order. */
template <class T>
__global__ void ascend(const double *partial, int pieces, const float *grad, int64_t count, float *param, float *kept, T *low,
                       const dt_step *step) {
  __shared__ float factor;
  double sum = 0;
  for (int i = (int)threadIdx.x; i < pieces; i += DT_BLOCK) sum += partial[i];
  sum = dt_fold_block(sum);
  if (threadIdx.x == 0) factor = (float)dt_step_ascent(step, sum);
  __syncthreads();
  for (int64_t i = dt_thread_index() * PACK; i < count; i += dt_thread_count() * PACK) {
    float p[PACK], g[PACK];
    dt_read<PACK>(param + i, p);
    dt_read<PACK>(grad + i, g);
    dt_write<PACK>(kept + i, p);
    for (int k = 0; k < PACK && factor != 0; k++) p[k] = __fadd_rn(p[k], __fmul_rn(factor, g[k]));
    dt_write<PACK>(param + i, p);
    if (low != NULL) dt_write<PACK>(low + i, p);
  }
}

template <class T>
__global__ void come_back(const float *kept, int64_t count, float *param, T *low) {
  for (int64_t i = dt_thread_index() * PACK; i < count; i += dt_thread_count() * PACK) {
    float p[PACK];
    dt_read<PACK>(kept + i, p);
    dt_write<PACK>(param + i, p);
    if (low != NULL) dt_write<PACK>(low + i, p);
  }
}

/* Likewise of parameters, and of the copy that products read (NULL: there is none). */
template <class T>
__global__ void shorten_units(const dt_segment *tensor, float *param, T *low, const dt_step *step) {
  __shared__ double factor;
  const dt_segment own = tensor[blockIdx.x];
  for (int64_t u = blockIdx.y; own.bounded && u < own.units; u += UNIT_BLOCKS) {
    const int64_t first = own.first + u * own.unit_count;
    float *p = param + first;
    double squares = 0;
    for (int64_t i = threadIdx.x; i < own.unit_count; i += DT_BLOCK) squares += (double)p[i] * (double)p[i];
    squares = dt_fold_block(squares);
    if (threadIdx.x == 0) factor = dt_step_shorten(step, squares);
    __syncthreads();
    const float by = (float)factor;
    for (int64_t i = threadIdx.x; factor < 1 && i < own.unit_count; i += DT_BLOCK) {
      p[i] = by * p[i];
      if (low != NULL) low[first + i] = dt_from_float<T>(p[i]);
    }
    __syncthreads();
  }
}

/* One block. */
__global__ void finish_norm(const double *partial, int pieces, float *loss_scale, dt_step *step) {
  double sum = 0;
  for (int i = (int)threadIdx.x; i < pieces; i += DT_BLOCK) sum += partial[i];
  sum = dt_fold_block(sum);
  if (threadIdx.x > 0) return;
  double norm = sqrt(sum) / (double)step->batch_samples;
  step->grad_norm = loss_scale != NULL ? rescale(loss_scale, norm) : norm;
  step->scale = dt_step_clip(step) / (double)step->batch_samples;
  if (loss_scale == NULL) return;
  step->scale /= (double)loss_scale[DT_LOSS_SCALE_USED];
  step->skip = loss_scale[DT_LOSS_SCALE_SKIP] != 0;
}

}  // namespace

size_t dt_gpu_column_work(int shards, int64_t rows, int64_t columns) {
  size_t most = 0;
  for (int width = 1; width <= dt_pack_width<__half>; width *= 2) {
    dt_columns cut = dt_columns_of(shards, rows, columns, width);
    size_t bytes = dt_gpu_round_up(dt_columns_bytes(&cut, sizeof(total)));
    if (shards > 1) bytes += (size_t)(shards * columns) * sizeof(float);
    if (bytes > most) most = bytes;
  }
  return most;
}

dt_status dt_gpu_sum_columns(dt_gpu_type type, const void *dy, int shards, int64_t rows, int64_t columns, void *work, float *db,
                             cudaStream_t stream) {
  DT_WITH_TYPE(
      type,
      DT_TRY((sum_columns_widely<T, dt_pack_width<T>>(static_cast<const T *>(dy), shards, rows, columns, work, db, stream))));
  return DT_OK;
}

dt_status dt_gpu_add_elements(dt_device *device, dt_stream of, void *into, const void *from, int64_t count) {
  cudaStream_t stream = reinterpret_cast<dt_gpu *>(device)->stream[of];
  if (count == 0) return DT_OK;
  if (is_aligned(into) && is_aligned(from)) {
    DT_LAUNCH(add_elements, dt_grid(count, PACK), dim3(DT_BLOCK), stream, static_cast<float *>(into),
              static_cast<const float *>(from), count);
  } else {
    DT_LAUNCH(add_elements_singly, dt_grid(count), dim3(DT_BLOCK), stream, static_cast<float *>(into),
              static_cast<const float *>(from), count);
  }
  return DT_OK;
}

dt_status dt_gpu_fold(const dt_merge *fold, int fold_count, const float *const *source, int source_count, int64_t count,
                      float *out, cudaStream_t stream) {
  DT_ASSERT(source_count >= 1 && source_count <= DT_GPU_FOLD_MAX && fold_count < source_count);
  if (count == 0) return DT_OK;
  fold_plan plan = {};
  plan.sources = source_count, plan.merges = fold_count;
  for (int i = 0; i < source_count; i++) plan.source[i] = source[i];
  for (int m = 0; m < fold_count; m++) plan.into[m] = (uint8_t)fold[m].into, plan.from[m] = (uint8_t)fold[m].from;
  DT_LAUNCH(fold_elements, dt_grid(count), dim3(FOLD_BLOCK), stream, plan, count, out);
  return DT_OK;
}

dt_status dt_gpu_grad_norm_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  *out = (size_t)cut_norm(program->trained_elements).pieces * sizeof(double);
  return DT_OK;
}

dt_status dt_gpu_grad_norm(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  cudaStream_t stream = dt_gpu_stream(run, instr);
  double *partial = static_cast<double *>(dt_gpu_arg(run, instr, micro, DT_ARG_WORK));
  int64_t count = run->program->trained_elements;
  norm_cut cut = cut_norm(count);
  if (cut.pieces > 0) {
    DT_LAUNCH(sum_squares, dim3((unsigned)cut.pieces), dim3(DT_BLOCK), stream, static_cast<const float *>(run->blocks.grad),
              count, cut.piece, partial);
  }
  DT_LAUNCH(finish_norm, dim3(1), dim3(DT_BLOCK), stream, partial, cut.pieces, dt_gpu_loss_scale(run),
            dt_gpu_input_of(run, micro).step);
  return DT_OK;
}

dt_status dt_gpu_ascend(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  cudaStream_t stream = dt_gpu_stream(run, instr);
  double *partial = static_cast<double *>(dt_gpu_arg(run, instr, micro, DT_ARG_WORK));
  const float *grad = static_cast<const float *>(run->blocks.grad);
  float *param = static_cast<float *>(run->blocks.param), *kept = static_cast<float *>(run->blocks.sum);
  const int64_t count = run->program->trained_elements;
  const norm_cut cut = cut_norm(count);
  if (count == 0) return DT_OK;
  DT_LAUNCH(sum_squares, dim3((unsigned)cut.pieces), dim3(DT_BLOCK), stream, grad, count, cut.piece, partial);
  DT_WITH_TYPE(dt_gpu_of(run)->type,
               DT_LAUNCH(ascend<T>, dt_grid(count, 4 * PACK), dim3(DT_BLOCK), stream, static_cast<const double *>(partial),
                         cut.pieces, grad, count, param, kept, static_cast<T *>(dt_gpu_low_params(run)),
                         static_cast<const dt_step *>(dt_gpu_input_of(run, micro).step)));
  return DT_OK;
}

dt_status dt_gpu_return(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const int64_t count = run->program->trained_elements;
  if (count == 0) return DT_OK;
  DT_WITH_TYPE(dt_gpu_of(run)->type,
               DT_LAUNCH(come_back<T>, dt_grid(count, 4 * PACK), dim3(DT_BLOCK), dt_gpu_stream(run, instr),
                         static_cast<const float *>(run->blocks.sum), count, static_cast<float *>(run->blocks.param),
                         static_cast<T *>(dt_gpu_low_params(run))));
  return DT_OK;
}

/* The padding behind a tensor is zero. */
dt_status dt_gpu_tensor_norm(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_LAUNCH(tensor_squares, dim3((unsigned)run->program->segment_count, 2), dim3(DT_BLOCK), dt_gpu_stream(run, instr),
            dt_gpu_tensors_of(run), static_cast<const float *>(run->blocks.param), static_cast<const float *>(run->blocks.grad),
            static_cast<double *>(dt_gpu_arg(run, instr, micro, DT_ARG_Y)));
  return DT_OK;
}

dt_status dt_gpu_clip_units(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_LAUNCH(clip_units, dim3((unsigned)run->program->segment_count, UNIT_BLOCKS), dim3(DT_BLOCK), dt_gpu_stream(run, instr),
            dt_gpu_tensors_of(run), static_cast<const float *>(run->blocks.param), static_cast<float *>(run->blocks.grad),
            static_cast<const dt_step *>(dt_gpu_input_of(run, micro).step));
  return DT_OK;
}

dt_status dt_gpu_max_norm(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(
      dt_gpu_of(run)->type,
      DT_LAUNCH(shorten_units<T>, dim3((unsigned)run->program->segment_count, UNIT_BLOCKS), dim3(DT_BLOCK),
                dt_gpu_stream(run, instr), dt_gpu_tensors_of(run), static_cast<float *>(run->blocks.param),
                static_cast<T *>(dt_gpu_low_params(run)), static_cast<const dt_step *>(dt_gpu_input_of(run, micro).step)));
  return DT_OK;
}
