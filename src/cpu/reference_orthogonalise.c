/* ORTHOGONALISE as core/optim/muon.h has it. */
#include "core/optim/muon.h"

#include <string.h>

#include "cpu/reference.h"

/* x, what comes of it [rows][columns]; y, and the factor of x [rows][rows]. */
size_t dt_reference_orthogonalise_work(const dt_program *program) {
  size_t most = 0;
  for (int s = 0; s < program->segment_count; s++) {
    if (!program->segment[s].matrix) continue;
    const dt_muon_matrix m = dt_muon_matrix_of(&program->segment[s]);
    const size_t bytes = (size_t)(2 * m.rows * (m.columns + m.rows)) * sizeof(double);
    if (bytes > most) most = bytes;
  }
  return most;
}

static void make_factor(const double *x, int64_t rows, int64_t columns, double *y, double *factor) {
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t s = 0; s < rows; s++) {
      y[r * rows + s] = 0;
      for (int64_t c = 0; c < columns; c++) y[r * rows + s] += x[r * columns + c] * x[s * columns + c];
    }
  }
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t s = 0; s < rows; s++) {
      double square = 0;
      for (int64_t k = 0; k < rows; k++) square += y[r * rows + k] * y[k * rows + s];
      factor[r * rows + s] = DT_MUON_B * y[r * rows + s] + DT_MUON_C * square;
    }
  }
}

static void make_orthogonal(const dt_segment *at, double *grad, double *work) {
  const dt_muon_matrix m = dt_muon_matrix_of(at);
  double *x = work, *next = x + m.rows * m.columns, *y = next + m.rows * m.columns, *factor = y + m.rows * m.rows, sum = 0;
  for (int64_t i = 0; i < m.rows * m.columns; i++) sum += grad[i] * grad[i];
  for (int64_t r = 0; r < m.rows; r++) {
    for (int64_t c = 0; c < m.columns; c++)
      x[r * m.columns + c] =
          grad[r * m.row_step + c * m.column_step] / (sum < DT_MUON_EPS * DT_MUON_EPS ? DT_MUON_EPS : sqrt(sum));
  }
  for (int round = 0; round < DT_MUON_ROUNDS; round++) {
    make_factor(x, m.rows, m.columns, y, factor);
    for (int64_t r = 0; r < m.rows; r++) {
      for (int64_t c = 0; c < m.columns; c++) {
        next[r * m.columns + c] = DT_MUON_A * x[r * m.columns + c];
        for (int64_t k = 0; k < m.rows; k++) next[r * m.columns + c] += factor[r * m.rows + k] * x[k * m.columns + c];
      }
    }
    memcpy(x, next, (size_t)(m.rows * m.columns) * sizeof *x);
  }
  for (int64_t r = 0; r < m.rows; r++) {
    for (int64_t c = 0; c < m.columns; c++) grad[r * m.row_step + c * m.column_step] = x[r * m.columns + c];
  }
}

dt_status dt_reference_orthogonalise(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  for (int s = 0; s < program->segment_count; s++) {
    if (!program->segment[s].matrix || (run->owner != NULL && run->owner[s] != run->rank)) continue;
    make_orthogonal(&program->segment[s], (double *)run->blocks.grad + program->segment[s].first,
                    dt_reference_buffer(run, instr, micro, DT_ARG_WORK));
  }
  return DT_OK;
}
