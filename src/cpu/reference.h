/* Inside the reference device: the definition of every operation, in double precision and plain loops.
 *
 * Layout. VALUE is [shard][slot][shape] doubles, INDEX the same in bytes, SHARD is [shard][shape] doubles; parameters, states,
 * slots and gradients are doubles in logical order. A shard has program->shard_slots places; those beyond its filled count are
 * empty: kernels clear their outputs there and never read them.
 *
 * Order of sums. Within a shard serially over its samples in order, then over the pass's shards by the tree (core/tree.h).
 *
 * The device fuses nothing: ADDEND belongs to ADD alone and MASK to ACT_BWD alone, and no other instruction has an act. */
#ifndef DT_CPU_REFERENCE_H
#define DT_CPU_REFERENCE_H

#include "core/device.h"

/* One sample as a kernel meets it: a slot of one of the pass's shards. */
typedef struct dt_reference_sample {
  dt_run *run;
  const dt_instr *instr;
  const dt_pass *pass;
  int shard;    /* within the pass */
  int64_t slot; /* within the shard */
} dt_reference_sample;

/* Shape of what an argument refers to. */
const dt_shape *dt_reference_shape(const dt_run *run, const dt_instr *instr, dt_arg arg);
/* Memory of an argument's whole buffer, of the pass's node where it is a gradient (pass NULL: node 0, where the step section
 * finds the sums over all shards). NULL for an absent argument. */
void *dt_reference_buffer(const dt_run *run, const dt_instr *instr, const dt_pass *pass, dt_arg arg);
/* The same as doubles: parameters [O, I, ...], states [2C], gradient slices. */
double *dt_reference_block(const dt_run *run, const dt_instr *instr, const dt_pass *pass, dt_arg arg);
/* A sample's elements [C, H, W] of a VALUE argument, and the bytes of an INDEX argument. */
double *dt_reference_value(const dt_reference_sample *at, dt_arg arg);
uint8_t *dt_reference_index(const dt_reference_sample *at, dt_arg arg);

/* A shape as an image: a vector [D] counts as D channels of one pixel. */
typedef struct dt_reference_image {
  int64_t channels, height, width;
} dt_reference_image;
dt_reference_image dt_reference_image_of(const dt_run *run, const dt_instr *instr, dt_arg arg);

/* Runs each(sample) for every filled place of the pass in order, and clears argument `out` in the empty ones. */
typedef void dt_reference_each(const dt_reference_sample *at);
dt_status dt_reference_map(dt_run *run, const dt_instr *instr, const dt_pass *pass, dt_arg out, dt_reference_each *each);

/* Sums a sample's share of the gradients into dw and db, whose shapes are those of DW and DB; NULL when absent. */
typedef void dt_reference_gradient(const dt_reference_sample *at, double *dw, double *db);
/* DW and DB of a pass: the shards' sums, added by the tree. Uses WORK. */
dt_status dt_reference_sum(dt_run *run, const dt_instr *instr, const dt_pass *pass, dt_reference_gradient *gradient);
/* Adds shards' rows of partial [shards][count] by the tree; row 0 then holds the sum. */
void dt_reference_fold(double *partial, int shards, int64_t count);
/* Aborts unless nothing is fused into the instruction. */
void dt_reference_require_plain(const dt_instr *instr);

dt_kernel dt_reference_load, dt_reference_conv_fwd, dt_reference_conv_dgrad, dt_reference_conv_wgrad, dt_reference_linear_fwd,
    dt_reference_linear_dgrad, dt_reference_linear_wgrad, dt_reference_pool_fwd, dt_reference_pool_bwd, dt_reference_act_fwd,
    dt_reference_act_bwd, dt_reference_bn_fwd, dt_reference_bn_eval, dt_reference_bn_bwd, dt_reference_dropout_fwd,
    dt_reference_dropout_bwd, dt_reference_add, dt_reference_concat, dt_reference_slice, dt_reference_softmax,
    dt_reference_loss, dt_reference_score, dt_reference_grad_norm, dt_reference_update, dt_reference_bn_update;

#endif
