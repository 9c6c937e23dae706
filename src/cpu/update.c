/* What happens once a step, on the sums over all shards in partial sum 0. Sums run over fixed pieces, so that the number of
 * threads cannot change a bit. */
#include "cpu/update.h"

#include <math.h>
#include <string.h>

#include "core/optim/average.h"
#include "core/optim/optimizer.h"
#include "cpu/simd/kernels.h"

enum {
  NORM_PIECE = 4096,   /* elements, at least */
  NORM_PIECES = 1024,  /* at most: longer gradients get longer pieces */
  UPDATE_PIECE = 8192, /* elements: gradient, parameter and a slot fit into L2 */
};

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

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

static dt_threads *threads_of(const dt_run *run) {
  return ((const dt_cpu *)run->device)->threads;
}

static double gradient_squares(const dt_run *run) {
  norm n = {.kernels = ((const dt_cpu *)run->device)->kernels,
            .grad = run->blocks.grad,
            .count = run->program->trained_elements,
            .piece = NORM_PIECE};
  while (n.piece * NORM_PIECES < n.count) n.piece *= 2;
  int pieces = (int)((n.count + n.piece - 1) / n.piece);
  dt_threads_run(threads_of(run), pieces, square_piece, &n);
  double sum = 0;
  for (int i = 0; i < pieces; i++) sum += n.sum[i];
  return sum;
}

dt_status dt_cpu_grad_norm(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  run->step->grad_norm = sqrt(gradient_squares(run)) / (double)run->step->batch_samples;
  run->step->scale = dt_step_clip(run->step) / (double)run->step->batch_samples;
  return DT_OK;
}

/* --- two passes over a batch --- */

typedef struct move {
  float *param, *kept; /* [count] */
  const float *grad;
  float factor;
  int64_t count;
} move;

static void ascend_piece(void *context, int index, int thread) {
  const move *m = context;
  const int64_t first = (int64_t)index * UPDATE_PIECE, end = smaller(first + UPDATE_PIECE, m->count);
  for (int64_t i = first; i < end; i++) {
    m->kept[i] = m->param[i];
    if (m->factor != 0) m->param[i] = m->param[i] + m->factor * m->grad[i];
  }
}

static void return_piece(void *context, int index, int thread) {
  const move *m = context;
  const int64_t first = (int64_t)index * UPDATE_PIECE;
  memcpy(m->param + first, m->kept + first, (size_t)smaller(UPDATE_PIECE, m->count - first) * sizeof *m->param);
}

static void run_move(const dt_run *run, double factor, void (*piece)(void *context, int index, int thread)) {
  move m = {.param = run->blocks.param,
            .kept = run->blocks.sum,
            .grad = run->blocks.grad,
            .factor = (float)factor,
            .count = run->program->trained_elements};
  dt_threads_run(threads_of(run), (int)((m.count + UPDATE_PIECE - 1) / UPDATE_PIECE), piece, &m);
}

dt_status dt_cpu_ascend(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  run_move(run, dt_step_ascent(run->step, gradient_squares(run)), ascend_piece);
  return DT_OK;
}

dt_status dt_cpu_return(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  run_move(run, 0, return_piece);
  return DT_OK;
}

/* --- tensors --- */

typedef struct tensor_norm {
  const dt_run *run;
  const dt_cpu_kernels *kernels;
  double *out; /* [tensors][2] */
} tensor_norm;

double dt_cpu_squares(const dt_cpu_kernels *kernels, const float *x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i += NORM_PIECE) sum += kernels->squares(x + i, smaller(count - i, NORM_PIECE));
  return sum;
}

static void norm_tensor(void *context, int index, int thread) {
  const tensor_norm *n = context;
  const dt_param *param = &n->run->program->param[index];
  const float *p = (const float *)n->run->blocks.param + param->offset, *g = (const float *)n->run->blocks.grad + param->offset;
  n->out[2 * index] = dt_cpu_squares(n->kernels, p, param->count);
  n->out[2 * index + 1] = dt_cpu_squares(n->kernels, g, param->count);
}

dt_status dt_cpu_tensor_norm(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  tensor_norm n = {
      .run = run, .kernels = ((const dt_cpu *)run->device)->kernels, .out = (double *)dt_cpu_arg(run, instr, micro, DT_ARG_Y)};
  dt_threads_run(threads_of(run), run->program->trained_count, norm_tensor, &n);
  return DT_OK;
}

/* --- units --- */

static void clip_tensor(void *context, int index, int thread) {
  const dt_run *run = context;
  const dt_cpu_kernels *kernels = ((const dt_cpu *)run->device)->kernels;
  const dt_segment *tensor = &run->program->segment[index];
  for (int64_t u = 0; u < tensor->units; u++) {
    const int64_t first = tensor->first + u * tensor->unit_count;
    float *g = (float *)run->blocks.grad + first;
    const double of_p = dt_cpu_squares(kernels, (const float *)run->blocks.param + first, tensor->unit_count);
    const double factor = dt_step_clip_unit(run->step, of_p, dt_cpu_squares(kernels, g, tensor->unit_count));
    const float by = (float)factor;
    for (int64_t i = 0; factor < 1 && i < tensor->unit_count; i++) g[i] = by * g[i];
  }
}

dt_status dt_cpu_clip_units(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_threads_run(threads_of(run), run->program->segment_count, clip_tensor, run);
  return DT_OK;
}

static void shorten_tensor(void *context, int index, int thread) {
  const dt_run *run = context;
  const dt_cpu_kernels *kernels = ((const dt_cpu *)run->device)->kernels;
  const dt_segment *tensor = &run->program->segment[index];
  for (int64_t u = 0; tensor->bounded && u < tensor->units; u++) {
    float *p = (float *)run->blocks.param + tensor->first + u * tensor->unit_count;
    const double factor = dt_step_shorten(run->step, dt_cpu_squares(kernels, p, tensor->unit_count));
    const float by = (float)factor;
    for (int64_t i = 0; factor < 1 && i < tensor->unit_count; i++) p[i] = by * p[i];
  }
}

dt_status dt_cpu_max_norm(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_threads_run(threads_of(run), run->program->segment_count, shorten_tensor, run);
  return DT_OK;
}

/* --- updates --- */

typedef struct update {
  const dt_run *run;
  const dt_bucket *bucket;
  const double *tensors; /* rows of what the optimizer's own instructions wrote; NULL where it has none */
  int64_t columns;
} update;

/* Elements [first, end) of the block, which lie in one segment. */
static void update_stretch(const update *u, const dt_segment *segment, int64_t first, int64_t end) {
  const dt_run *run = u->run;
  const dt_update how = {.attr = run->optimizer_attr,
                         .step = run->step,
                         .segment = segment,
                         .tensor = u->tensors != NULL ? u->tensors + segment->tensor * u->columns : NULL};
  float *slot[DT_SLOTS_MAX] = {NULL};
  for (int i = 0; i < run->optimizer->slots; i++) slot[i] = (float *)run->blocks.slot[i] + first;
  float *param = (float *)run->blocks.param + first;
  run->optimizer->update_f32(&how, end - first, param, (const float *)run->blocks.grad + first, slot);
  if (run->averages)
    dt_average_f32(run->step->average, end - first, param, (float *)run->blocks.slot[run->optimizer->slots] + first);
}

/* Elements of one segment. */
static void direct_stretch(const update *u, const dt_segment *segment, int64_t first, int64_t end) {
  const dt_run *run = u->run;
  const dt_update how = {.attr = run->optimizer_attr, .step = run->step, .segment = segment};
  float *slot[DT_SLOTS_MAX] = {NULL};
  for (int i = 0; i < run->optimizer->slots; i++) slot[i] = (float *)run->blocks.slot[i] + first;
  run->optimizer->direct_f32(&how, end - first, (const float *)run->blocks.param + first, (float *)run->blocks.grad + first,
                             slot);
}

/* Segment by segment. */
static void each_stretch(const update *u, int64_t first, int64_t end,
                         void (*run)(const update *u, const dt_segment *segment, int64_t first, int64_t end)) {
  const dt_program *program = u->run->program;
  const dt_segment *segment = &program->segment[dt_segment_find(program, first)];
  for (; first < end; segment++) {
    int64_t stop = smaller(end, segment->first + segment->count);
    run(u, segment, first, stop);
    first = stop;
  }
}

static void update_piece(void *context, int index, int thread) {
  const update *u = context;
  const int64_t first = u->bucket->first + (int64_t)index * UPDATE_PIECE;
  each_stretch(u, first, smaller(first + UPDATE_PIECE, u->bucket->first + u->bucket->param_count), update_stretch);
}

dt_status dt_cpu_update(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  update u = {.run = run, .bucket = &run->program->bucket[instr->bucket]};
  u.tensors = (const double *)dt_cpu_arg(run, instr, micro, DT_ARG_X);
  if (u.tensors != NULL) u.columns = dt_shape_count(&run->program->buffer[instr->arg[DT_ARG_X]].shape);
  dt_threads_run(threads_of(run), (int)((u.bucket->param_count + UPDATE_PIECE - 1) / UPDATE_PIECE), update_piece, &u);
  return DT_OK;
}

static void direct_piece(void *context, int index, int thread) {
  const update *u = context;
  const int64_t first = (int64_t)index * UPDATE_PIECE;
  each_stretch(u, first, smaller(first + UPDATE_PIECE, u->run->program->trained_elements), direct_stretch);
}

dt_status dt_cpu_direction(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  update u = {.run = run};
  dt_threads_run(threads_of(run), (int)((run->program->trained_elements + UPDATE_PIECE - 1) / UPDATE_PIECE), direct_piece, &u);
  return DT_OK;
}

dt_status dt_cpu_bn_update(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const float *stat = dt_cpu_arg(run, instr, NULL, DT_ARG_STAT);
  float *running = dt_cpu_arg(run, instr, NULL, DT_ARG_STATE);
  int64_t count = dt_shape_count(&run->program->buffer[instr->arg[DT_ARG_STATE]].shape);
  double samples = (double)run->step->batch_samples, momentum = instr->norm.momentum;
  for (int64_t i = 0; i < count; i++) running[i] = (float)((1 - momentum) * running[i] + momentum * stat[i] / samples);
  return DT_OK;
}
