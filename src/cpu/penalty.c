/* Penalties of parameters. Sums run over fixed pieces, and within them over fixed lanes, so that neither threads nor a
 * compiler's vectors can change a bit. */
#include <math.h>

#include "core/program/lowering.h"
#include "cpu/update.h"

enum {
  PIECE = 4096,  /* elements, at least */
  PIECES = 1024, /* at most: longer blocks get longer pieces */
  LANES = 8,     /* of a sum; segments and pieces are multiples of them */
};
_Static_assert(DT_ALIGN_ELEMENTS % LANES == 0, "stretches are whole lanes");

typedef struct penalty {
  const dt_run *run;
  float of_sign, of_param; /* what the summed gradient gets of the sign of a parameter, and of the parameter */
  int64_t piece;
  double magnitudes[PIECES], squares[PIECES];
} penalty;

/* A sum over lanes: their order is no accident of the compiler. */
static double fold(const double *lane) {
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

static void penalise_stretch(penalty *of, int index, int64_t first, int64_t end) {
  const float *restrict p = of->run->blocks.param;
  float *restrict g = of->run->blocks.grad;
  const float s = of->of_sign, by = of->of_param;
  double magnitude[LANES] = {0}, square[LANES] = {0};
  for (int64_t i = first; i < end; i += LANES) {
    for (int k = 0; k < LANES; k++) {
      const float x = p[i + k];
      magnitude[k] += fabs((double)x);
      square[k] += (double)x * (double)x;
      g[i + k] = g[i + k] + ((x > 0 ? s : x < 0 ? -s : 0) + by * x);
    }
  }
  of->magnitudes[index] += fold(magnitude);
  of->squares[index] += fold(square);
}

static void penalise_piece(void *context, int index, int thread) {
  penalty *of = context;
  const dt_program *program = of->run->program;
  int64_t first = (int64_t)index * of->piece, end = first + of->piece;
  if (end > program->trained_elements) end = program->trained_elements;
  const dt_segment *segment = &program->segment[dt_segment_find(program, first)];
  for (; first < end; segment++) {
    const int64_t stop = segment->first + segment->count < end ? segment->first + segment->count : end;
    if (segment->decay) penalise_stretch(of, index, first, stop);
    first = stop;
  }
}

dt_status dt_cpu_penalty(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_step *step = run->step;
  const int64_t count = run->program->trained_elements;
  penalty of = {.run = run,
                .of_sign = (float)(step->l1 * (double)step->batch_samples),
                .of_param = (float)(step->l2 * (double)step->batch_samples),
                .piece = PIECE};
  while (of.piece * PIECES < count) of.piece *= 2;
  const int pieces = (int)((count + of.piece - 1) / of.piece);
  dt_threads_run(((const dt_cpu *)run->device)->threads, pieces, penalise_piece, &of);
  double magnitudes = 0, squares = 0;
  for (int i = 0; i < pieces; i++) magnitudes += of.magnitudes[i], squares += of.squares[i];
  step->penalty = step->l1 * magnitudes + step->l2 / 2 * squares;
  return DT_OK;
}
