/* The executor runs a program on a device and its buckets through a reducer: the only place where the two meet. */
#ifndef DT_TRAIN_EXECUTOR_H
#define DT_TRAIN_EXECUTOR_H

#include "comm/comm.h"
#include "core/device.h"
#include "core/optim/optimizer.h"

/* Supplies the batch of the next micro-batch; borrowed until the next call. */
typedef dt_status dt_batch_source(void *context, const dt_batch **out);

typedef struct dt_executor dt_executor;

/* Binds a program to memory on a device. `share` gives another executor whose parameter and state blocks are used (the
 * evaluation program runs on the training program's parameters, and in its arena when no step is in flight); NULL = own blocks.
 * reducer is NULL for EVAL and PREDICT. All memory is obtained here; a step allocates nothing. Borrows everything. Returns new.
 */
dt_status dt_executor_create(dt_device *device, const dt_program *program, const dt_tree *tree, dt_reducer *reducer,
                             const dt_spec *spec, dt_executor *share, dt_executor **out);
void dt_executor_destroy(dt_executor **executor);

dt_run *dt_executor_run_state(dt_executor *executor); /* blocks and step, for checkpoints and tests */

/* Starts one training step: every micro-batch, reductions overlapped with backward, updates. flags is indexed by dt_statistic
 * ([DT_STATISTIC_COUNT]): flags[DT_STATISTIC_STOP..DT_STATISTIC_FAIL] of this rank ride on the last bucket. The flags of a rank
 * without shards reach nobody. Collective. */
dt_status dt_executor_step(dt_executor *executor, dt_batch_source *source, void *context, const double *flags);
/* Waits for the oldest step whose outcome was not yet taken. The same on every rank. */
dt_status dt_executor_result(dt_executor *executor, dt_step_result *out);
/* Steps that may be started before the outcome of the first of them must be taken, less one: 0 where a step is over when
 * dt_executor_step returns, 1 on a device that works on its own while the next step is prepared. */
int dt_executor_depth(const dt_executor *executor);
/* One micro-batch of an EVAL or PREDICT program. Not collective. */
dt_status dt_executor_run_micro_batch(dt_executor *executor, int micro_batch_index, const dt_batch *batch);
/* EVAL: the sums over all micro-batches since the last call, [program->score_words] (core/program/sums.h); word 0 counts the
 * samples.
 */
dt_status dt_executor_score(dt_executor *executor, int64_t *out);
/* Sets LOAD's normalisation, [channels] each; kept, must outlive the executor. */
dt_status dt_executor_set_normalisation(dt_executor *executor, const float *scale, const float *shift);

/* Draws initial parameters (Philox keyed by the parameter's index in the program; equal on every device up to its precision)
 * and sets states to their start. */
dt_status dt_executor_init_params(dt_executor *executor);
/* Parameters, states and slots as named tensors on the host, in the order of the layers: "conv1.weight", "bn1.running_mean";
 * slots are "conv1.weight.momentum". download copies them from the device, upload back; where the device works in the host's
 * memory they are what it works on, and both copy nothing. Arrays live as long as the executor;
 * the executor must own its blocks (share NULL). */
dt_status dt_executor_download(dt_executor *executor, dt_tensor_ref **model, int *model_count, dt_tensor_ref **optimizer,
                               int *optimizer_count);
dt_status dt_executor_upload(dt_executor *executor);
/* Parameters and the slot that evaluations take for them (core/optim/average.h) change places; nothing where there is none. A
 * second call undoes it. No step may be in flight, or be made in between. */
dt_status dt_executor_exchange(dt_executor *executor);
/* Trained parameters as numbers, and the gradient of as many: [program->trained_elements], a parameter of the program at its
 * offset and as the host has it, zeros between them. write sets the device's. */
dt_status dt_executor_read_trained(dt_executor *executor, double *out);
dt_status dt_executor_write_trained(dt_executor *executor, const double *in);
/* The gradient summed over the samples of all batches that had no update behind them, and begins anew; out may be NULL.
 * Where steps may be several batches, and none is in flight. */
dt_status dt_executor_take_gradient(dt_executor *executor, double *out);
/* A hash over parameters, states and slots: XXH3-64 of them, or of what the device hashes them to. */
dt_status dt_executor_hash(dt_executor *executor, uint64_t *out);

#endif
