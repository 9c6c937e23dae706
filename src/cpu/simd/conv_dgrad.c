/* dx = (transpose of conv)(dy, w) [+ addend] [* act'(mask)].
 *
 * Shapes that winograd_serves names go to winograd.c. Of the others, a gradient is the sum over (output channel of the group,
 * row of dy, column of dy), both ascending, by fma from zero. With stride s the inputs fall into s phases an axis by the
 * remainder of their place; each phase is a sweep of its own over the kernel taps that reach it (conv_sweep.h), so every
 * input has one owner and nothing is added into memory. */
#include "cpu/simd/conv_job.h"
#include "cpu/simd/kernels.h"
#include "cpu/simd/winograd.h"

typedef struct backward_job {
  conv_shape shape;
  const float *w;
  float *packed;
  conv_place place; /* of block 0 */
  int parts;
} backward_job;

static int greatest_common_divisor(int a, int b) {
  while (b != 0) {
    int rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

/* The inputs at remainder r of the stride: input place r + t * stride meets kernel tap k in dy at t + (r + pad - k * dilation)
 * / stride, where that divides. The last such tap, in *last, comes first, since it meets the first row of dy. */
static conv_axis backward_axis(const conv_shape *s, int a, int r, int *last, int *tap_step) {
  const dt_window *k = &s->op.window;
  int stride = k->stride[a], dilation = k->dilation[a];
  conv_axis axis = {.in = s->out[1 + a], .out_first = r, .out_step = stride, .step = 1, .tap_step = 1};
  axis.out = s->in[1 + a] > r ? (s->in[1 + a] - r + stride - 1) / stride : 0;
  int divisor = greatest_common_divisor(stride, dilation);
  *tap_step = stride / divisor;
  *last = 0;
  for (int tap = 0; tap < k->kernel[a]; tap++) {
    if ((r + k->pad[a] - tap * dilation) % stride != 0) continue;
    axis.taps++;
    *last = tap;
  }
  if (axis.taps > 0) {
    axis.offset = (r + k->pad[a] - *last * dilation) / stride;
    axis.tap_step = dilation / divisor;
  }
  return axis;
}

/* Phase (row, column) of the stride; `packed` is where its weights are packed. */
static conv_phase backward_phase(const backward_job *job, int row, int column, float *packed) {
  const conv_shape *s = &job->shape;
  const dt_window *k = &s->op.window;
  int last[2], tap_step[2];
  conv_phase phase = {.groups = s->op.groups, .in_channels = s->out_channels, .out_channels = s->in_channels, .packed = packed};
  phase.axis[0] = backward_axis(s, 0, row, &last[0], &tap_step[0]);
  phase.axis[1] = backward_axis(s, 1, column, &last[1], &tap_step[1]);
  if (job->w != NULL) phase.w = job->w + last[0] * k->kernel[1] + last[1]; /* NULL where only sizes are asked for */
  phase.w_tap[0] = -(ptrdiff_t)tap_step[0] * k->kernel[1];
  phase.w_tap[1] = -(ptrdiff_t)tap_step[1];
  phase.w_out = (ptrdiff_t)k->kernel[0] * k->kernel[1];
  phase.w_in = s->in_channels * phase.w_out;
  phase.w_group = s->out_channels * phase.w_in;
  return phase;
}

typedef void phase_fn(const conv_phase *phase, void *context);

/* Calls fn for each phase with its place in the packed weights. */
static void backward_each_phase(const backward_job *job, phase_fn *fn, void *context) {
  float *packed = job->packed;
  for (int row = 0; row < job->shape.op.window.stride[0]; row++) {
    for (int column = 0; column < job->shape.op.window.stride[1]; column++) {
      conv_phase phase = backward_phase(job, row, column, packed);
      fn(&phase, context);
      packed += conv_packed_count(&phase);
    }
  }
}

static void pack_phase(const conv_phase *phase, void *context) {
  conv_pack_tile(phase, *(const int *)context);
}

static void backward_pack(void *context, int index, int thread) {
  backward_each_phase(context, pack_phase, &index);
}

typedef struct backward_part {
  conv_place place;
  int tile, tile_end;
} backward_part;

static void sweep_phase(const conv_phase *phase, void *context) {
  const backward_part *part = context;
  conv_range range = {part->tile, part->tile_end, 0, phase->axis[0].out, 0, phase->axis[1].out};
  conv_sweep(phase, &part->place, &range);
}

static int backward_tiles(const backward_job *job) {
  conv_phase phase = backward_phase(job, 0, 0, job->packed);
  return conv_tiles(&phase);
}

static void backward_task(void *context, int index, int thread) {
  const backward_job *job = context;
  const conv_shape *s = &job->shape;
  int block = index / job->parts, i = index % job->parts, tiles = backward_tiles(job);
  backward_part part = {.place = job->place, .tile = tiles * i / job->parts, .tile_end = tiles * (i + 1) / job->parts};
  ptrdiff_t dx = block * s->in[0] * s->in_plane;
  part.place.x += block * s->out[0] * s->out_plane;
  part.place.y += dx;
  if (part.place.addend != NULL) part.place.addend += dx;
  if (part.place.mask != NULL) part.place.mask += dx;
  backward_each_phase(job, sweep_phase, &part);
}

static conv_shape backward_shape(const dt_program *program, const dt_instr *instr) {
  int out_channels = (int)program->buffer[instr->arg[DT_ARG_DY]].shape.dim[0];
  return conv_shape_make(&instr->conv, &program->buffer[instr->arg[DT_ARG_DX]].shape, out_channels);
}

size_t DT_SIMD(dt_cpu_conv_dgrad_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  backward_job job = {.shape = backward_shape(program, instr)};
  conv_phase phase = backward_phase(&job, 0, 0, NULL);
  if (winograd_serves(&phase)) return conv_round64(winograd_work(&phase, device->threads));
  return conv_round64(job.shape.weights * sizeof(float));
}

dt_status DT_SIMD(dt_cpu_conv_dgrad)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  dt_threads *threads = ((dt_cpu *)run->device)->threads;
  backward_job job = {.shape = backward_shape(program, instr),
                      .w = dt_cpu_arg(run, instr, micro, DT_ARG_W),
                      .packed = dt_cpu_arg(run, instr, micro, DT_ARG_WORK)};
  const float *mask = dt_cpu_arg(run, instr, micro, DT_ARG_MASK);
  job.place = (conv_place){.x = dt_cpu_arg(run, instr, micro, DT_ARG_DY),
                           .y = dt_cpu_arg(run, instr, micro, DT_ARG_DX),
                           .addend = dt_cpu_arg(run, instr, micro, DT_ARG_ADDEND),
                           .mask = mask,
                           .y_channel = job.shape.in_plane,
                           .y_row = (ptrdiff_t)job.shape.in[2] * 16,
                           .act = mask != NULL ? instr->act : (dt_act){DT_ACT_NONE}};
  int blocks = micro->shard_count * dt_cpu_shard_blocks(program), tiles = backward_tiles(&job);
  conv_phase phase = backward_phase(&job, 0, 0, job.packed);
  if (winograd_serves(&phase)) {
    winograd_run(threads, &phase, &job.place, blocks);
    return DT_OK;
  }
  job.parts = conv_parts(blocks, tiles, dt_threads_count(threads));
  dt_threads_run(threads, tiles, backward_pack, &job);
  dt_threads_run(threads, blocks * job.parts, backward_task, &job);
  return DT_OK;
}
