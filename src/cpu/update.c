/* What happens once a step, on the sums over all shards in gradient node 0. Sums run over fixed pieces, so that the number of
 * threads cannot change a bit. */
#include "cpu/update.h"

#include <math.h>

#include "core/optimizer.h"
#include "cpu/simd/kernels.h"

enum {
  NORM_PIECE = 4096,   /* elements, at least */
  NORM_PIECES = 1024,  /* at most: longer gradients get longer pieces */
  UPDATE_PIECE = 8192, /* elements: gradient, parameter and a slot fit into L2 */
};

typedef struct norm {
  const dt_cpu_kernels *kernels;
  const float *grad;
  int64_t count, piece;
  double sum[NORM_PIECES];
} norm;

static void square_piece(void *context, int index, int thread) {
  norm *n = context;
  int64_t first = index * n->piece, left = n->count - first;
  n->sum[index] = n->kernels->squares(n->grad + first, left < n->piece ? left : n->piece);
}

static dt_pool *pool_of(const dt_run *run) {
  return ((const dt_cpu *)run->device)->pool;
}

dt_status dt_cpu_grad_norm(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  norm n = {.kernels = ((const dt_cpu *)run->device)->kernels,
            .grad = run->blocks.grad,
            .count = run->program->param_elements,
            .piece = NORM_PIECE};
  while (n.piece * NORM_PIECES < n.count) n.piece *= 2;
  int pieces = (int)((n.count + n.piece - 1) / n.piece);
  dt_pool_run(pool_of(run), pieces, square_piece, &n);
  double sum = 0;
  for (int i = 0; i < pieces; i++) sum += n.sum[i];
  run->step->grad_norm = sqrt(sum) / (double)run->step->batch_samples;
  return DT_OK;
}

/* The factor of clipping by global norm (Pascanu et al. 2013), with PyTorch's guard against a zero norm. */
static double clip_factor(const dt_step *step) {
  if (step->clip_norm == 0) return 1;
  return fmin(1, step->clip_norm / (step->grad_norm + 1e-6));
}

typedef struct update {
  const dt_run *run;
  const dt_bucket *bucket;
  double scale;
} update;

static void update_piece(void *context, int index, int thread) {
  const update *u = context;
  const dt_run *run = u->run;
  int64_t piece = (int64_t)index * UPDATE_PIECE, left = u->bucket->param_count - piece, first = u->bucket->first + piece;
  float *slot[4] = {NULL};
  for (int i = 0; i < run->optimizer->slots; i++) slot[i] = (float *)run->blocks.slot[i] + first;
  run->optimizer->update_f32(run->optimizer_attr, run->step, u->scale, left < UPDATE_PIECE ? left : UPDATE_PIECE,
                             (float *)run->blocks.param + first, (const float *)run->blocks.grad + first, slot);
}

dt_status dt_cpu_update(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  update u = {.run = run, .bucket = &run->program->bucket[instr->bucket]};
  u.scale = clip_factor(run->step) / (double)run->step->batch_samples;
  dt_pool_run(pool_of(run), (int)((u.bucket->param_count + UPDATE_PIECE - 1) / UPDATE_PIECE), update_piece, &u);
  return DT_OK;
}

dt_status dt_cpu_bn_update(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  const float *stat = dt_cpu_arg(run, instr, NULL, DT_ARG_STAT);
  float *running = dt_cpu_arg(run, instr, NULL, DT_ARG_STATE);
  int64_t count = dt_shape_count(&run->program->buffer[instr->arg[DT_ARG_STATE]].shape);
  double samples = (double)run->step->batch_samples, momentum = instr->bn.momentum;
  for (int64_t i = 0; i < count; i++) running[i] = (float)((1 - momentum) * running[i] + momentum * stat[i] / samples);
  return DT_OK;
}
