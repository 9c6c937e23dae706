/* ORTHOGONALISE as core/optim/muon.h has it, on panels: a matrix [rows][columns] as blocks of 16 columns, [block][row][16],
 * zeros beyond the last column. Each element is a sum over one depth in the order of cpu/simd/sums.h, whoever makes it. */
#include "core/optim/muon.h"

#include <string.h>

#include "cpu/simd/kernels.h"
#include "cpu/update.h"

enum { LANES = 16, BLOCKS_AT_ONCE = 3 };

static int64_t blocks_of(int64_t columns) {
  return (columns + LANES - 1) / LANES;
}

/* x and what comes of it as panels, x by rows and x transposed as panels; y and y y as panels, a factor by rows. */
static size_t floats_of(const dt_muon_matrix *m) {
  const int64_t wide = blocks_of(m->columns) * LANES, square = blocks_of(m->rows) * LANES;
  return (size_t)(m->rows * (2 * wide + m->columns) + m->columns * square + m->rows * (2 * square + m->rows));
}

size_t dt_cpu_orthogonalise_work(const dt_program *program) {
  size_t most = 0;
  for (int s = 0; s < program->segment_count; s++) {
    if (!program->segment[s].matrix) continue;
    const dt_muon_matrix m = dt_muon_matrix_of(&program->segment[s]);
    if (floats_of(&m) > most) most = floats_of(&m);
  }
  return most * sizeof(float);
}

/* y = a x, panels x and y. */
typedef struct job {
  const dt_cpu_kernels *kernels;
  const float *a, *x;
  int64_t rows, depth, blocks;
  float *y;
} job;

static void multiply_blocks(void *context, int index, int thread) {
  const job *j = context;
  const int64_t first = (int64_t)index * BLOCKS_AT_ONCE, left = j->blocks - first;
  j->kernels->multiply(j->a, j->rows, j->depth, j->x + first * j->depth * LANES, left < BLOCKS_AT_ONCE ? left : BLOCKS_AT_ONCE,
                       j->y + first * j->rows * LANES);
}

static void multiply(const dt_run *run, const float *a, const float *x, int64_t rows, int64_t depth, int64_t blocks, float *y) {
  const dt_cpu *cpu = (const dt_cpu *)run->device;
  job j = {.kernels = cpu->kernels, .a = a, .x = x, .rows = rows, .depth = depth, .blocks = blocks, .y = y};
  dt_threads_run(cpu->threads, (int)((blocks + BLOCKS_AT_ONCE - 1) / BLOCKS_AT_ONCE), multiply_blocks, &j);
}

/* Element (r, c) of panels. */
static int64_t place(int64_t rows, int64_t r, int64_t c) {
  return (c / LANES * rows + r) * LANES + c % LANES;
}

static void make_orthogonal(const dt_run *run, const dt_segment *at, float *grad, float *work) {
  const dt_muon_matrix m = dt_muon_matrix_of(at);
  const int64_t wide = blocks_of(m.columns), square = blocks_of(m.rows), panel = wide * m.rows * LANES;
  float *x = work, *next = x + panel, *rows = next + panel, *turned = rows + m.rows * m.columns;
  float *y = turned + square * m.columns * LANES, *squared = y + square * m.rows * LANES;
  float *factor = squared + square * m.rows * LANES;
  const double length = sqrt(dt_cpu_squares(((const dt_cpu *)run->device)->kernels, grad, at->units * at->unit_count));
  const float scale = (float)(1 / (length < DT_MUON_EPS ? DT_MUON_EPS : length));
  memset(x, 0, (size_t)panel * sizeof *x);
  memset(turned, 0, (size_t)(square * m.columns * LANES) * sizeof *turned);
  for (int64_t r = 0; r < m.rows; r++) {
    for (int64_t c = 0; c < m.columns; c++) x[place(m.rows, r, c)] = scale * grad[r * m.row_step + c * m.column_step];
  }
  for (int round = 0; round < DT_MUON_ROUNDS; round++) {
    for (int64_t r = 0; r < m.rows; r++) {
      for (int64_t c = 0; c < m.columns; c++) rows[r * m.columns + c] = turned[place(m.columns, c, r)] = x[place(m.rows, r, c)];
    }
    multiply(run, rows, turned, m.rows, m.columns, square, y);
    for (int64_t r = 0; r < m.rows; r++) {
      for (int64_t s = 0; s < m.rows; s++) factor[r * m.rows + s] = y[place(m.rows, r, s)];
    }
    multiply(run, factor, y, m.rows, m.rows, square, squared);
    for (int64_t r = 0; r < m.rows; r++) {
      for (int64_t s = 0; s < m.rows; s++) {
        const int64_t i = place(m.rows, r, s);
        factor[r * m.rows + s] = (float)DT_MUON_B * y[i] + (float)DT_MUON_C * squared[i];
      }
    }
    multiply(run, factor, x, m.rows, m.rows, wide, next);
    for (int64_t i = 0; i < panel; i++) x[i] = (float)DT_MUON_A * x[i] + next[i];
  }
  for (int64_t r = 0; r < m.rows; r++) {
    for (int64_t c = 0; c < m.columns; c++) grad[r * m.row_step + c * m.column_step] = x[place(m.rows, r, c)];
  }
}

dt_status dt_cpu_orthogonalise(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  for (int s = 0; s < program->segment_count; s++) {
    if (!program->segment[s].matrix || (run->owner != NULL && run->owner[s] != run->rank)) continue;
    make_orthogonal(run, &program->segment[s], (float *)run->blocks.grad + program->segment[s].first,
                    dt_cpu_arg(run, instr, micro, DT_ARG_WORK));
  }
  return DT_OK;
}
