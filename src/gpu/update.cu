/* UPDATE: the formulas of core/optim over slices of the flat blocks, in the same single roundings as on the cpu, so that equal
 * gradients give equal parameters. The copy of the parameters that products read is written on the way. */
#include <string.h>

#include "gpu/pack.cuh"

/* A float whose operators round one by one: a compiler would contract plain products and sums. */
struct dt_single {
  float value;
  dt_single() = default;
  __device__ dt_single(float x) : value(x) {
  }
  explicit __device__ dt_single(double x) : value((float)x) {
  }
  __device__ dt_single(int x) : value((float)x) {
  }
};
static inline __device__ dt_single operator+(dt_single a, dt_single b) {
  return __fadd_rn(a.value, b.value);
}
static inline __device__ dt_single operator-(dt_single a, dt_single b) {
  return __fsub_rn(a.value, b.value);
}
static inline __device__ dt_single operator*(dt_single a, dt_single b) {
  return __fmul_rn(a.value, b.value);
}
static inline __device__ dt_single operator/(dt_single a, dt_single b) {
  return __fdiv_rn(a.value, b.value);
}
static inline __device__ bool operator<(dt_single a, dt_single b) {
  return a.value < b.value;
}
static inline __device__ dt_single dt_single_sqrt(dt_single x) {
  return __fsqrt_rn(x.value);
}

#define DT_RULE_DEVICE
#define real dt_single
#define real_sqrt dt_single_sqrt
#define RULE_JOIN(a, b) a##b
#define RULE(name) RULE_JOIN(name, _single)
#include "core/optim/optimizers.def"

namespace {

enum { PACK = 4 }; /* slices and segments begin and end at multiples of DT_ALIGN_ELEMENTS */

/* The direction of an optimizer of two passes; nobody asks one of a single pass. */
#define DT_DIRECTION_1(name) return g
#define DT_DIRECTION_2(name) return RULE(name##_direction)(&f, p, g, s)

/* An optimizer's formula as a type. */
#define DT_OPTIMIZER_ROW(name, count, number)                                                                                 \
  struct name {                                                                                                               \
    enum { slots = count, passes = number };                                                                                  \
    typedef dt_##name##_attr attr;                                                                                            \
    typedef RULE(name##_factors) factors;                                                                                     \
    static __device__ factors prepare(const attr &options, const dt_step *step, const dt_segment *at, const double *tensor) { \
      return RULE(name##_prepare)(&options, step, at, tensor);                                                                \
    }                                                                                                                         \
    static __device__ dt_single element(const factors &f, dt_single p, dt_single g, dt_single *s) {                           \
      return RULE(name##_element)(&f, p, g, s);                                                                               \
    }                                                                                                                         \
    static __device__ dt_single direction(const factors &f, dt_single p, dt_single g, dt_single *s) {                         \
      DT_DIRECTION_##number(name);                                                                                            \
    }                                                                                                                         \
  };
#include "core/optim/optimizers.def"
#undef DT_OPTIMIZER_ROW

/* The blocks. */
template <class T, int S>
struct blocks {
  float *param, *slot[S], *grad;
  float *average; /* of the parameters; NULL where there is none */
  T *low;         /* NULL in fp32 */
};

/* dt_average_f32 of a pack. */
__device__ void follow(float *average, double weight, const float *p) {
  float a[PACK];
  if (weight == 0) return;
  dt_read<PACK>(average, a);
  const dt_single w((float)weight);
  for (int k = 0; k < PACK; k++) a[k] = weight == 1 ? p[k] : (dt_single(a[k]) + w * (dt_single(p[k]) - dt_single(a[k]))).value;
  dt_write<PACK>(average, a);
}

/* RULE_MEAN of core/optim/loops.h. */
__device__ dt_single mean_of(float sum, float scale, float limit) {
  const float mean = (dt_single(scale) * dt_single(sum)).value;
  return mean < -limit ? -limit : limit < mean ? limit : mean;
}

/* The elements of a pack: an update, or, of an optimizer's first pass, directions in the gradients' place. */
template <class Rule, class T, bool First>
__device__ void advance(const blocks<T, Rule::slots> &at, int64_t i, const typename Rule::factors &f, float scale, float limit,
                        double average) {
  float p[PACK], grad[PACK], slot[Rule::slots][PACK];
  dt_read<PACK>(at.param + i, p);
  dt_read<PACK>(at.grad + i, grad);
  for (int s = 0; s < Rule::slots; s++) dt_read<PACK>(at.slot[s] + i, slot[s]);
  for (int k = 0; k < PACK; k++) {
    dt_single own[Rule::slots];
    for (int s = 0; s < Rule::slots; s++) own[s] = slot[s][k];
    const dt_single mean = mean_of(grad[k], scale, limit);
    if (First) {
      grad[k] = Rule::direction(f, p[k], mean, own).value;
    } else {
      p[k] = Rule::element(f, p[k], mean, own).value;
    }
    for (int s = 0; s < Rule::slots; s++) slot[s][k] = own[s].value;
  }
  for (int s = 0; s < Rule::slots; s++) dt_write<PACK>(at.slot[s] + i, slot[s]);
  if (First) {
    dt_write<PACK>(at.grad + i, grad);
    return;
  }
  dt_write<PACK>(at.param + i, p);
  if (at.low != NULL) dt_write<PACK>(at.low + i, p);
  if (at.average != NULL) follow(at.average + i, average, p);
}

/* A step that is skipped leaves parameters as they are, and their average counts it all the same. */
template <class T, int S>
__device__ void pass_over(const blocks<T, S> &at, int64_t i, double average) {
  float p[PACK];
  if (at.average == NULL) return;
  dt_read<PACK>(at.param + i, p);
  follow(at.average + i, average, p);
}

/* What is the same for all elements of a block of threads; its first thread finds it. */
template <class Rule>
struct shared_factors {
  typename Rule::factors f;
  double average;
  float scale, limit;
  bool skip;
  /* A direction is no gradient any more: it is neither scaled nor clipped. */
  __device__ void find(const typename Rule::attr &options, const dt_step *step, const dt_segment &segment, const double *tensor,
                       bool gradients) {
    f = Rule::prepare(options, step, &segment, tensor);
    scale = gradients ? (float)step->scale : 1;
    limit = gradients ? (float)dt_step_limit(step) : INFINITY;
    average = step->average;
    skip = step->skip;
  }
};

/* What the optimizer's own instructions wrote of a segment's tensor; NULL where it has none. */
__device__ const double *row_of(const double *tensors, int64_t columns, const dt_segment &segment) {
  return tensors != NULL ? tensors + segment.tensor * columns : NULL;
}

/* A stretch in which all is updated alike. */
template <class Rule, class T, bool First>
__global__ void update_stretch(blocks<T, Rule::slots> at, dt_segment stretch, const double *tensors, int64_t columns,
                               const dt_step *step, typename Rule::attr options) {
  __shared__ shared_factors<Rule> shared;
  if (threadIdx.x == 0) {
    shared.find(options, step, stretch, row_of(tensors, columns, stretch), First || Rule::passes == 1);
  }
  __syncthreads();
  const typename Rule::factors f = shared.f;
  const float scale = shared.scale, limit = shared.limit;
  const int64_t first = stretch.first + dt_thread_index() * PACK, end = stretch.first + stretch.count;
  const int64_t stride = dt_thread_count() * PACK;
  for (int64_t i = first; i < end && !shared.skip; i += stride) advance<Rule, T, First>(at, i, f, scale, limit, shared.average);
  for (int64_t i = first; i < end && shared.skip && !First; i += stride) pass_over(at, i, shared.average);
}

/* A block of threads for each piece. */
template <class Rule, class T, bool First>
__global__ void update_pieces(blocks<T, Rule::slots> at, const dt_segment *piece, const double *tensors, int64_t columns,
                              const dt_step *step, typename Rule::attr options) {
  __shared__ shared_factors<Rule> shared;
  const dt_segment own = piece[blockIdx.x];
  if (threadIdx.x == 0) shared.find(options, step, own, row_of(tensors, columns, own), First || Rule::passes == 1);
  __syncthreads();
  const typename Rule::factors f = shared.f;
  const float scale = shared.scale, limit = shared.limit;
  const int64_t first = own.first + (int64_t)threadIdx.x * PACK, end = own.first + own.count;
  const int64_t stride = (int64_t)blockDim.x * PACK;
  for (int64_t i = first; i < end && !shared.skip; i += stride) advance<Rule, T, First>(at, i, f, scale, limit, shared.average);
  for (int64_t i = first; i < end && shared.skip && !First; i += stride) pass_over(at, i, shared.average);
}

template <class Rule, class T, bool First>
dt_status launch(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_gpu_stretch slice = First ? dt_gpu_stretch{0, run->program->trained_elements} : dt_gpu_stretch_of(run, instr);
  const dt_step *step = dt_gpu_input_of(run, micro).step;
  const typename Rule::attr options = *static_cast<const typename Rule::attr *>(run->optimizer_attr);
  blocks<T, Rule::slots> at = {};
  at.param = static_cast<float *>(run->blocks.param);
  for (int s = 0; s < Rule::slots; s++) at.slot[s] = static_cast<float *>(run->blocks.slot[s]);
  at.grad = static_cast<float *>(run->blocks.grad);
  if (run->averages) at.average = static_cast<float *>(run->blocks.slot[Rule::slots]);
  at.low = static_cast<T *>(dt_gpu_low_params(run));
  if (slice.count == 0) return DT_OK;
  const double *tensors = static_cast<const double *>(dt_gpu_arg(run, instr, micro, DT_ARG_X));
  const int64_t columns = tensors != NULL ? dt_shape_count(&run->program->buffer[instr->arg[DT_ARG_X]].shape) : 0;
  if (!dt_program_is_uniform(run->program)) {
    const dt_gpu_pieces pieces = dt_gpu_pieces_of(run, &slice);
    if (pieces.count == 0) return DT_OK;
    DT_LAUNCH((update_pieces<Rule, T, First>), dim3((unsigned)pieces.count), dim3(DT_BLOCK), dt_gpu_stream(run, instr), at,
              pieces.piece, tensors, columns, step, options);
    return DT_OK;
  }
  dt_segment stretch = run->program->segment[0];
  stretch.first = slice.first, stretch.count = slice.count;
  /* Few blocks have less to do with the factors, many fill a GPU. */
  int64_t each = slice.count > 1 << 20 ? 4 * PACK : PACK;
  DT_LAUNCH((update_stretch<Rule, T, First>), dt_grid(slice.count, each), dim3(DT_BLOCK), dt_gpu_stream(run, instr), at,
            stretch, tensors, columns, step, options);
  return DT_OK;
}

template <class Rule>
dt_status update(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_WITH_TYPE(dt_gpu_of(run)->type, DT_TRY((launch<Rule, T, false>(run, instr, micro))));
  return DT_OK;
}

/* Parameters stay, and so does their copy. */
template <class Rule>
dt_status direct(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  if constexpr (Rule::passes == 2) return launch<Rule, float, true>(run, instr, micro);
  DT_RAISE(DT_ENVIRONMENT, "%s has no directions", run->optimizer->name);
}

const struct {
  const char *name; /* dt_optimizer.name */
  dt_kernel *update, *direct;
} rules[] = {
#define DT_OPTIMIZER_ROW(name, count, passes) {#name, update<name>, direct<name>},
#include "core/optim/optimizers.def"
#undef DT_OPTIMIZER_ROW
};

int find(const dt_optimizer *optimizer) {
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    if (strcmp(rules[i].name, optimizer->name) == 0) return (int)i;
  }
  return -1;
}

}  // namespace

bool dt_gpu_updates(const dt_device *device, const dt_optimizer *optimizer) {
  return find(optimizer) >= 0;
}

dt_status dt_gpu_update(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return rules[find(run->optimizer)].update(run, instr, micro);
}

dt_status dt_gpu_direction(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return rules[find(run->optimizer)].direct(run, instr, micro);
}
