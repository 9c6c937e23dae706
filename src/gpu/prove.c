#include "gpu/prove.h"

#include <string.h>

#include "gpu/libraries.h"
#include "gpu/staging.h"

enum { GLANCE = 1024 /* words of an output that are looked at, to see whether anything was computed */ };

typedef struct proof {
  dt_run *run;
  dt_gpu_call call;
  dt_gpu_counts counts; /* of one shard */
  int shards;
  dt_gpu_plan *alone, *together;
  dt_gpu_operands operands;
  float *dw;    /* of WGRAD: where its sum goes */
  void *output; /* what is written */
  size_t bytes; /* of it */
  size_t sweep; /* bytes of the arena that are read between two runs, so that the second finds another cache */
} proof;

/* --- operands --- */

static dt_status fill(const proof *p, void *to, int64_t count, uint32_t seed) {
  return dt_gpu_fill(p->call.gpu->type, to, p->shards * count, seed, p->call.stream);
}

static dt_status fill_operands(const proof *p) {
  const dt_gpu_operands *o = &p->operands;
  if (p->output != o->x) DT_TRY(fill(p, o->x, p->counts.x, 1));
  if (p->output != o->y) DT_TRY(fill(p, o->y, p->counts.y, 2));
  return DT_OK;
}

static void name_output(proof *p) {
  const dt_instr *instr = p->call.instr;
  const size_t value = dt_gpu_type_bytes(p->call.gpu->type);
  if (instr->arg[DT_ARG_DW] >= 0) {
    p->output = p->operands.w;
    p->bytes = (size_t)(p->shards * dt_gpu_gradient_stride(p->counts.w)) *
               dt_gpu_type_bytes(p->call.library->gradient_type(p->call.gpu, p->alone));
    if (p->output == p->dw) p->bytes = (size_t)p->counts.w * sizeof(float);
  } else {
    const bool forward = instr->arg[DT_ARG_Y] >= 0;
    p->output = forward ? p->operands.y : p->operands.x;
    p->bytes = (size_t)(p->shards * (forward ? p->counts.y : p->counts.x)) * value;
  }
}

/* Twice the cache, as far as the arena goes. */
static dt_status size_sweep(proof *p) {
  const size_t arena = p->run->program->arena_bytes;
  int cache = 0;
  DT_CUDA(cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, p->call.gpu->index));
  p->sweep = (arena < 2 * (size_t)cache ? arena : 2 * (size_t)cache) / 4 * 4;
  return DT_OK;
}

static dt_status begin(dt_run *run, const dt_instr *instr, int shards, proof *p) {
  const dt_micro_batch micro = {.shard_count = shards};
  *p = (proof){.run = run, .shards = shards};
  DT_TRY(dt_gpu_call_of(run, instr, &micro, &p->call));
  p->call.stream = dt_gpu_of(run)->stream[DT_STREAM_COMPUTE]; /* that hashes are taken on */
  p->counts = p->call.library->counts(run->program, instr);
  DT_TRY(p->call.library->get(p->call.gpu, run->program, instr, 1, &p->alone));
  DT_TRY(p->call.library->get(p->call.gpu, run->program, instr, shards, &p->together));
  DT_TRY(dt_gpu_operands_of(&p->call, run, &micro, p->alone, &p->operands, &p->dw));
  name_output(p);
  return size_sweep(p);
}

/* --- a run and its bits --- */

/* The output is wiped first, so that what an engine leaves out shows, and the caches are filled with something else. */
static dt_status compute(const proof *p, bool together, uint64_t *out) {
  const dt_gpu_call *call = &p->call;
  dt_device *device = p->run->device;
  DT_CUDA(cudaMemsetAsync(p->output, 0, p->bytes, call->stream));
  DT_TRY(device->ops->own_memory->hash(device, p->run->blocks.arena, p->sweep, out));
  if (together) {
    DT_TRY(call->library->compute(call->gpu, p->together, &p->operands, call->work, call->stream));
  } else {
    DT_TRY(dt_gpu_compute_by_shard(call, p->alone, p->shards, &p->operands));
  }
  return device->ops->own_memory->hash(device, p->output, p->bytes / 4 * 4, out);
}

/* Whether the output is more than one word again and again: engines agree on that whatever they do. */
static dt_status glance(const proof *p, bool *out) {
  uint32_t word[GLANCE];
  const size_t count = p->bytes / 4 < GLANCE ? p->bytes / 4 : GLANCE;
  *out = false;
  DT_TRY(dt_gpu_fetch((dt_gpu *)p->run->device, p->call.stream, word, p->output, count * sizeof *word, "an engine's output"));
  for (size_t i = 1; i < count; i++) *out |= word[i] != word[0];
  return DT_OK;
}

/* The shards one by one. Weights that are all alike, as some begin, show nothing; then the numbers of X or DY serve as weights,
 * where there are enough. *out_shows is false if nothing helps. */
static dt_status compute_alone(proof *p, uint64_t *out, bool *out_shows) {
  const bool forward = p->call.instr->arg[DT_ARG_Y] >= 0;
  DT_TRY(compute(p, false, out));
  DT_TRY(glance(p, out_shows));
  if (*out_shows || p->dw != NULL || p->shards * (forward ? p->counts.x : p->counts.y) < p->counts.w) return DT_OK;
  p->operands.w = forward ? p->operands.x : p->operands.y;
  DT_TRY(compute(p, false, out));
  return glance(p, out_shows);
}

/* --- what is shown --- */

static dt_status refuse_varying(const proof *p) {
  char what[DT_GPU_WHAT_TEXT];
  p->call.library->what(p->call.gpu, p->run->program, p->call.instr, what);
  DT_RAISE(DT_ENVIRONMENT,
           "%s: %s gives other bits from one run to the next; give it another engine by a plan table (dtrain bench plans), and "
           "please report it",
           what, p->alone->text);
}

static dt_status prove_plan(proof *p) {
  uint64_t alone, other;
  bool shows;
  DT_TRY(fill_operands(p));
  DT_TRY(compute_alone(p, &alone, &shows));
  if (p->shards > 1 && p->together->batching == DT_GPU_UNPROVEN && shows) {
    DT_TRY(compute(p, true, &other));
    p->together->batching = other == alone ? DT_GPU_INVARIANT : DT_GPU_DEPENDENT;
    if (other == alone) return DT_OK;
  }
  DT_TRY(compute(p, false, &other));
  return other == alone ? DT_OK : refuse_varying(p);
}

static dt_status prove_instr(dt_run *run, const dt_instr *instr, int shards) {
  proof p;
  DT_TRY(begin(run, instr, shards, &p));
  if (p.together->seen) return DT_OK;
  DT_TRY(prove_plan(&p));
  p.together->seen = true;
  if (p.dw != NULL) DT_CUDA(cudaMemsetAsync(p.dw, 0, (size_t)p.counts.w * sizeof(float), p.call.stream));
  return DT_OK;
}

dt_status dt_gpu_prove(dt_run *run, unsigned counts) {
  for (int i = 0; i < run->program->micro_batch_end; i++) {
    const dt_instr *instr = &run->program->instr[i];
    if (dt_gpu_library_of(instr->op) == NULL) continue;
    for (unsigned shards = 1; shards <= counts; shards *= 2) {
      if (counts & shards) DT_TRY(prove_instr(run, instr, (int)shards));
    }
  }
  return DT_OK;
}
