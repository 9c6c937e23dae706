/* The cpu device: memory, the layout of buffers, and the choice of the instruction set. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/config/spec.h"
#include "core/host_memory.h"
#include "cpu/blas.h"
#include "cpu/simd/kernels.h"
#include "cpu/update.h"

enum { LANES = 16, ALIGN = 64, HUGE_PAGE = 2 << 20 };

static dt_kernel *const step_kernels[DT_OP_COUNT] = {
#define DT_OP(OP, name, section, attr, reference, cpu, gpu, reads, writes) \
  DT_WHERE_##cpu(DT_ONCE_##section([DT_OP_##OP] = dt_cpu_##name, ))
#include "core/program/ops.def"
#undef DT_OP
};

#define FUSE(name) (1u << DT_FUSE_##name)
enum {
  FUSE_FORWARD = FUSE(FORWARD_ACT) | FUSE(FORWARD_ADD),
  FUSE_BACKWARD = FUSE(BACKWARD_ADD) | FUSE(BACKWARD_MASK),
};
/* What each kernel takes in besides its own work. */
static const unsigned fusions[DT_OP_COUNT] = {
    [DT_OP_CONV_FWD] = FUSE_FORWARD | FUSE(CONV_POOL),
    [DT_OP_CONV_DGRAD] = FUSE_BACKWARD,
    [DT_OP_ADD] = FUSE(FORWARD_ACT) | FUSE_BACKWARD,
    [DT_OP_ACT_BWD] = FUSE(BACKWARD_ADD),
    [DT_OP_SLICE] = FUSE_BACKWARD,
    [DT_OP_LINEAR_FWD] = FUSE_FORWARD,
    [DT_OP_ADD_BIAS] = FUSE(FORWARD_ACT),
    [DT_OP_LINEAR_DGRAD] = FUSE_BACKWARD,
    [DT_OP_POOL_BWD] = FUSE_BACKWARD,
    [DT_OP_BN_FWD] = FUSE_FORWARD,
    [DT_OP_BN_EVAL] = FUSE_FORWARD,
    [DT_OP_BN_BWD] = FUSE(BACKWARD_MASK),
    [DT_OP_DROPOUT_BWD] = FUSE_BACKWARD,
};

static bool cpu_fuses(const dt_device *device, dt_fusion fusion, const dt_instr *folded, const dt_instr *into) {
  /* The fused pool stands last and pools what lies in registers: it takes no addend, and nothing comes after it. */
  bool pooled = into->op == DT_OP_CONV_FWD && into->conv.pool.window.kernel[0] > 0;
  if (pooled || (fusion == DT_FUSE_CONV_POOL && into->arg[DT_ARG_ADDEND] >= 0)) return false;
  return fusions[into->op] >> fusion & 1;
}

static size_t round_up(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

static size_t cpu_buffer_bytes(const dt_device *device, dt_buffer_kind kind, const dt_shape *shape, int64_t shard_capacity,
                               int shards) {
  size_t count = (size_t)dt_shape_count(shape), blocks = (size_t)shards * (size_t)((shard_capacity + LANES - 1) / LANES);
  switch (kind) {
    case DT_BUF_VALUE:
    case DT_BUF_TERMS:
      return round_up(blocks * count * LANES * sizeof(float), ALIGN);
    case DT_BUF_INDEX:
      return round_up(blocks * count * LANES, ALIGN);
    default:
      return round_up((size_t)shards * count * sizeof(float), ALIGN);
  }
}

static const dt_cpu_kernels *kernels_of(const dt_device *device) {
  return ((const dt_cpu *)device)->kernels;
}

static dt_status cpu_work_bytes(const dt_device *device, const dt_program *program, const dt_instr *instr, size_t *out) {
  dt_cpu_work *work = kernels_of(device)->work[instr->op];
  *out = work != NULL ? round_up(work(device, program, instr), ALIGN) : 0;
  if (instr->op == DT_OP_ORTHOGONALISE) *out = round_up(dt_cpu_orthogonalise_work(program), ALIGN);
  return DT_OK;
}

static size_t alignment(size_t bytes) {
  return bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGN;
}

static size_t cpu_block_bytes(size_t bytes) {
  return round_up(bytes > 0 ? bytes : 1, alignment(bytes));
}

static dt_status cpu_alloc(dt_device *device, size_t bytes, void **out) {
  size_t align = alignment(bytes), whole = cpu_block_bytes(bytes);
  void *memory = aligned_alloc(align, whole);
  *out = memory;
  DT_REQUIRE(memory != NULL, DT_MEMORY, "could not allocate %zu bytes for the cpu device", bytes);
  /* Advice only: without huge pages the memory is as good. */
  if (align == HUGE_PAGE) madvise(memory, whole, MADV_HUGEPAGE);
  memset(memory, 0, whole);
  return DT_OK;
}

static void cpu_free(dt_device *device, void *memory) {
  free(memory);
}

static dt_status cpu_copy(dt_device *device, void *to, const void *from, size_t bytes) {
  if (bytes > 0) memcpy(to, from, bytes);
  return DT_OK;
}

float *dt_cpu_buffer(const dt_run *run, const dt_micro_batch *micro, int buffer) {
  if (buffer < 0) return NULL;
  const dt_program *program = run->program;
  while (program->buffer[buffer].alias_of >= 0) buffer = program->buffer[buffer].alias_of;
  const dt_buffer *b = &program->buffer[buffer];
  DT_ASSERT(b->kind != DT_BUF_FIELD);
  switch (b->kind) {
    case DT_BUF_PARAM:
      return (float *)run->blocks.param + b->offset;
    case DT_BUF_STATE:
      return (float *)run->blocks.state + b->offset;
    case DT_BUF_GRAD:
      return (float *)run->blocks.grad + (micro != NULL ? micro->partial : 0) * program->grad_elements + b->offset;
    default:
      return (float *)((char *)run->blocks.arena + b->offset);
  }
}

/* Offset in floats of element e of sample `sample` of shard s of the micro-batch. */
static int64_t value_offset(const dt_program *program, int64_t count, int shard, int64_t sample, int64_t e) {
  int64_t block = (int64_t)shard * dt_cpu_shard_blocks(program) + sample / LANES;
  return (block * count + e) * LANES + sample % LANES;
}

static dt_status cpu_read_value(dt_run *run, int buffer, const dt_micro_batch *micro, double *out) {
  const float *value = dt_cpu_buffer(run, micro, buffer);
  int64_t count = dt_shape_count(&run->program->buffer[buffer].shape), slots = run->program->shard_capacity;
  for (int s = 0; s < micro->shard_count; s++) {
    for (int64_t n = 0; n < slots; n++) {
      for (int64_t e = 0; e < count; e++) *out++ = value[value_offset(run->program, count, s, n, e)];
    }
  }
  return DT_OK;
}

static dt_status cpu_write_value(dt_run *run, int buffer, const dt_micro_batch *micro, const double *in) {
  float *value = dt_cpu_buffer(run, micro, buffer);
  int64_t count = dt_shape_count(&run->program->buffer[buffer].shape), slots = run->program->shard_capacity;
  int64_t places = (int64_t)dt_cpu_shard_blocks(run->program) * LANES;
  for (int s = 0; s < micro->shard_count; s++) {
    for (int64_t n = 0; n < places; n++) {
      for (int64_t e = 0; e < count; e++) value[value_offset(run->program, count, s, n, e)] = n < slots ? (float)*in++ : 0.0f;
    }
  }
  return DT_OK;
}

static dt_status cpu_clear(dt_device *device, void *memory, size_t bytes) {
  memset(memory, 0, bytes);
  return DT_OK;
}

static dt_status cpu_sync(dt_device *device) {
  return DT_OK;
}

static void cpu_destroy(dt_device **device) {
  if (*device == NULL) return;
  dt_threads_destroy(&((dt_cpu *)*device)->threads);
  dt_blas_close(&((dt_cpu *)*device)->blas);
  free(*device);
  *device = NULL;
}

typedef struct addition {
  const dt_cpu_kernels *kernels;
  float *into;
  const float *from;
  int64_t count;
} addition;

enum { ADD_PIECE = 16384 }; /* elements */

static void add_piece(void *context, int index, int thread) {
  const addition *a = context;
  int64_t first = (int64_t)index * ADD_PIECE, left = a->count - first;
  a->kernels->add(a->into + first, a->from + first, left < ADD_PIECE ? left : ADD_PIECE);
}

static dt_status cpu_add(dt_device *device, dt_stream stream, void *into, const void *from, int64_t count) {
  addition a = {.kernels = kernels_of(device), .into = into, .from = from, .count = count};
  dt_threads_run(((dt_cpu *)device)->threads, (int)((count + ADD_PIECE - 1) / ADD_PIECE), add_piece, &a);
  return DT_OK;
}

#if DT_HAVE_ISA_avx512
static bool runs_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
}
#endif
#if DT_HAVE_ISA_avx2
static bool runs_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif
static bool runs_plain(void) {
  return true;
}

/* The instruction sets of this build (DTRAIN_ISAS), best first. */
static const struct {
  const dt_cpu_kernels *kernels;
  bool (*runs)(void);
} instruction_sets[] = {
#if DT_HAVE_ISA_avx512
    {&dt_cpu_kernels_avx512, runs_avx512},
#endif
#if DT_HAVE_ISA_avx2
    {&dt_cpu_kernels_avx2, runs_avx2},
#endif
    {&dt_cpu_kernels_plain, runs_plain},
};
enum { INSTRUCTION_SETS = sizeof instruction_sets / sizeof instruction_sets[0] };

/* The best instruction set of this machine, or the one that DTRAIN_ISA names, for tests and comparisons. */
static dt_status choose_kernels(const dt_cpu_kernels **out) {
  const char *wanted = getenv("DTRAIN_ISA");
  for (int i = 0; i < INSTRUCTION_SETS; i++) {
    *out = instruction_sets[i].kernels;
    if ((wanted == NULL || strcmp(wanted, (*out)->isa) == 0) && instruction_sets[i].runs()) return DT_OK;
  }
  DT_RAISE(
      DT_ENVIRONMENT,
      "DTRAIN_ISA=%s: expected avx512, avx2 or plain, one that this build and this machine have; leave it unset for the best",
      wanted);
}

static const dt_device_ops cpu_ops = {
    .name = "cpu",
    .dtype = DT_F32,
    .sample_group = LANES,
    .bucket_bytes = DT_HOST_BUCKET_BYTES,
    .fuses = cpu_fuses,
    .updates = dt_updates_every,
    .buffer_bytes = cpu_buffer_bytes,
    .work_bytes = cpu_work_bytes,
    .alloc = cpu_alloc,
    .block_bytes = cpu_block_bytes,
    .free = cpu_free,
    .memory = dt_host_memory_device,
    .upload = cpu_copy,
    .download = cpu_copy,
    .field = dt_host_field,
    .read_value = cpu_read_value,
    .write_value = cpu_write_value,
    .clear = cpu_clear,
    .sync = cpu_sync,
    .destroy = cpu_destroy,
};

dt_status dt_cpu_create(const dt_device_options *options, dt_device **out) {
  *out = NULL;
  dt_status status;
  dt_cpu *cpu = NULL;
  DT_TRY(dt_alloc(1, sizeof *cpu, &cpu));
  cpu->base = (dt_device){.ops = &cpu_ops, .add = cpu_add, .threads = options->threads};
  DT_TRY_GOTO(fail, choose_kernels(&cpu->kernels));
  cpu->isa = cpu->base.kernels = cpu->kernels->isa;
  for (int op = 0; op < DT_OP_COUNT; op++) {
    cpu->base.kernel[op] = step_kernels[op] != NULL ? step_kernels[op] : cpu->kernels->kernel[op];
  }
  if (options->math == DT_MATH_BLAS) DT_TRY_GOTO(fail, dt_blas_open(&cpu->blas));
  if (cpu->blas != NULL) cpu->base.library = dt_blas_describe(cpu->blas);
  DT_TRY_GOTO(fail, dt_threads_create(options->threads, options->spin, &cpu->threads));
  *out = &cpu->base;
  return DT_OK;
fail:;
  dt_device *device = &cpu->base;
  cpu_destroy(&device);
  return status;
}
