/* y = act(conv(x, w) + b + addend), and y = maxpool(act(conv(x, w) + b)) with the argmax in aux.
 *
 * Shapes that winograd_serves names go to winograd.c, unless a pool is fused. Of the others, an output is the sum over (input
 * channel of the group, kernel row, kernel column) by fma from zero, then + b, + addend.
 * With a fused pool, a strip of two rows of the convolution lies on the stack, in the first cache, and goes no further. */
#include "cpu/simd/conv_job.h"
#include "cpu/simd/kernels.h"
#include "cpu/simd/winograd.h"

enum { POOL_COLUMNS = 64 };

typedef struct forward_job {
  conv_shape shape;
  conv_phase phase;
  conv_place place; /* of block 0 */
  bool pools;       /* a pool is fused */
  uint8_t *aux;     /* NULL without a pool, and in evaluation, where nobody asks for the argmax */
  int pooled[2];    /* height and width after the pool */
  int parts;
} forward_job;

static void forward_pack(void *context, int index, int thread) {
  const forward_job *job = context;
  conv_pack_tile(&job->phase, index);
}

static conv_phase forward_phase(const conv_shape *s, const float *w, float *packed) {
  const dt_window *k = &s->op.window;
  conv_phase phase = {
      .groups = s->op.groups, .in_channels = s->in_channels, .out_channels = s->out_channels, .w = w, .packed = packed};
  for (int a = 0; a < 2; a++) {
    phase.axis[a] = (conv_axis){.in = s->in[1 + a],
                                .out = s->out[1 + a],
                                .out_step = 1,
                                .step = k->stride[a],
                                .offset = -k->pad[a],
                                .tap_step = k->dilation[a],
                                .taps = k->kernel[a]};
  }
  phase.w_tap[1] = 1;
  phase.w_tap[0] = k->kernel[1];
  phase.w_in = (ptrdiff_t)k->kernel[0] * k->kernel[1];
  phase.w_out = s->in_channels * phase.w_in;
  phase.w_group = s->out_channels * phase.w_out;
  return phase;
}

/* The largest of a 2x2 window, the first of equals, and its place in the window, unless argmax is NULL. */
VEC v16 pool_window(const float *top, const float *bottom, uint8_t *argmax) {
  v16 best = v16_load(top), place = v16_zero();
  const float *others[3] = {top + 16, bottom, bottom + 16};
  for (int i = 0; i < 3; i++) {
    v16 v = v16_load(others[i]);
    m16 larger = v16_gt(v, best);
    best = v16_select(larger, v, best);
    place = v16_select(larger, v16_set1((float)(i + 1)), place);
  }
  if (argmax != NULL) v16_store_u8(argmax, place);
  return best;
}

/* One tile of channels, two rows and up to POOL_COLUMNS columns of the convolution, pooled into one row of y. */
static void forward_pool_strip(const forward_job *job, conv_place place, conv_range range, ptrdiff_t y_block) {
  _Alignas(64) float rows[CONV_CO][2][POOL_COLUMNS][16]; /* a vector astride two cache lines costs half as much again */
  place.y = rows[0][0][0];
  place.y_row = POOL_COLUMNS * 16;
  place.y_channel = 2 * place.y_row;
  conv_sweep(&job->phase, &place, &range);
  int count = conv_tile_channels(&job->phase, range.tile).count, columns = (range.column_end - range.column) / 2;
  for (int c = 0; c < count; c++) {
    ptrdiff_t row = (ptrdiff_t)(place.first_channel + c) * job->pooled[0] + range.row / 2;
    ptrdiff_t y = y_block + (row * job->pooled[1] + range.column / 2) * 16;
    for (int i = 0; i < columns; i++, y += 16) {
      v16_store(job->place.y + y, pool_window(rows[c][0][2 * i], rows[c][1][2 * i], job->aux == NULL ? NULL : job->aux + y));
    }
  }
}

static void forward_pool_tile(const forward_job *job, conv_place place, ptrdiff_t y_block, int tile) {
  conv_channels channels = conv_tile_channels(&job->phase, tile);
  place.first_channel = channels.group * job->phase.out_channels + channels.first;
  int rows = 2 * job->pooled[0], columns = 2 * job->pooled[1];
  for (int row = 0; row < rows; row += 2) {
    for (int column = 0; column < columns; column += POOL_COLUMNS) {
      int column_end = column + POOL_COLUMNS < columns ? column + POOL_COLUMNS : columns;
      place.first_row = row;
      place.first_column = column;
      forward_pool_strip(job, place, (conv_range){tile, tile + 1, row, row + 2, column, column_end}, y_block);
    }
  }
}

static void forward_task(void *context, int index, int thread) {
  const forward_job *job = context;
  const conv_shape *s = &job->shape;
  int block = index / job->parts, part = index % job->parts, tiles = conv_tiles(&job->phase);
  int tile = tiles * part / job->parts, tile_end = tiles * (part + 1) / job->parts;
  conv_place place = job->place;
  place.x += block * s->in[0] * s->in_plane;
  if (job->pools) {
    ptrdiff_t y = (ptrdiff_t)block * s->out[0] * job->pooled[0] * job->pooled[1] * 16;
    for (; tile < tile_end; tile++) forward_pool_tile(job, place, y, tile);
    return;
  }
  ptrdiff_t y = block * s->out[0] * s->out_plane;
  place.y += y;
  if (place.addend != NULL) place.addend += y;
  conv_sweep(&job->phase, &place, &(conv_range){tile, tile_end, 0, s->out[1], 0, s->out[2]});
}

static bool forward_by_winograd(const dt_instr *instr, const conv_phase *phase) {
  return instr->conv.pool.window.kernel[0] == 0 && winograd_serves(phase);
}

/* The output channels are those of y, fused pool or not. */
static conv_shape forward_shape(const dt_program *program, const dt_instr *instr) {
  int out_channels = (int)program->buffer[instr->arg[DT_ARG_Y]].shape.dim[0];
  return conv_shape_make(&instr->conv, &program->buffer[instr->arg[DT_ARG_X]].shape, out_channels);
}

size_t DT_SIMD(dt_cpu_conv_fwd_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  conv_shape shape = forward_shape(program, instr);
  conv_phase phase = forward_phase(&shape, NULL, NULL);
  if (forward_by_winograd(instr, &phase)) return conv_round64(winograd_work(&phase, device->threads));
  return conv_round64(shape.weights * sizeof(float));
}

dt_status DT_SIMD(dt_cpu_conv_fwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  dt_threads *threads = ((dt_cpu *)run->device)->threads;
  const dt_shape *out = &program->buffer[instr->arg[DT_ARG_Y]].shape;
  forward_job job = {.shape = forward_shape(program, instr)};
  job.phase = forward_phase(&job.shape, dt_cpu_arg(run, instr, micro, DT_ARG_W), dt_cpu_arg(run, instr, micro, DT_ARG_WORK));
  job.place = (conv_place){.x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
                           .y = dt_cpu_arg(run, instr, micro, DT_ARG_Y),
                           .addend = dt_cpu_arg(run, instr, micro, DT_ARG_ADDEND),
                           .bias = dt_cpu_arg(run, instr, micro, DT_ARG_B),
                           .y_channel = job.shape.out_plane,
                           .y_row = (ptrdiff_t)job.shape.out[2] * 16,
                           .act = instr->act};
  if (instr->conv.pool.window.kernel[0] > 0) {
    job.pools = true;
    job.aux = (uint8_t *)dt_cpu_arg(run, instr, micro, DT_ARG_AUX);
    job.pooled[0] = (int)out->dim[1];
    job.pooled[1] = (int)out->dim[2];
    DT_ASSERT(job.place.addend == NULL);
  }
  int blocks = micro->shard_count * dt_cpu_shard_blocks(program), tiles = conv_tiles(&job.phase);
  if (forward_by_winograd(instr, &job.phase)) {
    winograd_run(threads, &job.phase, &job.place, blocks);
    return DT_OK;
  }
  job.parts = conv_parts(blocks, tiles, dt_threads_count(threads));
  dt_threads_run(threads, tiles, forward_pack, &job);
  dt_threads_run(threads, blocks * job.parts, forward_task, &job);
  return DT_OK;
}
