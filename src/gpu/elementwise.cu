/* ACT_FWD, ACT_BWD and ADD: out = finish(in), and MULTIPLY, one pass over memory. Elements are taken in memory order, whatever
 * their shape; arguments are whole buffers and so aligned. */
#include "gpu/elementwise.cuh"

/* `in` and `out` may be the same memory. The last count % N elements are taken one by one. */
template <class T>
static __global__ void finish_elements(const T *in, dt_fused<T> fused, T *out, int64_t count) {
  constexpr int N = dt_pack_width<T>;
  const int64_t packs = count / N;
  for (int64_t i = dt_thread_index(); i < packs; i += dt_thread_count()) {
    float value[N];
    dt_read(in + i * N, value);
    dt_finish(fused, i * N, value);
    dt_write(out + i * N, value);
  }
  const int64_t rest = packs * N + dt_thread_index();
  if (rest >= count) return;
  float value[1] = {dt_to_float(in[rest])};
  dt_finish(fused, rest, value);
  dt_write(out + rest, value);
}

template <class T>
static dt_status finish(const void *in, dt_fused<T> fused, void *out, int64_t count, cudaStream_t stream) {
  DT_LAUNCH(finish_elements<T>, dt_grid(count, dt_pack_width<T>), dim3(DT_BLOCK), stream, static_cast<const T *>(in), fused,
            static_cast<T *>(out), count);
  return DT_OK;
}

static dt_status finish_arg(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg from, dt_arg to) {
  const void *in = dt_gpu_arg(run, instr, micro, from);
  void *out = dt_gpu_arg(run, instr, micro, to);
  const int64_t count = dt_gpu_places(run, micro) * dt_gpu_count(run->program, instr, to);
  DT_WITH_TYPE(dt_gpu_of(run)->type,
               return finish(in, dt_fused_of<T>(run, instr, micro), out, count, dt_gpu_stream(run, instr)));
  return DT_OK;
}

dt_status dt_gpu_act_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return finish_arg(run, instr, micro, DT_ARG_X, DT_ARG_Y);
}

dt_status dt_gpu_act_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return finish_arg(run, instr, micro, DT_ARG_DY, DT_ARG_DX);
}

dt_status dt_gpu_add(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return finish_arg(run, instr, micro, DT_ARG_X, DT_ARG_Y);
}

template <class T>
static __global__ void add_bias(const T *x, const float *bias, int64_t columns, dt_fused<T> fused, T *y, int64_t count) {
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    float value[1] = {dt_to_float(x[i]) + bias[i % columns]};
    dt_finish(fused, i, value);
    dt_write(y + i, value);
  }
}

template <class T>
static dt_status bias(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const int64_t columns = dt_gpu_count(run->program, instr, DT_ARG_B), count = dt_gpu_places(run, micro) * columns;
  DT_LAUNCH(add_bias<T>, dt_grid(count), dim3(DT_BLOCK), dt_gpu_stream(run, instr),
            static_cast<const T *>(dt_gpu_arg(run, instr, micro, DT_ARG_X)),
            static_cast<const float *>(dt_gpu_arg(run, instr, micro, DT_ARG_B)), columns, dt_fused_of<T>(run, instr, micro),
            static_cast<T *>(dt_gpu_arg(run, instr, micro, DT_ARG_Y)), count);
  return DT_OK;
}

dt_status dt_gpu_add_bias(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return bias<T>(run, instr, micro));
  return DT_OK;
}

dt_status dt_gpu_bias_wgrad_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  *out = dt_gpu_column_work(program->micro_batch_shards, program->shard_capacity, dt_gpu_count(program, instr, DT_ARG_DB));
  return DT_OK;
}

dt_status dt_gpu_bias_wgrad(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_gpu_sum_columns(dt_gpu_of(run)->type, dt_gpu_arg(run, instr, micro, DT_ARG_DY), micro->shard_count,
                            run->program->shard_capacity, dt_gpu_count(run->program, instr, DT_ARG_DB),
                            dt_gpu_arg(run, instr, micro, DT_ARG_WORK),
                            static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_DB)), dt_gpu_stream(run, instr));
}

/* The last count % N elements are taken one by one. */
template <class T>
static __global__ void multiply_elements(const T *x, const T *factor, T *y, int64_t count) {
  constexpr int N = dt_pack_width<T>;
  const int64_t packs = count / N;
  for (int64_t i = dt_thread_index(); i < packs; i += dt_thread_count()) {
    float value[N], other[N];
    dt_read(x + i * N, value);
    dt_read(factor + i * N, other);
    for (int v = 0; v < N; v++) value[v] *= other[v];
    dt_write(y + i * N, value);
  }
  const int64_t rest = packs * N + dt_thread_index();
  if (rest >= count) return;
  float value[1] = {dt_to_float(x[rest]) * dt_to_float(factor[rest])};
  dt_write(y + rest, value);
}

template <class T>
static dt_status multiply(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const int64_t count = dt_gpu_places(run, micro) * dt_gpu_count(run->program, instr, DT_ARG_Y);
  DT_LAUNCH(multiply_elements<T>, dt_grid(count, dt_pack_width<T>), dim3(DT_BLOCK), dt_gpu_stream(run, instr),
            static_cast<const T *>(dt_gpu_arg(run, instr, micro, DT_ARG_X)),
            static_cast<const T *>(dt_gpu_arg(run, instr, micro, DT_ARG_FACTOR)),
            static_cast<T *>(dt_gpu_arg(run, instr, micro, DT_ARG_Y)), count);
  return DT_OK;
}

dt_status dt_gpu_multiply(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return multiply<T>(run, instr, micro));
  return DT_OK;
}

dt_status dt_gpu_apply_act(dt_gpu_type type, dt_act act, void *y, int64_t count, cudaStream_t stream) {
  DT_WITH_TYPE(type, return finish(y, dt_fused<T>{NULL, NULL, act}, y, count, stream));
  return DT_OK;
}
