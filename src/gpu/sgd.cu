/* Stochastic gradient descent with momentum over a slice of the flat blocks: the formula of core/optim/sgd.c in the same
 * single roundings, so that equal gradients give equal parameters. Products and sums are spelled out because the compiler would
 * contract them. The copy of the parameters that products read is written on the way. */
#include "core/optim/sgd.h"

#include "gpu/pack.cuh"

namespace {

enum { PACK = 4 }; /* slices begin and end at multiples of DT_ALIGN_ELEMENTS */

/* The slices of the blocks. */
template <class T>
struct slices {
  float *param, *velocity;
  const float *grad;
  T *low; /* NULL in fp32 */
};

/* What a step has for all elements; skip leaves everything as it is. */
struct factors {
  float lr, momentum, decay, scale;
  bool skip;
};

/* The factor of clipping by global norm (Pascanu et al. 2013), with PyTorch's guard against a zero norm. */
__device__ double clip_factor(const dt_step *step) {
  if (step->clip_norm == 0) return 1;
  return fmin(1.0, step->clip_norm / (step->grad_norm + 1e-6));
}

__device__ factors factors_of(const dt_step *step, const float *loss_scale) {
  double scale = clip_factor(step) / (double)step->batch_samples;
  factors f;
  f.skip = loss_scale != NULL && loss_scale[DT_LOSS_SCALE_SKIP] != 0;
  if (loss_scale != NULL) scale /= (double)loss_scale[DT_LOSS_SCALE_USED];
  f.lr = (float)step->lr;
  f.momentum = (float)step->momentum;
  f.decay = (float)step->weight_decay;
  f.scale = (float)scale;
  return f;
}

/* The new p; v becomes the new velocity. */
__device__ float advance(const factors &f, bool nesterov, float p, float grad, float &v) {
  float g = __fadd_rn(__fmul_rn(f.scale, grad), __fmul_rn(f.decay, p));
  v = __fadd_rn(__fmul_rn(f.momentum, v), g);
  float along = nesterov ? __fadd_rn(g, __fmul_rn(f.momentum, v)) : v;
  return __fsub_rn(p, __fmul_rn(f.lr, along));
}

template <class T>
__global__ void update(slices<T> at, int64_t count, const dt_step *step, const float *loss_scale, bool nesterov) {
  __shared__ factors shared;
  if (threadIdx.x == 0) shared = factors_of(step, loss_scale);
  __syncthreads();
  factors f = shared;
  int64_t stride = dt_thread_count() * PACK;
  for (int64_t i = dt_thread_index() * PACK; i < count && !f.skip; i += stride) {
    float p[PACK], grad[PACK], v[PACK];
    dt_read<PACK>(at.param + i, p);
    dt_read<PACK>(at.grad + i, grad);
    dt_read<PACK>(at.velocity + i, v);
    for (int k = 0; k < PACK; k++) p[k] = advance(f, nesterov, p[k], grad[k], v[k]);
    dt_write<PACK>(at.param + i, p);
    dt_write<PACK>(at.velocity + i, v);
    if (at.low != NULL) dt_write<PACK>(at.low + i, p);
  }
}

template <class T>
dt_status launch(const dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  const dt_gpu_stretch slice = dt_gpu_stretch_of(run, instr);
  const dt_sgd_attr *attr = static_cast<const dt_sgd_attr *>(run->optimizer_attr);
  T *low = static_cast<T *>(dt_gpu_low_params(run));
  if (slice.count == 0) return DT_OK;
  DT_ASSERT(slice.first % PACK == 0 && slice.count % PACK == 0);
  slices<T> at = {};
  at.param = static_cast<float *>(run->blocks.param) + slice.first;
  at.velocity = static_cast<float *>(run->blocks.slot[0]) + slice.first;
  at.grad = static_cast<const float *>(run->blocks.grad) + slice.first;
  at.low = low != NULL ? low + slice.first : NULL;
  /* Few blocks have less to do with the factors, many fill a GPU. */
  int64_t each = slice.count > 1 << 20 ? 4 * PACK : PACK;
  DT_LAUNCH(update<T>, dt_grid(slice.count, each), dim3(DT_BLOCK), dt_gpu_stream(run, instr), at, slice.count,
            dt_gpu_input_of(run, pass).step, dt_gpu_loss_scale(run), attr->nesterov);
  return DT_OK;
}

}  // namespace

dt_status dt_gpu_update_sgd(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, DT_TRY(launch<T>(run, instr, pass)));
  return DT_OK;
}
