/* ACTIVITY_KL: the divergence of mean activities from rho; see core/program/ops.def. A thread has one unit of a shard, whose
 * samples it adds up in their order, so that the sums know no other shard. */
#include <math.h>

#include "gpu/fold.cuh"

namespace {

struct activity {
  dt_gpu_shards shards;
  const float *scale; /* dt_gpu_loss_scale */
  float *apart;       /* [shards][elements]: divergences of units */
  float *terms;       /* [samples][columns], from the first column on */
  int64_t elements;
  int columns;
  float rho, weight; /* weight: of the loss, over the elements */
};

/* A row of the grid for each shard. */
template <class T>
__global__ void find_apart(activity a, const T *x, T *dx) {
  const int shard = (int)blockIdx.y, valid = a.shards.valid[shard];
  const int64_t first = shard * a.shards.capacity * a.elements;
  const float scale = a.scale != NULL ? a.scale[DT_LOSS_SCALE_NEXT] * a.weight : a.weight;
  for (int64_t e = dt_thread_index(); e < a.elements; e += dt_thread_count()) {
    double sum = 0;
    for (int n = 0; n < valid; n++) sum += (double)dt_to_float(x[first + n * a.elements + e]);
    const float mean = (float)(sum / valid);
    const float m = mean < 0 || mean > 1 ? NAN : mean < 1e-6f ? 1e-6f : mean > 1 - 1e-6f ? 1 - 1e-6f : mean;
    const float yes = a.rho / m, no = (1 - a.rho) / (1 - m);
    a.apart[shard * a.elements + e] = a.rho * logf(yes) + (1 - a.rho) * logf(no);
    const T slope = dt_from_float<T>((no - yes) * scale), zero = dt_from_float<T>(0.0f);
    for (int64_t n = 0; dx != NULL && n < a.shards.capacity; n++) dx[first + n * a.elements + e] = n < valid ? slope : zero;
  }
}

/* A block for each shard. */
__global__ void give_terms(activity a) {
  __shared__ float term;
  const int shard = (int)blockIdx.x;
  double sum = 0;
  for (int64_t e = threadIdx.x; e < a.elements; e += DT_BLOCK) sum += (double)a.apart[shard * a.elements + e];
  sum = dt_fold_block(sum);
  if (threadIdx.x == 0) term = (float)(sum / (double)a.elements);
  __syncthreads();
  for (int64_t n = threadIdx.x; n < a.shards.valid[shard]; n += DT_BLOCK)
    a.terms[(shard * a.shards.capacity + n) * a.columns] = term;
}

template <class T>
dt_status run_activity(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_gpu_values values = dt_gpu_values_of(run, instr, micro, DT_ARG_X);
  activity a = {};
  a.shards = dt_gpu_input_of(run, micro).shards;
  a.scale = dt_gpu_loss_scale(run);
  a.apart = static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_WORK));
  a.terms = static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_TERMS)) + instr->loss.column;
  a.elements = values.channels * values.inner;
  a.columns = run->program->columns;
  a.rho = (float)instr->loss.param[0];
  a.weight = (float)(instr->loss.weight / (double)a.elements);
  dim3 grid = dt_grid(a.elements);
  grid.y = (unsigned)micro->shard_count;
  DT_LAUNCH(find_apart<T>, grid, dim3(DT_BLOCK), dt_gpu_stream(run, instr), a,
            static_cast<const T *>(dt_gpu_arg(run, instr, micro, DT_ARG_X)),
            static_cast<T *>(dt_gpu_arg(run, instr, micro, DT_ARG_DX)));
  DT_LAUNCH(give_terms, dim3((unsigned)micro->shard_count), dim3(DT_BLOCK), dt_gpu_stream(run, instr), a);
  return DT_OK;
}

}  // namespace

dt_status dt_gpu_activity_kl_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  *out = (size_t)(program->micro_batch_shards * dt_gpu_count(program, instr, DT_ARG_X)) * sizeof(float);
  return DT_OK;
}

dt_status dt_gpu_activity_kl(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, return run_activity<T>(run, instr, micro));
  return DT_OK;
}
