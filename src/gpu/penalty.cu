/* Penalties of parameters, in the roundings of the cpu's, so that equal gradients stay equal. */
#include "gpu/fold.cuh"
#include "gpu/pack.cuh"

namespace {

enum {
  PACK = 4,
  PIECE = 8192,  /* elements of a block of threads, at least, where all parameters are penalised alike */
  PIECES = 1024, /* at most: longer blocks get longer pieces */
};

struct cut {
  int64_t length; /* of a piece; those of a program that is not uniform have their own */
  int pieces;
};

/* The program's own pieces (pieces.c) where not all parameters are alike. */
cut cut_of(const dt_program *program) {
  if (!dt_program_is_uniform(program)) return {0, dt_gpu_pieces_fill(program, NULL)};
  cut c = {PIECE, 0};
  while (c.length * PIECES < program->trained_elements) c.length *= 2;
  c.pieces = (int)((program->trained_elements + c.length - 1) / c.length);
  return c;
}

struct sums {
  double magnitudes, squares;
};

/* A block for each piece. A gradient is in the unit of the scaled loss (loss_scale; NULL: there is none). */
__global__ void penalise(const dt_segment *piece, dt_segment whole, int64_t length, const float *param, float *grad,
                         const float *loss_scale, const dt_step *step, sums *partial) {
  dt_segment own = whole;
  if (piece != NULL) {
    own = piece[blockIdx.x];
  } else {
    own.first += blockIdx.x * length;
    own.count = own.count - blockIdx.x * length < length ? own.count - blockIdx.x * length : length;
  }
  const double samples = (double)step->batch_samples * (loss_scale != NULL ? (double)loss_scale[DT_LOSS_SCALE_NEXT] : 1);
  const float of_sign = (float)(step->l1 * samples), of_param = (float)(step->l2 * samples);
  double magnitudes = 0, squares = 0;
  for (int64_t i = own.first + (int64_t)threadIdx.x * PACK; own.decay && i < own.first + own.count; i += DT_BLOCK * PACK) {
    float p[PACK], g[PACK];
    dt_read<PACK>(param + i, p);
    dt_read<PACK>(grad + i, g);
    for (int k = 0; k < PACK; k++) {
      const float sign = p[k] > 0 ? of_sign : p[k] < 0 ? -of_sign : 0;
      magnitudes += fabs((double)p[k]);
      squares += (double)p[k] * (double)p[k];
      g[k] = __fadd_rn(g[k], __fadd_rn(sign, __fmul_rn(of_param, p[k])));
    }
    dt_write<PACK>(grad + i, g);
  }
  magnitudes = dt_fold_block(magnitudes);
  __syncthreads();
  squares = dt_fold_block(squares);
  if (threadIdx.x == 0) partial[blockIdx.x] = {magnitudes, squares};
}

/* One block. */
__global__ void finish_penalty(const sums *partial, int pieces, dt_step *step) {
  double magnitudes = 0, squares = 0;
  for (int i = (int)threadIdx.x; i < pieces; i += DT_BLOCK) {
    magnitudes += partial[i].magnitudes;
    squares += partial[i].squares;
  }
  magnitudes = dt_fold_block(magnitudes);
  __syncthreads();
  squares = dt_fold_block(squares);
  if (threadIdx.x == 0) step->penalty = step->l1 * magnitudes + step->l2 / 2 * squares;
}

}  // namespace

dt_status dt_gpu_penalty_work(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, size_t *out) {
  *out = (size_t)cut_of(program).pieces * sizeof(sums);
  return DT_OK;
}

dt_status dt_gpu_penalty(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  const cut c = cut_of(program);
  const dt_gpu_stretch all = {0, program->trained_elements};
  const dt_segment *piece = dt_program_is_uniform(program) ? NULL : dt_gpu_pieces_of(run, &all).piece;
  sums *partial = static_cast<sums *>(dt_gpu_arg(run, instr, micro, DT_ARG_WORK));
  dt_step *step = dt_gpu_input_of(run, micro).step;
  cudaStream_t stream = dt_gpu_stream(run, instr);
  DT_LAUNCH(penalise, dim3((unsigned)c.pieces), dim3(DT_BLOCK), stream, piece, program->segment[0], c.length,
            static_cast<const float *>(run->blocks.param), static_cast<float *>(run->blocks.grad), dt_gpu_loss_scale(run), step,
            partial);
  DT_LAUNCH(finish_penalty, dim3(1), dim3(DT_BLOCK), stream, partial, c.pieces, step);
  return DT_OK;
}
