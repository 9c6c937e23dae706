/* CONCAT, which puts x into channels [channel, ...) of y, and its adjoint SLICE. Channels are next to each other, so both copy
 * a run of every row (a position of a sample) from or to a run of longer rows. */
#include "gpu/elementwise.cuh"

/* Rows of `width` elements that stand `stride` apart, in and out; the first one at the pointer. */
typedef struct run_copy {
  int64_t rows, width, in_stride, out_stride;
} run_copy;

/* N divides width and strides. What is fused lies as the narrow side does, row after row. */
template <class T, int N>
static __global__ void copy_runs(const T *in, dt_fused<T> fused, T *out, run_copy shape) {
  const int64_t packs = dt_quotient(shape.width, N), count = shape.rows * packs;
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    const int64_t row = dt_quotient(i, packs), at = (i - row * packs) * N;
    float value[N];
    dt_read(in + row * shape.in_stride + at, value);
    dt_finish(fused, i * N, value);
    dt_write(out + row * shape.out_stride + at, value);
  }
}

template <class T>
static dt_status copy(const T *in, dt_fused<T> fused, T *out, const run_copy *shape, int64_t first, cudaStream_t stream) {
  constexpr int N = dt_pack_width<T>;
  const int64_t count = shape->rows * shape->width;
  const bool packed = (shape->width | shape->in_stride | shape->out_stride | first) % N == 0;
  if (packed) {
    DT_LAUNCH((copy_runs<T, N>), dt_grid(count, N), dim3(DT_BLOCK), stream, in, fused, out, *shape);
  } else {
    DT_LAUNCH((copy_runs<T, 1>), dt_grid(count), dim3(DT_BLOCK), stream, in, fused, out, *shape);
  }
  return DT_OK;
}

/* Positions are those of the joined side: a part's memory may be another view of the same elements. */
template <class T>
static dt_status join(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const bool forward = instr->op == DT_OP_CONCAT;
  const dt_arg from = forward ? DT_ARG_X : DT_ARG_DY, to = forward ? DT_ARG_Y : DT_ARG_DX;
  const dt_gpu_values joined = dt_gpu_values_of(run, instr, micro, forward ? to : from);
  const int64_t width = dt_gpu_count(run->program, instr, forward ? from : to) / joined.inner;
  const run_copy shape = {joined.samples * joined.inner, width, forward ? width : joined.channels,
                          forward ? joined.channels : width};
  const T *in = static_cast<const T *>(dt_gpu_arg(run, instr, micro, from)) + (forward ? 0 : instr->channel);
  T *out = static_cast<T *>(dt_gpu_arg(run, instr, micro, to)) + (forward ? instr->channel : 0);
  return copy(in, dt_fused_of<T>(run, instr, micro), out, &shape, instr->channel, dt_gpu_stream(run, instr));
}

dt_status dt_gpu_concat(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return join<T>(run, instr, micro));
  return DT_OK;
}

dt_status dt_gpu_slice(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return join<T>(run, instr, micro));
  return DT_OK;
}
