/* Timing what libraries offer for an instruction: dtrain bench plans.
 *
 * Each candidate is made from its text, as it will be from the plan table, and runs on operands of its own, with what dtrain
 * does about it (bias, activation, widening). After a first look the fastest stay, and take turns; a turn is a batch of runs
 * between two events, and the median of the turns counts. The heuristics' choice stays unless another beats it by more than
 * noise does. What wins must give the same bits twice and the heuristics' values nearly: no table is to hold an engine that is
 * broken. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/spec.h"
#include "core/rng.h"
#include "gpu/await.h"
#include "gpu/libraries.h"
#include "gpu/staging.h"

enum { OFFERS_MAX = 256, FINALISTS = 8, TURNS = 5, RUNS_MAX = 200, LOOK_RUNS = 2, NOTE_TEXT = 96, COMPARED = 1 << 16 };
static const double margin = 0.97; /* of the heuristics' time: who takes longer does not replace it */
static const double turn_ms = 2;
static const double hopeless = 2; /* times the best at first look */
/* Largest difference between two engines' values, as a part of the largest value: a few times what another order of sums and
 * rounding to the type make of it, and less than an engine that is broken or exact to fewer digits. */
static const double distances[] = {[DT_FP32] = 1e-4, [DT_TF32] = 1e-2, [DT_BF16] = 2e-2, [DT_FP16] = 5e-3};

/* --- operands --- */

typedef struct memory {
  dt_gpu_counts counts;
  dt_gpu_operands operands;
  float *bias;
  void *work;
  size_t work_bytes;
  void *output; /* what the operation writes: one of the operands */
  int64_t output_count;
  bool output_float; /* though the value type may be narrower */
  float *values;     /* [COMPARED] */
  unsigned long long *hash;
} memory;

typedef struct tuner {
  dt_gpu *gpu;
  cudaStream_t stream;
  cudaEvent_t start, end;
  memory memory;
} tuner;

/* Numbers in [-1, 1): the arithmetic of constants would take less power, and so less time. The first COMPARED, again and again.
 */
static dt_status fill(const tuner *t, bool narrow, int64_t count, void *to) {
  const dt_gpu_type type = narrow ? t->gpu->type : DT_GPU_F32;
  const int64_t first = count < COMPARED ? count : COMPARED;
  const size_t unit = dt_gpu_type_bytes(type), bytes = (size_t)count * unit;
  if (type != DT_GPU_F32) {
    DT_TRY(dt_gpu_narrow(type, t->memory.values, first, to, t->stream));
  } else {
    DT_CUDA(cudaMemcpyAsync(to, t->memory.values, bytes < sizeof(float) * COMPARED ? bytes : sizeof(float) * COMPARED,
                            cudaMemcpyDeviceToDevice, t->stream));
  }
  for (size_t done = (size_t)first * unit; done < bytes;) {
    size_t more = done < bytes - done ? done : bytes - done;
    DT_CUDA(cudaMemcpyAsync((char *)to + done, to, more, cudaMemcpyDeviceToDevice, t->stream));
    done += more;
  }
  return DT_OK;
}

static dt_status draw_values(const tuner *t) {
  float *values = NULL;
  DT_TRY(dt_alloc(COMPARED, sizeof *values, &values));
  for (uint64_t i = 0; i < COMPARED; i += 4) {
    dt_rng_block block = dt_rng(1, DT_RNG_SYNTHETIC, 0, i, 0);
    for (int k = 0; k < 4; k++) values[i + (uint64_t)k] = 2 * dt_rng_float(block.word[k]) - 1;
  }
  dt_status status =
      dt_gpu_send(t->gpu, t->stream, t->memory.values, values, COMPARED * sizeof *values, "the copy of operands");
  free(values);
  return status;
}

/* Room for floats, whatever the type: weight gradients are. */
static dt_status make_operand(const tuner *t, int64_t count, void **out) {
  DT_CUDA(cudaMalloc(out, (size_t)count * sizeof(float)));
  return fill(t, true, count, *out);
}

static void name_output(const dt_instr *instr, memory *m) {
  const bool forward = instr->op == DT_OP_CONV_FWD || instr->op == DT_OP_LINEAR_FWD;
  const bool data = instr->op == DT_OP_CONV_DGRAD || instr->op == DT_OP_LINEAR_DGRAD;
  m->output = forward ? m->operands.y : data ? m->operands.x : m->operands.w;
  m->output_count = forward ? m->counts.y : data ? m->counts.x : m->counts.w;
  m->output_float = !forward && !data;
}

static dt_status make_memory(tuner *t, const dt_instr *instr, const dt_gpu_counts *counts) {
  memory *m = &t->memory;
  void *low = NULL;
  *m = (memory){.counts = *counts};
  DT_CUDA(cudaMalloc((void **)&m->values, COMPARED * sizeof(float)));
  DT_CUDA(cudaMalloc((void **)&m->hash, sizeof *m->hash));
  DT_TRY(draw_values(t));
  DT_TRY(make_operand(t, counts->x, &m->operands.x));
  DT_TRY(make_operand(t, counts->w, &m->operands.w));
  DT_TRY(make_operand(t, counts->y, &m->operands.y));
  DT_TRY(make_operand(t, counts->bias, &low));
  m->operands.low = low;
  DT_CUDA(cudaMalloc((void **)&m->bias, (size_t)counts->bias * sizeof(float)));
  DT_TRY(fill(t, false, counts->bias, m->bias));
  m->operands.bias = m->bias;
  name_output(instr, m);
  return DT_OK;
}

static void drop(tuner *t, const void *block) {
  t->gpu->base.ops->free(&t->gpu->base, (void *)block);
}

static void drop_memory(tuner *t) {
  memory *m = &t->memory;
  drop(t, m->hash);
  drop(t, m->values);
  drop(t, m->work);
  drop(t, m->bias);
  drop(t, m->operands.low);
  drop(t, m->operands.y);
  drop(t, m->operands.w);
  drop(t, m->operands.x);
  *m = (memory){.work = NULL};
}

/* Where there is no room for more, what there is stays. */
static dt_status reserve_work(memory *m, size_t bytes) {
  void *more = NULL;
  if (bytes <= m->work_bytes) return DT_OK;
  DT_CUDA(cudaMalloc(&more, bytes));
  cudaFree(m->work);
  m->work = more;
  m->work_bytes = bytes;
  return DT_OK;
}

/* --- timing --- */

typedef struct candidate {
  dt_gpu_plan *plan;
  double ms, turn[TURNS];
} candidate;

static dt_status run_once(tuner *t, const dt_gpu_library *library, const dt_gpu_plan *plan) {
  return library->compute(t->gpu, plan, &t->memory.operands, t->memory.work, t->stream);
}

/* Milliseconds of one run, by a batch of them. */
static dt_status time_runs(tuner *t, const dt_gpu_library *library, const dt_gpu_plan *plan, int runs, double *out_ms) {
  float ms;
  DT_CUDA(cudaEventRecord(t->start, t->stream));
  for (int i = 0; i < runs; i++) DT_TRY(run_once(t, library, plan));
  DT_CUDA(cudaEventRecord(t->end, t->stream));
  DT_TRY(dt_gpu_await_event(t->gpu, t->end, NULL, "what is timed"));
  DT_CUDA(cudaEventElapsedTime(&ms, t->start, t->end));
  *out_ms = (double)ms / runs;
  return DT_OK;
}

/* The first run loads kernels. */
static dt_status look_at(tuner *t, const dt_gpu_library *library, candidate *c) {
  DT_TRY(reserve_work(&t->memory, library->work(t->gpu, c->plan)));
  DT_TRY(time_runs(t, library, c->plan, 1, &c->ms));
  return time_runs(t, library, c->plan, LOOK_RUNS, &c->ms);
}

static int by_ms(const void *a, const void *b) {
  double x = ((const candidate *)a)->ms, y = ((const candidate *)b)->ms;
  return (x > y) - (x < y);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void drop_candidates(const dt_gpu_library *library, candidate *c, int first, int *count) {
  for (int i = first; i < *count; i++) library->destroy(c[i].plan);
  *count = first;
}

/* The first candidate is the heuristics' and stays; of the others those that may win. */
static void keep_finalists(const dt_gpu_library *library, candidate *c, int *count) {
  int kept = 1;
  qsort(c + 1, (size_t)(*count - 1), sizeof *c, by_ms);
  while (kept < *count && kept < FINALISTS && c[kept].ms < hopeless * c[1].ms && c[kept].ms < hopeless * c[0].ms) kept++;
  drop_candidates(library, c, kept, count);
}

static int runs_for(double ms) {
  double runs = ms > 0 ? turn_ms / ms : RUNS_MAX;
  return runs < 1 ? 1 : runs > RUNS_MAX ? RUNS_MAX : (int)runs;
}

static dt_status take_turns(tuner *t, const dt_gpu_library *library, candidate *c, int count) {
  for (int turn = 0; turn < TURNS; turn++) {
    for (int i = 0; i < count; i++) {
      DT_TRY(run_once(t, library, c[i].plan));
      DT_TRY(time_runs(t, library, c[i].plan, runs_for(c[i].ms), &c[i].turn[turn]));
    }
  }
  for (int i = 0; i < count; i++) {
    qsort(c[i].turn, TURNS, sizeof *c[i].turn, by_value);
    c[i].ms = c[i].turn[TURNS / 2];
  }
  return DT_OK;
}

/* --- what wins must compute --- */

static dt_status hash_of(tuner *t, const dt_gpu_library *library, const dt_gpu_plan *plan, unsigned long long *out) {
  const memory *m = &t->memory;
  const size_t unit = m->output_float ? sizeof(float) : dt_gpu_type_bytes(t->gpu->type);
  DT_TRY(run_once(t, library, plan));
  DT_CUDA(cudaMemsetAsync(m->hash, 0, sizeof *m->hash, t->stream));
  DT_TRY(dt_gpu_hash_words(m->output, (int64_t)((size_t)m->output_count * unit / 4), m->hash, t->stream));
  return dt_gpu_fetch(t->gpu, t->stream, out, m->hash, sizeof *out, "a run and its hash");
}

/* The first values of the output; returns how many. */
static dt_status read_values(tuner *t, const dt_gpu_library *library, const dt_gpu_plan *plan, float *out, int64_t *out_count) {
  const memory *m = &t->memory;
  const float *from = m->values;
  *out_count = m->output_count < COMPARED ? m->output_count : COMPARED;
  DT_TRY(run_once(t, library, plan));
  if (m->output_float || t->gpu->type == DT_GPU_F32) {
    from = m->output;
  } else {
    DT_TRY(dt_gpu_widen(t->gpu->type, m->output, *out_count, m->values, t->stream));
  }
  return dt_gpu_fetch(t->gpu, t->stream, out, from, (size_t)*out_count * sizeof(float), "a run and its values");
}

static double distance(const float *a, const float *b, int64_t count) {
  double most = 0, scale = 0;
  for (int64_t i = 0; i < count; i++) {
    double apart = fabs((double)a[i] - b[i]);
    if (!(apart <= most)) most = apart; /* NaN too */
    if (fabs((double)a[i]) > scale) scale = fabs((double)a[i]);
  }
  return scale > 0 ? most / scale : most;
}

static dt_status check_values(tuner *t, const dt_gpu_library *library, const candidate *known, const candidate *argmax,
                              float *values, const char **out_why) {
  unsigned long long hash[2];
  int64_t count;
  DT_TRY(read_values(t, library, known->plan, values, &count));
  DT_TRY(read_values(t, library, argmax->plan, values + COMPARED, &count));
  DT_TRY(hash_of(t, library, argmax->plan, &hash[0]));
  DT_TRY(hash_of(t, library, argmax->plan, &hash[1]));
  if (hash[0] != hash[1]) *out_why = "it gives other bits from one run to the next";
  if (!(distance(values, values + COMPARED, count) <= distances[t->gpu->precision])) *out_why = "its values are others";
  return DT_OK;
}

static dt_status check_argmax(tuner *t, const dt_gpu_library *library, const candidate *known, const candidate *argmax,
                              const char **out_why) {
  float *values = NULL;
  DT_TRY(dt_alloc(2 * COMPARED, sizeof *values, &values));
  dt_status status = check_values(t, library, known, argmax, values, out_why);
  free(values);
  return status;
}

/* --- one instruction --- */

typedef struct result {
  char what[DT_GPU_WHAT_TEXT], choice[DT_GPU_CHOICE_TEXT], note[NOTE_TEXT];
  double first_ms, best_ms;
} result;

typedef struct subject {
  const dt_program *program;
  const dt_instr *instr;
  const dt_gpu_library *library;
} subject;

/* A candidate that refuses or fails to be enqueued is passed over; one that breaks the device can't be. */
static dt_status add_candidate(tuner *t, const subject *s, const char *choice, candidate *c, int *count) {
  candidate next = {.plan = NULL};
  DT_TRY(s->library->make(t->gpu, s->program, s->instr, choice, &next.plan));
  if (next.plan == NULL) return DT_OK;
  dt_status status = look_at(t, s->library, &next);
  if (status == DT_OK) {
    c[(*count)++] = next;
    return DT_OK;
  }
  s->library->destroy(next.plan);
  if (*count == 0 || dt_device_is_stuck(&t->gpu->base)) return status;
  if (dt_gpu_await_stream(t->gpu, t->stream, "what is timed") != DT_OK) return status;
  cudaGetLastError(); /* the next call that looks would take it for its own */
  dt_error_clear();
  return DT_OK;
}

static dt_status gather(tuner *t, const subject *s, dt_gpu_offers *offers, candidate *c, int *count) {
  DT_TRY(add_candidate(t, s, NULL, c, count));
  if (!c[0].plan->found) return DT_OK;
  DT_TRY(s->library->offer(t->gpu, s->program, s->instr, offers));
  for (int i = 0; i < offers->count; i++) {
    if (strcmp(offers->choice[i], c[0].plan->choice) != 0) DT_TRY(add_candidate(t, s, offers->choice[i], c, count));
  }
  return DT_OK;
}

static void write_result(const candidate *first, const candidate *best, result *r) {
  snprintf(r->choice, sizeof r->choice, "%s", best->plan->choice);
  r->first_ms = first->ms;
  r->best_ms = best->ms;
  snprintf(r->note, sizeof r->note, best == first ? "%.2f us, the heuristics' choice" : "%.2f us, the heuristics' %.2f us",
           best->ms * 1e3, first->ms * 1e3);
}

static void print_result(const result *r, const char *text, int seen, const char *why, FILE *out) {
  fprintf(out, "%s\n  %10.2f us %10.2f us %6.2f  of %d: %s", r->what, r->first_ms * 1e3, r->best_ms * 1e3,
          r->first_ms / r->best_ms, seen, text);
  if (why != NULL) fprintf(out, " (the fastest is left out: %s)", why);
  fprintf(out, "\n");
  fflush(out);
}

/* result->choice stays "" where no library computes the instruction. */
static dt_status decide(tuner *t, const subject *s, candidate *c, int *count, result *r, FILE *out) {
  const char *why = NULL;
  const int seen = *count;
  if (!c[0].plan->found) {
    fprintf(out, "%s\n  %s\n", r->what, c[0].plan->text);
    return DT_OK;
  }
  keep_finalists(s->library, c, count);
  DT_TRY(take_turns(t, s->library, c, *count));
  const candidate *best = c;
  for (int i = 1; i < *count; i++) {
    if (c[i].ms < margin * c[0].ms && c[i].ms < best->ms) best = &c[i];
  }
  if (best != c) DT_TRY(check_argmax(t, s->library, c, best, &why));
  if (why != NULL) best = c;
  write_result(c, best, r);
  print_result(r, best->plan->text, seen, why, out);
  return DT_OK;
}

static dt_status tune_with(tuner *t, const subject *s, dt_gpu_offers *offers, candidate *c, result *r, FILE *out) {
  const dt_gpu_counts counts = s->library->counts(s->program, s->instr);
  int count = 0;
  dt_status status = make_memory(t, s->instr, &counts);
  if (status == DT_OK) status = gather(t, s, offers, c, &count);
  if (status == DT_OK) status = decide(t, s, c, &count, r, out);
  drop_candidates(s->library, c, 0, &count);
  drop_memory(t);
  return status;
}

static dt_status tune(tuner *t, const subject *s, result *r, FILE *out) {
  dt_gpu_offers offers = {.room = OFFERS_MAX};
  candidate *c = NULL;
  DT_TRY(dt_alloc(OFFERS_MAX, sizeof *offers.choice, &offers.choice));
  dt_status status = dt_alloc(OFFERS_MAX + 1, sizeof *c, &c);
  if (status == DT_OK) status = tune_with(t, s, &offers, c, r, out);
  free(c);
  free(offers.choice);
  return status;
}

/* --- all of them --- */

typedef struct results {
  result *item;
  dt_gpu_plan_entry *entry; /* for those with a choice */
  int count, entry_count;
} results;

static const result *find_result(const results *all, const char *what) {
  for (int i = 0; i < all->count; i++) {
    if (strcmp(all->item[i].what, what) == 0) return &all->item[i];
  }
  return NULL;
}

/* What is done is written at once, so that a call which is ended early leaves it. */
static dt_status tune_next(tuner *t, const subject *s, const char *path, results *all, FILE *out) {
  result *r = &all->item[all->count];
  s->library->what(t->gpu, s->program, s->instr, r->what);
  if (find_result(all, r->what) != NULL) return DT_OK;
  DT_TRY(tune(t, s, r, out));
  all->count++;
  if (r->choice[0] == '\0') return DT_OK;
  all->entry[all->entry_count++] = (dt_gpu_plan_entry){.what = r->what, .choice = r->choice, .note = r->note};
  return dt_gpu_plan_table_save(path, t->gpu->libraries->machine, all->entry, all->entry_count);
}

static dt_status tune_program(tuner *t, const dt_program *program, const char *path, results *all, FILE *out) {
  for (int i = 0; i < program->count; i++) {
    const subject s = {program, &program->instr[i], dt_gpu_library_of(program->instr[i].op)};
    if (s.library != NULL) DT_TRY(tune_next(t, &s, path, all, out));
  }
  return DT_OK;
}

/* Over the instructions of a program, each as often as it is there. */
static void print_sum(const tuner *t, const dt_program *program, const results *all, FILE *out) {
  double first = 0, best = 0;
  char what[DT_GPU_WHAT_TEXT];
  for (int i = 0; i < program->count; i++) {
    const dt_gpu_library *library = dt_gpu_library_of(program->instr[i].op);
    if (library == NULL) continue;
    library->what(t->gpu, program, &program->instr[i], what);
    const result *r = find_result(all, what);
    first += r->first_ms;
    best += r->best_ms;
  }
  fprintf(out, "sum of the step: %.1f us by the heuristics, %.1f us as timed\n", first * 1e3, best * 1e3);
}

static dt_status tune_all(tuner *t, const dt_program *const *program, int program_count, const char *path, results *all,
                          FILE *out) {
  DT_CUDA(cudaEventCreate(&t->start));
  DT_CUDA(cudaEventCreate(&t->end));
  fprintf(out, "[%s]\nWHAT\n  %13s %13s %6s  of CANDIDATES: ENGINE\n", t->gpu->libraries->machine, "heuristics", "timed",
          "ratio");
  for (int p = 0; p < program_count; p++) DT_TRY(tune_program(t, program[p], path, all, out));
  print_sum(t, program[0], all, out);
  fprintf(out, "%s: %d choices; plans: %s in a config uses them\n", path, all->entry_count, path);
  return DT_OK;
}

dt_status dt_gpu_time_plans(dt_device *device, const dt_program *const *program, int program_count, const char *path,
                            FILE *out) {
  tuner t = {.gpu = (dt_gpu *)device};
  results all = {.count = 0};
  size_t room = 1;
  DT_REQUIRE(t.gpu->index >= 0, DT_ENVIRONMENT, "%s is a plan without a GPU: nothing can be timed on it", t.gpu->title);
  t.stream = t.gpu->stream[DT_STREAM_COMPUTE];
  for (int p = 0; p < program_count; p++) room += (size_t)program[p]->count;
  dt_status status = dt_alloc(room, sizeof *all.item, &all.item);
  if (status == DT_OK) status = dt_alloc(room, sizeof *all.entry, &all.entry);
  if (status == DT_OK) status = tune_all(&t, program, program_count, path, &all, out);
  if (t.end != NULL) cudaEventDestroy(t.end);
  if (t.start != NULL) cudaEventDestroy(t.start);
  free(all.entry);
  free(all.item);
  return status;
}
