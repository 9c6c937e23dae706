/* A replica is what training changes: parameters, running statistics and optimizer slots. Here it is given its first values,
 * copied between device and host, and hashed. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/rng.h"
#include "train/executor_internal.h"

static size_t element_bytes(const dt_executor *executor) {
  return dt_dtype_bytes(executor->run.device->ops->dtype);
}

static size_t param_bytes(const dt_executor *executor) {
  return (size_t)executor->run.program->param_elements * element_bytes(executor);
}

static size_t slot_bytes(const dt_executor *executor) {
  return (size_t)executor->run.program->trained_elements * element_bytes(executor);
}

static size_t state_bytes(const dt_executor *executor) {
  return (size_t)executor->run.program->state_elements * element_bytes(executor);
}

static dt_tensor_ref make_ref(const dt_executor *executor, const dt_param *param, const char *name, void *block) {
  return (dt_tensor_ref){.name = name,
                         .dtype = executor->run.device->ops->dtype,
                         .shape = param->shape,
                         .data = (char *)block + (size_t)param->offset * element_bytes(executor)};
}

/* Appends the tensors of one node in the order of their declaration. The block has the last node first, but who opens a
 * checkpoint reads from the input on. */
static dt_status add_node_refs(dt_executor *executor, int node) {
  const dt_program *program = executor->run.program;
  dt_replica *replica = &executor->replica;
  for (int p = 0; p < program->param_count; p++) {
    const dt_param *param = &program->param[p];
    if (param->node != node) continue;
    replica->model[replica->model_count++] = make_ref(executor, param, param->name, replica->param);
    for (int s = 0; !param->frozen && s < dt_executor_slots(executor); s++) {
      const char *name;
      DT_TRY(dt_region_format(&replica->names, &name, "%s.%s", param->name, dt_slot_name(executor->spec, s)));
      replica->optimizer[replica->optimizer_count++] = make_ref(executor, param, name, replica->slot[s]);
    }
  }
  for (int s = 0; s < program->state_count; s++) {
    if (program->state[s].node != node) continue;
    replica->model[replica->model_count++] = make_ref(executor, &program->state[s], program->state[s].name, replica->state);
  }
  return DT_OK;
}

/* Where the device works in the host's memory the host's blocks are the device's own. */
static dt_status find_blocks(dt_executor *executor) {
  const dt_blocks *blocks = &executor->run.blocks;
  dt_replica *replica = &executor->replica;
  int slots = dt_executor_slots(executor);
  if (dt_device_on_host(executor->run.device)) {
    replica->param = blocks->param;
    replica->state = blocks->state;
    for (int s = 0; s < slots; s++) replica->slot[s] = blocks->slot[s];
    return DT_OK;
  }
  DT_TRY(dt_alloc(1, param_bytes(executor), &replica->param));
  DT_TRY(dt_alloc(1, state_bytes(executor), &replica->state));
  for (int s = 0; s < slots; s++) DT_TRY(dt_alloc(1, slot_bytes(executor), &replica->slot[s]));
  return DT_OK;
}

static dt_status alloc_scratch(dt_executor *executor) {
  const dt_program *program = executor->run.program;
  int64_t largest = 0;
  if (!executor->run.device->ops->channels_last) return DT_OK;
  for (int p = 0; p < program->param_count; p++) {
    if (program->param[p].count > largest) largest = program->param[p].count;
  }
  return dt_alloc((size_t)largest, element_bytes(executor), &executor->replica.scratch);
}

dt_status dt_replica_create(dt_executor *executor) {
  const dt_program *program = executor->run.program;
  dt_replica *replica = &executor->replica;
  DT_TRY(find_blocks(executor));
  DT_TRY(alloc_scratch(executor));
  DT_TRY(dt_alloc((size_t)(program->param_count + program->state_count), sizeof *replica->model, &replica->model));
  DT_TRY(dt_alloc((size_t)program->param_count * (size_t)dt_executor_slots(executor), sizeof *replica->optimizer,
                  &replica->optimizer));
  for (int n = 0; n < executor->graph->count; n++) DT_TRY(add_node_refs(executor, n));
  return DT_OK;
}

void dt_replica_destroy(dt_executor *executor) {
  dt_replica *replica = &executor->replica;
  if (!dt_device_on_host(executor->run.device)) {
    free(replica->param);
    free(replica->state);
    for (int s = 0; s < DT_SLOT_BLOCKS; s++) free(replica->slot[s]);
  }
  free(replica->scratch);
  free(replica->model);
  free(replica->optimizer);
  dt_region_free(&replica->names);
}

/* --- first values --- */

/* The random numbers of a tensor go by its name, so that they stay what they are where other layers come or go. */
static uint64_t stream_of(const dt_param *param) {
  return XXH3_64bits(param->name, strlen(param->name)) & ((UINT64_C(1) << 48) - 1);
}

/* Rounded to float on every device, so that all start from the same numbers. */
static float first_value(uint64_t seed, const dt_param_decl *decl, uint64_t stream, int64_t element) {
  switch (decl->init) {
    case DT_INIT_ZERO:
      return 0;
    case DT_INIT_ONE:
      return 1;
    case DT_INIT_LOSS_SCALE:
      return element == DT_LOSS_SCALE_NEXT || element == DT_LOSS_SCALE_USED ? dt_loss_scale_first : 0;
    case DT_INIT_KAIMING_UNIFORM:
      break;
  }
  dt_rng_block block = dt_rng(seed, DT_RNG_INIT, stream, (uint64_t)element / 4, 0);
  double u = (double)dt_rng_float(block.word[element % 4]);
  return (float)((2 * u - 1) * decl->bound);
}

static void set_element(const dt_executor *executor, void *block, int64_t element, float value) {
  if (executor->run.device->ops->dtype == DT_F64) {
    ((double *)block)[element] = (double)value;
  } else {
    ((float *)block)[element] = value;
  }
}

static void fill(const dt_executor *executor, void *block, const dt_param *param) {
  const uint64_t stream = stream_of(param);
  for (int64_t e = 0; e < param->count; e++) {
    set_element(executor, block, param->offset + e, first_value(executor->run.seed, param->decl, stream, e));
  }
}

dt_status dt_executor_init_params(dt_executor *executor) {
  const dt_program *program = executor->run.program;
  dt_replica *replica = &executor->replica;
  DT_ASSERT(executor->owns_blocks);
  for (int p = 0; p < program->param_count; p++) fill(executor, replica->param, &program->param[p]);
  for (int s = 0; s < program->state_count; s++) fill(executor, replica->state, &program->state[s]);
  for (int s = 0; s < dt_executor_slots(executor); s++) {
    if (dt_slot_starts_as_param(executor->spec, s)) memcpy(replica->slot[s], replica->param, slot_bytes(executor));
  }
  return dt_executor_upload(executor);
}

/* --- device and host --- */

/* [O, I, KH, KW] on the host, [O, KH, KW, I] on a device with channels last: of every O, a matrix is transposed. */
static void transpose_param(const dt_executor *executor, const dt_param *param, void *block, bool to_device) {
  const int64_t *dim = param->shape.dim;
  size_t bytes = element_bytes(executor);
  int64_t rows = to_device ? dim[1] : dim[2] * dim[3], columns = to_device ? dim[2] * dim[3] : dim[1];
  char *value = (char *)block + (size_t)param->offset * bytes, *turned = executor->replica.scratch;
  for (int64_t o = 0; o < dim[0]; o++) {
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t c = 0; c < columns; c++) {
        memcpy(turned + (size_t)((o * columns + c) * rows + r) * bytes, value + (size_t)((o * rows + r) * columns + c) * bytes,
               bytes);
      }
    }
  }
  memcpy(value, turned, (size_t)param->count * bytes);
}

/* The first `count` parameters of a block. */
static void turn(const dt_executor *executor, void *block, int count, bool to_device) {
  const dt_program *program = executor->run.program;
  if (!executor->run.device->ops->channels_last) return;
  for (int p = 0; p < count; p++) {
    if (program->param[p].decl->layout == DT_LAYOUT_FILTER) transpose_param(executor, &program->param[p], block, to_device);
  }
}

/* A block of all parameters, or a slot of those that are trained, which come first. */
static dt_status download_block(const dt_executor *executor, void *to, const void *from, int count, size_t bytes) {
  dt_device *device = executor->run.device;
  DT_TRY(device->ops->download(device, to, from, bytes));
  DT_TRY(device->ops->sync(device));
  turn(executor, to, count, false);
  return DT_OK;
}

/* The host's copy stays as it was. */
static dt_status upload_block(const dt_executor *executor, void *to, void *from, int count, size_t bytes) {
  dt_device *device = executor->run.device;
  turn(executor, from, count, true);
  DT_TRY(device->ops->upload(device, to, from, bytes));
  DT_TRY(device->ops->sync(device));
  turn(executor, from, count, false);
  return DT_OK;
}

static dt_status download(const dt_executor *executor) {
  dt_device *device = executor->run.device;
  const dt_blocks *blocks = &executor->run.blocks;
  const dt_replica *replica = &executor->replica;
  if (dt_device_on_host(device)) return device->ops->sync(device);
  const dt_program *program = executor->run.program;
  DT_TRY(download_block(executor, replica->param, blocks->param, program->param_count, param_bytes(executor)));
  DT_TRY(device->ops->download(device, replica->state, blocks->state, state_bytes(executor)));
  for (int s = 0; s < dt_executor_slots(executor); s++) {
    DT_TRY(download_block(executor, replica->slot[s], blocks->slot[s], program->trained_count, slot_bytes(executor)));
  }
  return device->ops->sync(device);
}

dt_status dt_executor_download(dt_executor *executor, dt_tensor_ref **model, int *model_count, dt_tensor_ref **optimizer,
                               int *optimizer_count) {
  DT_ASSERT(executor->owns_blocks);
  DT_TRY(download(executor));
  *model = executor->replica.model;
  *model_count = executor->replica.model_count;
  *optimizer = executor->replica.optimizer;
  *optimizer_count = executor->replica.optimizer_count;
  return DT_OK;
}

dt_status dt_executor_upload(dt_executor *executor) {
  DT_ASSERT(executor->owns_blocks);
  dt_device *device = executor->run.device;
  dt_blocks *blocks = &executor->run.blocks;
  const dt_replica *replica = &executor->replica;
  if (dt_device_on_host(device)) return device->ops->sync(device);
  const dt_program *program = executor->run.program;
  DT_TRY(upload_block(executor, blocks->param, replica->param, program->param_count, param_bytes(executor)));
  DT_TRY(device->ops->upload(device, blocks->state, replica->state, state_bytes(executor)));
  for (int s = 0; s < dt_executor_slots(executor); s++) {
    DT_TRY(upload_block(executor, blocks->slot[s], replica->slot[s], program->trained_count, slot_bytes(executor)));
  }
  DT_TRY(device->ops->sync(device));
  return device->ops->streams != NULL ? device->ops->streams->refresh(&executor->run) : DT_OK;
}

/* --- as numbers --- */

static double element_of(const dt_executor *executor, const void *block, int64_t element) {
  return executor->run.device->ops->dtype == DT_F64 ? ((const double *)block)[element]
                                                    : (double)((const float *)block)[element];
}

static void read_numbers(const dt_executor *executor, const void *block, double *out) {
  const dt_program *program = executor->run.program;
  memset(out, 0, (size_t)program->trained_elements * sizeof *out);
  for (int p = 0; p < program->trained_count; p++) {
    const dt_param *param = &program->param[p];
    for (int64_t e = param->offset; e < param->offset + param->count; e++) out[e] = element_of(executor, block, e);
  }
}

dt_status dt_executor_read_trained(dt_executor *executor, double *out) {
  DT_ASSERT(executor->owns_blocks);
  DT_TRY(download(executor));
  read_numbers(executor, executor->replica.param, out);
  return DT_OK;
}

dt_status dt_executor_write_trained(dt_executor *executor, const double *in) {
  const dt_program *program = executor->run.program;
  const bool wide = executor->run.device->ops->dtype == DT_F64;
  DT_ASSERT(executor->owns_blocks);
  for (int p = 0; p < program->trained_count; p++) {
    const dt_param *param = &program->param[p];
    for (int64_t e = param->offset; e < param->offset + param->count; e++) {
      if (wide)
        ((double *)executor->replica.param)[e] = in[e];
      else
        ((float *)executor->replica.param)[e] = (float)in[e];
    }
  }
  return dt_executor_upload(executor);
}

/* What GRAD_ADD does of a step whose update follows: brings together what several nodes contribute to a parameter. */
static void add_contributions(const dt_executor *executor, char *sum) {
  const dt_program *program = executor->run.program;
  const size_t bytes = element_bytes(executor);
  for (int i = program->micro_batch_end; i < program->count; i++) {
    const dt_instr *instr = &program->instr[i];
    if (instr->op != DT_OP_GRAD_ADD) continue;
    const dt_buffer *into = &program->buffer[instr->arg[DT_ARG_DW]], *from = &program->buffer[instr->arg[DT_ARG_X]];
    for (int64_t e = 0; e < dt_shape_count(&into->shape); e++) {
      const double added = element_of(executor, sum, into->offset + e) + element_of(executor, sum, from->offset + e);
      if (bytes == sizeof(double))
        ((double *)sum)[into->offset + e] = added;
      else
        ((float *)sum)[into->offset + e] = (float)added;
    }
  }
}

dt_status dt_executor_take_gradient(dt_executor *executor, double *out) {
  dt_device *device = executor->run.device;
  const size_t bytes = (size_t)executor->run.program->grad_elements * element_bytes(executor);
  char *sum;
  DT_ASSERT(executor->owns_blocks && executor->run.blocks.sum != NULL);
  DT_TRY(dt_alloc(1, bytes, &sum));
  dt_status status = download_block(executor, sum, executor->run.blocks.sum, 0, bytes);
  if (status == DT_OK) status = device->ops->clear(device, executor->run.blocks.sum, bytes);
  if (status == DT_OK && out != NULL) {
    add_contributions(executor, sum);
    turn(executor, sum, executor->run.program->trained_count, false);
    read_numbers(executor, sum, out);
  }
  free(sum);
  return status;
}

/* --- what evaluations take --- */

static void exchange_here(char *a, char *b, size_t bytes) {
  char piece[4096];
  for (size_t at = 0; at < bytes; at += sizeof piece) {
    const size_t count = bytes - at < sizeof piece ? bytes - at : sizeof piece;
    memcpy(piece, a + at, count);
    memcpy(a + at, b + at, count);
    memcpy(b + at, piece, count);
  }
}

dt_status dt_executor_exchange(dt_executor *executor) {
  dt_device *device = executor->run.device;
  const dt_blocks *blocks = &executor->run.blocks;
  const int slot = executor->run.optimizer != NULL ? dt_slot_evaluated(executor->spec) : -1;
  DT_ASSERT(executor->owns_blocks);
  if (slot < 0) return DT_OK;
  DT_TRY(device->ops->sync(device));
  if (dt_device_on_host(device)) {
    exchange_here(blocks->param, blocks->slot[slot], slot_bytes(executor));
  } else {
    DT_TRY(device->ops->own_memory->exchange(device, blocks->param, blocks->slot[slot], slot_bytes(executor)));
    DT_TRY(device->ops->sync(device));
  }
  return device->ops->streams != NULL ? device->ops->streams->refresh(&executor->run) : DT_OK;
}

/* --- hashes --- */

/* Blocks stay where they are; their hashes are hashed. */
static dt_status hash_on_device(const dt_executor *executor, uint64_t *out) {
  dt_device *device = executor->run.device;
  const dt_own_memory_ops *own_memory = device->ops->own_memory;
  const dt_blocks *blocks = &executor->run.blocks;
  uint64_t hash[2 + DT_SLOT_BLOCKS] = {0};
  DT_TRY(own_memory->hash(device, blocks->param, param_bytes(executor), &hash[0]));
  DT_TRY(own_memory->hash(device, blocks->state, state_bytes(executor), &hash[1]));
  for (int s = 0; s < dt_executor_slots(executor); s++) {
    DT_TRY(own_memory->hash(device, blocks->slot[s], slot_bytes(executor), &hash[2 + s]));
  }
  *out = XXH3_64bits(hash, sizeof hash);
  return DT_OK;
}

dt_status dt_executor_hash(dt_executor *executor, uint64_t *out) {
  DT_ASSERT(executor->owns_blocks);
  if (!dt_device_on_host(executor->run.device)) return hash_on_device(executor, out);
  DT_TRY(download(executor));
  const dt_replica *replica = &executor->replica;
  uint64_t hash = XXH3_64bits(replica->param, param_bytes(executor));
  hash = XXH3_64bits_withSeed(replica->state, state_bytes(executor), hash);
  for (int s = 0; s < dt_executor_slots(executor); s++) {
    hash = XXH3_64bits_withSeed(replica->slot[s], slot_bytes(executor), hash);
  }
  *out = hash;
  return DT_OK;
}
