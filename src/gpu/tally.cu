/* TALLY and SCORE: the terms that losses and metrics give of each sample are summed, for the gradient block in training, and in
 * integers in an evaluation. */
#include <math.h>

#include "gpu/kernel.cuh"

enum { BLOCK = 512 }; /* threads of TALLY's only block: the order of its sums is made of them */

static constexpr unsigned ALL_LANES = 0xffffffffu;

/* What of the program's sums the kernels need. */
typedef struct sums {
  int count, columns;
  int8_t kind[DT_SUMS_MAX], column[DT_SUMS_MAX], element[DT_SUMS_MAX];
  int64_t word[DT_SUMS_MAX], bins[DT_SUMS_MAX];
} sums;

typedef struct tally_job {
  sums of;
  const float *terms; /* [places][columns] */
  dt_gpu_shards shards;
  const dt_step *step; /* its flags; NULL for zeros */
  float *statistics;
} tally_job;

/* A sum of terms, and how many of them are not finite. */
typedef struct term_sum {
  float sum, nonfinite;
} term_sum;

static __device__ void add(term_sum *to, const term_sum &from) {
  to->sum += from.sum;
  to->nonfinite += from.nonfinite;
}

/* What this thread's warp has of a shard, in each of its lanes: thread t takes samples t, t + BLOCK, ... A warp that has none
 * need not find out that their sum is zero. */
static __device__ term_sum sum_warp(const tally_job &job, int shard, int column) {
  const float *terms = job.terms + shard * job.shards.capacity * job.of.columns + column;
  const int valid = job.shards.valid[shard], thread = (int)threadIdx.x;
  term_sum own = {0, 0};
  if (thread / DT_WARP * DT_WARP >= valid) return own;
  for (int64_t s = thread; s < valid; s += BLOCK) {
    const float term = terms[s * job.of.columns];
    add(&own, {term, isfinite(term) ? 0.0f : 1.0f});
  }
  for (int distance = DT_WARP / 2; distance > 0; distance /= 2) {
    add(&own, {__shfl_xor_sync(ALL_LANES, own.sum, distance), __shfl_xor_sync(ALL_LANES, own.nonfinite, distance)});
  }
  return own;
}

/* One block of BLOCK threads; of as many warps only as a shard has places for, the others' sums being zero. A shard's sum is
 * that of its warps in order, and shards are folded by the tree: where a pair is complete, its sum takes the place of the
 * first. */
static __global__ void tally(tally_job job) {
  __shared__ term_sum of_warp[DT_GPU_SHARDS_MAX][BLOCK / DT_WARP], open[DT_GPU_SHARDS_MAX];
  const int thread = (int)threadIdx.x, threads = (int)blockDim.x;
  for (int i = 0; i < job.of.count; i++) {
    for (int shard = 0; shard < job.shards.count; shard++) {
      const term_sum own = sum_warp(job, shard, job.of.column[i]);
      if (thread % DT_WARP == 0) of_warp[shard][thread / DT_WARP] = own;
    }
    __syncthreads();
    for (int shard = thread; shard < job.shards.count; shard += threads) {
      term_sum sum = {0, 0};
      for (int w = 0; w < threads / DT_WARP; w++) add(&sum, of_warp[shard][w]);
      open[shard] = sum;
    }
    __syncthreads();
    if (thread != 0) continue;
    for (int half = 1; half < job.shards.count; half *= 2) {
      for (int shard = 0; shard < job.shards.count; shard += 2 * half) add(&open[shard], open[shard + half]);
    }
    job.statistics[job.of.element[i]] = open[0].sum;
    if (job.of.kind[i] == DT_SUM_REAL) job.statistics[job.of.element[i] + 1] = open[0].nonfinite;
  }
  if (thread != 0) return;
  int64_t samples = 0;
  for (int shard = 0; shard < job.shards.count; shard++) samples += job.shards.valid[shard];
  job.statistics[DT_STATISTIC_SAMPLES] = (float)samples;
  for (int i = DT_STATISTIC_STOP; i <= DT_STATISTIC_FAIL; i++)
    job.statistics[i] = job.step != NULL ? (float)job.step->flags[i] : 0;
}

static __device__ void add_count(int64_t *sum, int64_t count) {
  if (count != 0) atomicAdd(reinterpret_cast<unsigned long long *>(sum), (unsigned long long)count);
}

/* Integers, so that the order of the atomics does not matter; a thread adds its samples up first. */
static __global__ void score(sums of, const float *terms, dt_gpu_shards shards, int64_t *words) {
  const int64_t places = shards.count * shards.capacity;
  for (int i = 0; i < of.count; i++) {
    int64_t own[DT_SUM_REAL_WORDS] = {};
    for (int64_t s = dt_thread_index(); s < places; s += dt_thread_count()) {
      if (!dt_is_filled(shards, s)) continue;
      const float term = terms[s * of.columns + of.column[i]];
      if (of.kind[i] == DT_SUM_HISTOGRAM) {
        if (term >= 0 && term < (float)of.bins[i]) add_count(words + of.word[i] + (int64_t)term, 1);
      } else {
        dt_sum_add(of.kind[i] == DT_SUM_REAL ? DT_SUM_REAL : DT_SUM_COUNT, 1, own, term);
      }
    }
    const int count = of.kind[i] == DT_SUM_REAL ? (int)DT_SUM_REAL_WORDS : of.kind[i] == DT_SUM_COUNT ? 1 : 0;
    DT_UNROLL for (int w = 0; w < DT_SUM_REAL_WORDS; w++) {
      if (w < count) add_count(words + of.word[i] + w, own[w]);
    }
  }
}

static sums sums_of(const dt_program *program) {
  sums of = {};
  of.columns = program->columns;
  for (int i = 0; i < program->sum_count; i++) {
    const dt_sum *sum = &program->sum[i];
    if (sum->column < 0) continue;
    of.kind[of.count] = (int8_t)sum->decl->kind;
    of.column[of.count] = (int8_t)sum->column;
    of.element[of.count] = (int8_t)sum->element;
    of.word[of.count] = sum->word;
    of.bins[of.count++] = sum->decl->bins;
  }
  return of;
}

dt_status dt_gpu_tally(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_gpu_input input = dt_gpu_input_of(run, micro);
  tally_job job = {};
  job.of = sums_of(run->program);
  job.terms = static_cast<const float *>(dt_gpu_arg(run, instr, micro, DT_ARG_TERMS));
  job.shards = input.shards;
  job.step = micro->index == 0 ? input.step : NULL;
  job.statistics = static_cast<float *>(dt_gpu_arg(run, instr, micro, DT_ARG_STAT));
  const int64_t threads = (job.shards.capacity + DT_WARP - 1) / DT_WARP * DT_WARP;
  DT_LAUNCH(tally, dim3(1), dim3((unsigned)(threads < BLOCK ? threads : BLOCK)), dt_gpu_stream(run, instr), job);
  return DT_OK;
}

dt_status dt_gpu_score(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_LAUNCH(score, dt_grid(dt_gpu_places(run, micro)), dim3(DT_BLOCK), dt_gpu_stream(run, instr), sums_of(run->program),
            static_cast<const float *>(dt_gpu_arg(run, instr, micro, DT_ARG_TERMS)), dt_gpu_input_of(run, micro).shards,
            dt_gpu_scores(run));
  return DT_OK;
}
