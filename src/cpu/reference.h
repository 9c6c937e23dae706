/* Inside the reference device: the definition of every operation, in double precision and plain loops.
 *
 * Layout. VALUE and TERMS are [shard][slot][shape] doubles, INDEX the same in bytes, SHARD is [shard][shape] doubles;
 * parameters, states, slots and gradients are doubles in logical order. A shard has program->shard_capacity places; those
 * beyond its filled count are empty: kernels clear their outputs there and never read them.
 *
 * Order of sums. Within a shard serially over its samples in order, then over the micro-batch's shards by the tree
 * (core/tree.h).
 *
 * The device fuses nothing: ADDEND belongs to ADD alone and MASK to ACT_BWD alone, and no other instruction has an act. */
#ifndef DT_CPU_REFERENCE_H
#define DT_CPU_REFERENCE_H

#include "core/device.h"

/* Bytes of WORK that ORTHOGONALISE needs. */
size_t dt_reference_orthogonalise_work(const dt_program *program);

/* One sample as a kernel meets it: a position in one of the micro-batch's shards. */
typedef struct dt_reference_sample {
  dt_run *run;
  const dt_instr *instr;
  const dt_micro_batch *micro;
  int shard;        /* within the micro-batch */
  int64_t position; /* within the shard */
} dt_reference_sample;

/* Shape of what an argument refers to. */
const dt_shape *dt_reference_shape(const dt_run *run, const dt_instr *instr, dt_arg arg);
/* Memory of an argument's whole buffer, of the micro-batch's partial sum where it is a gradient (micro NULL: partial sum 0,
 * where the step section finds the sums over all shards). NULL for an absent argument. */
void *dt_reference_buffer(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg);
/* The same as doubles: parameters [O, I, ...], states [2C], gradient slices. */
double *dt_reference_block(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg);
/* A sample's elements [C, H, W] of a VALUE argument, and the bytes of an INDEX argument. */
double *dt_reference_value(const dt_reference_sample *at, dt_arg arg);
uint8_t *dt_reference_index(const dt_reference_sample *at, dt_arg arg);

/* Elements of X of a sample. */
int64_t dt_reference_elements(const dt_reference_sample *at);
/* Of a loss or metric: the sample's label; element e of its target, which has as many as X, times loss.target_scale. */
int64_t dt_reference_label(const dt_reference_sample *at);
double dt_reference_target(const dt_reference_sample *at, int64_t e);
/* Of a loss or metric: the sample's terms, from its first on. */
double *dt_reference_terms(const dt_reference_sample *at);

/* The shape of an image [C, H, W]. */
typedef struct dt_reference_image {
  int64_t channels, height, width;
} dt_reference_image;
dt_reference_image dt_reference_image_of(const dt_run *run, const dt_instr *instr, dt_arg arg);

/* Runs each(sample) for every valid position of the micro-batch in order, and clears argument `out`, where there is one, in the
 * empty ones. */
typedef void dt_reference_each(const dt_reference_sample *at);
dt_status dt_reference_map(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg out,
                           dt_reference_each *each);

/* Sums a sample's share of the gradients into dw and db, whose shapes are those of DW and DB; NULL when absent. */
typedef void dt_reference_gradient(const dt_reference_sample *at, double *dw, double *db);
/* DW and DB of a micro-batch: the shards' sums, added by the tree. Uses WORK. */
dt_status dt_reference_sum(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_reference_gradient *gradient);
/* Adds shards' rows of partial [shards][count] by the tree; row 0 then holds the sum. */
void dt_reference_fold(double *partial, int shards, int64_t count);
/* Aborts unless nothing is fused into the instruction. */
void dt_reference_require_plain(const dt_instr *instr);

/* The kernels, dt_reference_<name>: those of the ops of core/program/ops.def that are 1 for the reference device. */
#define DT_OP(OP, name, section, attr, reference, cpu, gpu, reads, writes) DT_WHERE_##reference(dt_kernel dt_reference_##name;)
#include "core/program/ops.def"
#undef DT_OP

#endif
