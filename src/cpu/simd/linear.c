/* Fully connected layers: forward and input gradient. Threads take rows of the output, for all blocks where there are rows
 * enough, since then a row of weights is read once. */
#include "cpu/simd/linear_blas.h"

enum {
  GROUP_ROWS = 32,   /* rows of a task */
  PANEL = 16,        /* columns of w side by side in a packed panel */
  BLOCKS_MANY = 24,  /* blocks of a task when there are enough tasks by rows alone */
  BLOCKS_FEW = 2,
  TASKS_ENOUGH = 8,
};

typedef struct linear {
  product all;
  int64_t rows, blocks, group_blocks;
  int row_groups;
  /* Input gradient only: */
  const float *w; /* [outputs][rows] */
  float *work;    /* [threads][outputs][PANEL] */
} linear;

static int divide_up(int64_t a, int64_t b) {
  return (int)((a + b - 1) / b);
}

static void set_groups(linear *l) {
  l->row_groups = divide_up(l->rows, GROUP_ROWS);
  bool enough = l->row_groups * divide_up(l->blocks, BLOCKS_MANY) >= TASKS_ENOUGH;
  l->group_blocks = enough ? BLOCKS_MANY : BLOCKS_FEW;
}

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* The product over rows [row, row + rows) of one group of blocks; a points at the factors of these rows. */
static void multiply(const linear *l, const float *a, int64_t row, int64_t rows, int group) {
  int64_t block = group * l->group_blocks, place = block * l->all.y_block + row * 16;
  product p = l->all;
  p.a = a;
  p.x += block * p.x_block;
  p.y += place;
  p.bias = at(p.bias, row);
  p.addend = at(p.addend, place);
  p.mask = at(p.mask, place);
  DT_SIMD(dt_cpu_product)(&p, rows, smaller(l->blocks - block, l->group_blocks));
}

static int task_count(const linear *l) {
  return l->row_groups * divide_up(l->blocks, l->group_blocks);
}

static void forward_task(void *context, int index, int thread) {
  const linear *l = context;
  int64_t row = index % l->row_groups * GROUP_ROWS;
  multiply(l, l->all.a + row * l->all.a_row, row, smaller(l->rows - row, GROUP_ROWS), index / l->row_groups);
}

static bool uses_blas(const dt_device *device) {
  return ((const dt_cpu *)device)->blas != NULL;
}

size_t DT_SIMD(dt_cpu_linear_fwd_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  int64_t inputs = dt_shape_count(&program->buffer[instr->arg[DT_ARG_X]].shape);
  return uses_blas(device) ? DT_SIMD(dt_cpu_blas_product_bytes)(device, program, inputs) : 0;
}

dt_status DT_SIMD(dt_cpu_linear_fwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  int64_t inputs = arg_count(run, instr, DT_ARG_X), outputs = arg_count(run, instr, DT_ARG_Y);
  linear l = {.rows = outputs, .blocks = micro_batch_blocks(run, micro)};
  l.all = (product){.a = dt_cpu_arg(run, instr, micro, DT_ARG_W),
                    .a_row = inputs,
                    .a_step = 1,
                    .x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
                    .x_block = inputs * 16,
                    .depth = inputs,
                    .y = dt_cpu_arg(run, instr, micro, DT_ARG_Y),
                    .y_block = outputs * 16,
                    .bias = dt_cpu_arg(run, instr, micro, DT_ARG_B),
                    .addend = dt_cpu_arg(run, instr, micro, DT_ARG_ADDEND),
                    .act = instr->act};
  if (uses_blas(run->device)) {
    DT_SIMD(dt_cpu_blas_product)(run, &l.all, l.all.a, outputs, true, micro->shard_count, dt_cpu_arg(run, instr, micro, DT_ARG_WORK));
    return DT_OK;
  }
  set_groups(&l);
  dt_threads_run(run_threads(run), task_count(&l), forward_task, &l);
  return DT_OK;
}

/* Copies columns [column, column + PANEL) of w into [outputs][PANEL]: a product walks down the columns, and rows of w that are
 * a power of two long would meet in a few sets of the cache. Columns beyond w's width stay as they are; nobody reads them. */
static void pack_panel(const linear *l, int64_t column, float *panel) {
  int64_t outputs = l->all.depth, width = smaller(l->rows - column, PANEL);
  const float *w = l->w + column;
  for (int64_t o = 0; o < outputs; o++, w += l->rows, panel += PANEL) {
    if (width == PANEL) {
      v16_store(panel, v16_load(w));
    } else {
      memcpy(panel, w, (size_t)width * sizeof *w);
    }
  }
}

static void input_gradient_task(void *context, int index, int thread) {
  const linear *l = context;
  int64_t row = index % l->row_groups * GROUP_ROWS, end = smaller(l->rows, row + GROUP_ROWS);
  for (int64_t column = row; column < end; column += PANEL) {
    float *panel = l->work + thread * (l->all.depth * PANEL);
    pack_panel(l, column, panel);
    multiply(l, panel, column, smaller(end - column, PANEL), index / l->row_groups);
  }
}

size_t DT_SIMD(dt_cpu_linear_dgrad_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  int64_t outputs = dt_shape_count(&program->buffer[instr->arg[DT_ARG_DY]].shape);
  if (uses_blas(device)) return DT_SIMD(dt_cpu_blas_product_bytes)(device, program, outputs);
  return (size_t)(device->threads * outputs * PANEL) * sizeof(float);
}

dt_status DT_SIMD(dt_cpu_linear_dgrad)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  int64_t inputs = arg_count(run, instr, DT_ARG_DX), outputs = arg_count(run, instr, DT_ARG_DY);
  linear l = {.rows = inputs, .blocks = micro_batch_blocks(run, micro)};
  l.w = dt_cpu_arg(run, instr, micro, DT_ARG_W);
  l.work = dt_cpu_arg(run, instr, micro, DT_ARG_WORK);
  l.all = (product){.a_row = 1,
                    .a_step = PANEL,
                    .x = dt_cpu_arg(run, instr, micro, DT_ARG_DY),
                    .x_block = outputs * 16,
                    .depth = outputs,
                    .y = dt_cpu_arg(run, instr, micro, DT_ARG_DX),
                    .y_block = inputs * 16,
                    .addend = dt_cpu_arg(run, instr, micro, DT_ARG_ADDEND),
                    .mask = dt_cpu_arg(run, instr, micro, DT_ARG_MASK)};
  if (l.all.mask != NULL) l.all.act = instr->act;
  if (uses_blas(run->device)) {
    DT_SIMD(dt_cpu_blas_product)(run, &l.all, l.w, inputs, false, micro->shard_count, l.work);
    return DT_OK;
  }
  set_groups(&l);
  dt_threads_run(run_threads(run), task_count(&l), input_gradient_task, &l);
  return DT_OK;
}
