/* ACT_FWD, ACT_BWD and ADD: out = finish(in), one pass over memory. Elements are taken in memory order, whatever their shape;
 * arguments are whole buffers and so aligned. */
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

static dt_status finish_arg(dt_run *run, const dt_instr *instr, const dt_pass *pass, dt_arg from, dt_arg to) {
  const void *in = dt_gpu_arg(run, instr, pass, from);
  void *out = dt_gpu_arg(run, instr, pass, to);
  const int64_t count = run->program->shard_slots * dt_gpu_count(run->program, instr, to);
  DT_WITH_TYPE(dt_gpu_of(run)->type,
               return finish(in, dt_fused_of<T>(run, instr, pass), out, count, dt_gpu_stream(run, instr)));
  return DT_OK;
}

dt_status dt_gpu_act_fwd(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  return finish_arg(run, instr, pass, DT_ARG_X, DT_ARG_Y);
}

dt_status dt_gpu_act_bwd(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  return finish_arg(run, instr, pass, DT_ARG_DY, DT_ARG_DX);
}

dt_status dt_gpu_add(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  return finish_arg(run, instr, pass, DT_ARG_X, DT_ARG_Y);
}

dt_status dt_gpu_apply_act(dt_gpu_type type, dt_act act, void *y, int64_t count, cudaStream_t stream) {
  DT_WITH_TYPE(type, return finish(y, dt_fused<T>{NULL, NULL, act}, y, count, stream));
  return DT_OK;
}
