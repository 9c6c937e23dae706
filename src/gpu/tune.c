/* Choosing among what libraries offer for an instruction, by timing: dtrain bench plans.
 *
 * Each candidate is made from its text, as it will be from the plan table, and runs with what dtrain does about it (bias,
 * activation, widening), as trial.h has it. After a first look the fastest stay, and take turns, of which the median counts.
 * The heuristics' choice stays unless another beats it by more than noise does. What wins must give the same bits twice and the
 * heuristics' values nearly: no table is to hold an engine that is broken. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/spec.h"
#include "gpu/await.h"
#include "gpu/trial.h"

enum { OFFERS_MAX = 256, FINALISTS = 8, TURNS = 5, RUNS_MIN = 2, RUNS_MAX = 200, LOOK_RUNS = 4, NOTE_TEXT = 96 };
static const double margin = 0.97; /* of the heuristics' time: who takes longer does not replace it */
static const double turn_ms = 2;
static const double hopeless = 2; /* times the best at first look */
/* Largest difference between two engines' values, as a part of the largest value: a few times what another order of sums and
 * rounding to the type make of it, and less than an engine that is broken or exact to fewer digits. */
static const double distances[] = {[DT_FP32] = 1e-4, [DT_TF32] = 1e-2, [DT_BF16] = 2e-2, [DT_FP16] = 5e-3};

/* --- timing --- */

typedef struct candidate {
  dt_gpu_plan *plan;
  cudaGraphExec_t graph; /* of `runs` runs; finalists have one */
  int runs;
  double ms, turn[TURNS];
} candidate;

static dt_status time_once(const dt_gpu_trial *t, const dt_gpu_plan *plan, int runs, double *out_ms) {
  cudaGraphExec_t graph;
  DT_TRY(dt_gpu_trial_record(t, plan, runs, &graph));
  dt_status status = dt_gpu_trial_time(t, graph, runs, out_ms);
  if (!dt_device_is_stuck(&t->gpu->base)) cudaGraphExecDestroy(graph);
  return status;
}

static dt_status look_at(dt_gpu_trial *t, candidate *c) {
  DT_TRY(dt_gpu_trial_reserve(t, c->plan));
  DT_TRY(dt_gpu_trial_run(t, c->plan));
  return time_once(t, c->plan, LOOK_RUNS, &c->ms);
}

static int by_ms(const void *a, const void *b) {
  double x = ((const candidate *)a)->ms, y = ((const candidate *)b)->ms;
  return (x > y) - (x < y);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void drop_candidates(const dt_gpu_trial *t, candidate *c, int first, int *count) {
  for (int i = first; i < *count; i++) {
    if (c[i].graph != NULL && !dt_device_is_stuck(&t->gpu->base)) cudaGraphExecDestroy(c[i].graph);
    t->library->destroy(c[i].plan);
  }
  *count = first;
}

/* The first candidate is the heuristics' and stays; of the others those that may win. */
static void keep_finalists(const dt_gpu_trial *t, candidate *c, int *count) {
  int kept = 1;
  qsort(c + 1, (size_t)(*count - 1), sizeof *c, by_ms);
  while (kept < *count && kept < FINALISTS && c[kept].ms < hopeless * c[1].ms && c[kept].ms < hopeless * c[0].ms) kept++;
  drop_candidates(t, c, kept, count);
}

static int runs_for(double ms) {
  double runs = ms > 0 ? turn_ms / ms : RUNS_MAX;
  return runs < RUNS_MIN ? RUNS_MIN : runs > RUNS_MAX ? RUNS_MAX : (int)runs;
}

static dt_status take_turns(const dt_gpu_trial *t, candidate *c, int count) {
  for (int i = 0; i < count; i++) {
    c[i].runs = runs_for(c[i].ms);
    DT_TRY(dt_gpu_trial_record(t, c[i].plan, c[i].runs, &c[i].graph));
  }
  for (int turn = 0; turn < TURNS; turn++) {
    for (int i = 0; i < count; i++) DT_TRY(dt_gpu_trial_time(t, c[i].graph, c[i].runs, &c[i].turn[turn]));
  }
  for (int i = 0; i < count; i++) {
    qsort(c[i].turn, TURNS, sizeof *c[i].turn, by_value);
    c[i].ms = c[i].turn[TURNS / 2];
  }
  return DT_OK;
}

/* --- what wins must compute --- */

static double distance(const float *a, const float *b, int64_t count) {
  double most = 0, scale = 0;
  for (int64_t i = 0; i < count; i++) {
    double apart = fabs((double)a[i] - b[i]);
    if (!(apart <= most)) most = apart; /* NaN too */
    if (fabs((double)a[i]) > scale) scale = fabs((double)a[i]);
  }
  return scale > 0 ? most / scale : most;
}

static dt_status check_values(const dt_gpu_trial *t, const candidate *known, const candidate *argmax, float *values,
                              const char **out_why) {
  unsigned long long hash[2];
  int64_t count;
  DT_TRY(dt_gpu_trial_values(t, known->plan, values, &count));
  DT_TRY(dt_gpu_trial_values(t, argmax->plan, values + DT_GPU_TRIAL_VALUES, &count));
  DT_TRY(dt_gpu_trial_hash(t, argmax->plan, &hash[0]));
  DT_TRY(dt_gpu_trial_hash(t, argmax->plan, &hash[1]));
  if (hash[0] != hash[1]) *out_why = "it gives other bits from one run to the next";
  if (!(distance(values, values + DT_GPU_TRIAL_VALUES, count) <= distances[t->gpu->precision])) {
    *out_why = "its values are others";
  }
  return DT_OK;
}

static dt_status check_argmax(const dt_gpu_trial *t, const candidate *known, const candidate *argmax, const char **out_why) {
  float *values = NULL;
  DT_TRY(dt_alloc(2 * DT_GPU_TRIAL_VALUES, sizeof *values, &values));
  dt_status status = check_values(t, known, argmax, values, out_why);
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

/* A candidate that refuses, that can't be recorded or fails to be enqueued is passed over; one that breaks the device can't be.
 */
static dt_status add_candidate(dt_gpu_trial *t, const subject *s, const char *choice, candidate *c, int *count) {
  candidate next = {.plan = NULL};
  DT_TRY(s->library->make(t->gpu, s->program, s->instr, choice, &next.plan));
  if (next.plan == NULL) return DT_OK;
  dt_status status = look_at(t, &next);
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

static dt_status gather(dt_gpu_trial *t, const subject *s, dt_gpu_offers *offers, candidate *c, int *count) {
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
static dt_status decide(const dt_gpu_trial *t, candidate *c, int *count, result *r, FILE *out) {
  const char *why = NULL;
  const int seen = *count;
  if (!c[0].plan->found) {
    fprintf(out, "%s\n  %s\n", r->what, c[0].plan->text);
    return DT_OK;
  }
  keep_finalists(t, c, count);
  DT_TRY(take_turns(t, c, *count));
  const candidate *best = c;
  for (int i = 1; i < *count; i++) {
    if (c[i].ms < margin * c[0].ms && c[i].ms < best->ms) best = &c[i];
  }
  if (best != c) DT_TRY(check_argmax(t, c, best, &why));
  if (why != NULL) best = c;
  write_result(c, best, r);
  print_result(r, best->plan->text, seen, why, out);
  return DT_OK;
}

static dt_status tune_with(dt_gpu *gpu, const subject *s, dt_gpu_offers *offers, candidate *c, result *r, FILE *out) {
  dt_gpu_trial trial;
  int count = 0;
  dt_status status = dt_gpu_trial_make(gpu, s->library, s->program, s->instr, &trial);
  if (status == DT_OK) status = gather(&trial, s, offers, c, &count);
  if (status == DT_OK) status = decide(&trial, c, &count, r, out);
  drop_candidates(&trial, c, 0, &count);
  dt_gpu_trial_drop(&trial);
  return status;
}

static dt_status tune(dt_gpu *gpu, const subject *s, result *r, FILE *out) {
  dt_gpu_offers offers = {.room = OFFERS_MAX};
  candidate *c = NULL;
  DT_TRY(dt_alloc(OFFERS_MAX, sizeof *offers.choice, &offers.choice));
  dt_status status = dt_alloc(OFFERS_MAX + 1, sizeof *c, &c);
  if (status == DT_OK) status = tune_with(gpu, s, &offers, c, r, out);
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
static dt_status tune_next(dt_gpu *gpu, const subject *s, const char *path, results *all, FILE *out) {
  result *r = &all->item[all->count];
  s->library->what(gpu, s->program, s->instr, r->what);
  if (find_result(all, r->what) != NULL) return DT_OK;
  DT_TRY(tune(gpu, s, r, out));
  all->count++;
  if (r->choice[0] == '\0') return DT_OK;
  all->entry[all->entry_count++] = (dt_gpu_plan_entry){.what = r->what, .choice = r->choice, .note = r->note};
  return dt_gpu_plan_table_save(path, gpu->libraries->machine, all->entry, all->entry_count);
}

static dt_status tune_program(dt_gpu *gpu, const dt_program *program, const char *path, results *all, FILE *out) {
  for (int i = 0; i < program->count; i++) {
    const subject s = {program, &program->instr[i], dt_gpu_library_of(program->instr[i].op)};
    if (s.library != NULL) DT_TRY(tune_next(gpu, &s, path, all, out));
  }
  return DT_OK;
}

/* Over the instructions of a program, each as often as it is there. */
static void print_sum(const dt_gpu *gpu, const dt_program *program, const results *all, FILE *out) {
  double first = 0, best = 0;
  char what[DT_GPU_WHAT_TEXT];
  for (int i = 0; i < program->count; i++) {
    const dt_gpu_library *library = dt_gpu_library_of(program->instr[i].op);
    if (library == NULL) continue;
    library->what(gpu, program, &program->instr[i], what);
    const result *r = find_result(all, what);
    first += r->first_ms;
    best += r->best_ms;
  }
  fprintf(out, "sum of the step: %.1f us by the heuristics, %.1f us as timed\n", first * 1e3, best * 1e3);
}

static dt_status tune_all(dt_gpu *gpu, const dt_program *const *program, int program_count, const char *path, results *all,
                          FILE *out) {
  fprintf(out, "[%s]\nWHAT\n  %13s %13s %6s  of CANDIDATES: ENGINE\n", gpu->libraries->machine, "heuristics", "timed", "ratio");
  for (int p = 0; p < program_count; p++) DT_TRY(tune_program(gpu, program[p], path, all, out));
  print_sum(gpu, program[0], all, out);
  fprintf(out, "%s: %d choices; plans: %s in a config uses them\n", path, all->entry_count, path);
  return DT_OK;
}

dt_status dt_gpu_time_plans(dt_device *device, const dt_program *const *program, int program_count, const char *path,
                            FILE *out) {
  dt_gpu *gpu = (dt_gpu *)device;
  results all = {.count = 0};
  size_t room = 1;
  DT_REQUIRE(gpu->index >= 0, DT_ENVIRONMENT, "%s is a plan without a GPU: nothing can be timed on it", gpu->title);
  for (int p = 0; p < program_count; p++) room += (size_t)program[p]->count;
  dt_status status = dt_alloc(room, sizeof *all.item, &all.item);
  if (status == DT_OK) status = dt_alloc(room, sizeof *all.entry, &all.entry);
  if (status == DT_OK) status = tune_all(gpu, program, program_count, path, &all, out);
  free(all.entry);
  free(all.item);
  return status;
}
