/* ORTHOGONALISE as core/optim/muon.h has it: one tensor after another, each by plain products in tiles, in fp32. Every rank
 * does all of them: nothing is sent. */
#include "gpu/kernel.cuh"

#include "core/optim/muon.h"

namespace {

enum { TILE = 16 };

/* Elements (r, c) of a matrix at r * row + c * column. */
struct view {
  const float *x;
  int64_t row, column;
};

/* out = u / max(|u|, eps), by one block. */
__global__ void normalise(const float *u, dt_muon_matrix m, float *out) {
  __shared__ double store[DT_BLOCK];
  const int64_t count = m.rows * m.columns;
  const int t = (int)threadIdx.x;
  double sum = 0;
  for (int64_t i = t; i < count; i += DT_BLOCK) sum += (double)u[i] * (double)u[i];
  store[t] = sum;
  for (int half = DT_BLOCK / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) store[t] += store[t + half];
  }
  __syncthreads();
  const float scale = (float)(1 / (store[0] < DT_MUON_EPS * DT_MUON_EPS ? DT_MUON_EPS : sqrt(store[0])));
  for (int64_t i = t; i < count; i += DT_BLOCK) {
    const int64_t r = i / m.columns, c = i % m.columns;
    out[i] = scale * u[r * m.row_step + c * m.column_step];
  }
}

/* out [rows][columns] = product * (a b) + sum * addend, a [rows][depth], b [depth][columns]; out may be written in another
 * order. */
__global__ void multiply(view a, view b, view addend, float product, float sum, int64_t rows, int64_t columns, int64_t depth,
                         float *out, int64_t out_row, int64_t out_column) {
  __shared__ float left[TILE][TILE], right[TILE][TILE];
  const int i = (int)threadIdx.x / TILE, k = (int)threadIdx.x % TILE;
  const int64_t r = (int64_t)blockIdx.y * TILE + i, c = (int64_t)blockIdx.x * TILE + k;
  float total = 0;
  for (int64_t first = 0; first < depth; first += TILE) {
    left[i][k] = r < rows && first + k < depth ? a.x[r * a.row + (first + k) * a.column] : 0;
    right[i][k] = first + i < depth && c < columns ? b.x[(first + i) * b.row + c * b.column] : 0;
    __syncthreads();
    for (int d = 0; d < TILE; d++) total += left[i][d] * right[d][k];
    __syncthreads();
  }
  if (r >= rows || c >= columns) return;
  const float added = addend.x != NULL ? sum * addend.x[r * addend.row + c * addend.column] : 0;
  out[r * out_row + c * out_column] = product * total + added;
}

struct product {
  view a, b, addend;
  float product, sum;
  int64_t rows, columns, depth;
};

dt_status launch(const product &p, float *out, int64_t out_row, int64_t out_column, cudaStream_t stream) {
  const dim3 grid((unsigned)((p.columns + TILE - 1) / TILE), (unsigned)((p.rows + TILE - 1) / TILE));
  DT_LAUNCH(multiply, grid, dim3(TILE * TILE), stream, p.a, p.b, p.addend, p.product, p.sum, p.rows, p.columns, p.depth, out,
            out_row, out_column);
  return DT_OK;
}

dt_status make_orthogonal(const dt_segment *at, float *grad, float *work, cudaStream_t stream) {
  const dt_muon_matrix m = dt_muon_matrix_of(at);
  float *x = work, *next = x + m.rows * m.columns, *y = next + m.rows * m.columns, *factor = y + m.rows * m.rows;
  DT_LAUNCH(normalise, dim3(1), dim3(DT_BLOCK), stream, static_cast<const float *>(grad), m, x);
  for (int round = 0; round < DT_MUON_ROUNDS; round++) {
    const view own = {x, m.columns, 1}, turned = {x, 1, m.columns}, square = {y, m.rows, 1}, by = {factor, m.rows, 1};
    const bool last = round + 1 == DT_MUON_ROUNDS;
    DT_TRY(launch({own, turned, {}, 1, 0, m.rows, m.rows, m.columns}, y, m.rows, 1, stream));
    DT_TRY(launch({square, square, square, (float)DT_MUON_C, (float)DT_MUON_B, m.rows, m.rows, m.rows}, factor, m.rows, 1,
                  stream));
    DT_TRY(launch({by, own, own, 1, (float)DT_MUON_A, m.rows, m.columns, m.rows}, last ? grad : next,
                  last ? m.row_step : m.columns, last ? m.column_step : 1, stream));
    float *const old = x;
    x = next;
    next = old;
  }
  return DT_OK;
}

size_t floats_of(const dt_segment *at) {
  const dt_muon_matrix m = dt_muon_matrix_of(at);
  return at->matrix ? (size_t)(2 * m.rows * (m.columns + m.rows)) : 0;
}

}  // namespace

dt_status dt_gpu_orthogonalise_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  *out = 0;
  for (int s = 0; s < program->segment_count; s++) {
    const size_t bytes = floats_of(&program->segment[s]) * sizeof(float);
    if (bytes > *out) *out = bytes;
  }
  return DT_OK;
}

dt_status dt_gpu_orthogonalise(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  float *work = static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_WORK));
  for (int s = 0; s < run->program->segment_count; s++) {
    const dt_segment *at = &run->program->segment[s];
    if (at->matrix)
      DT_TRY(make_orthogonal(at, static_cast<float *>(run->blocks.grad) + at->first, work, dt_gpu_stream(run, instr)));
  }
  return DT_OK;
}
