/* Prediction: a checkpoint labels data, as CSV (docs/files.md). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/losses/loss.h"
#include "train/evaluate.h"
#include "train/job.h"
#include "train/predict.h"
#include "train/signals.h"
#include "train/trainer.h"

/* What one rank finds for one sample; gathered at rank 0 step by step, so that memory does not grow with the data. */
typedef struct found {
  int64_t index; /* -1: an empty position */
  int64_t place; /* of its row in all_rows */
  int32_t label;
  float probability;
} found;

typedef struct predict_state {
  dt_job *job;
  dt_loader *loader;
  dt_prediction output;         /* what the numbers of a sample are */
  bool all;                     /* all of them are printed */
  int64_t classes;              /* how many there are */
  double *probability;          /* [shards of a micro-batch][shard_capacity][classes] */
  found *own, *every;           /* this rank's; rank 0: those of all ranks */
  float *own_rows, *every_rows; /* [place][classes], if all */
  const int32_t *truth;         /* [samples of the data set]; NULL where it has no labels */
  int64_t own_count;            /* places a rank sends per step: the same on every rank */
} predict_state;

static const char *const number_words[] = {[DT_OUTPUT_CLASSES] = "the probability of class",
                                           [DT_OUTPUT_LABELS] = "the probability of output",
                                           [DT_OUTPUT_NUMBERS] = "output"};

static dt_status label_sample(predict_state *p, const double *row, int64_t index, int64_t place) {
  int64_t best = 0;
  for (int64_t c = 0; c < p->classes; c++) {
    DT_REQUIRE(isfinite(row[c]), DT_NUMERIC, "%s: %s %lld of sample %lld is not finite", p->job->eval->source,
               number_words[p->output], (long long)c, (long long)index);
    if (row[c] > row[best]) best = c;
    if (p->all) p->own_rows[place * p->classes + c] = (float)row[c];
  }
  p->own[place] = (found){.index = index, .label = (int32_t)best, .probability = (float)row[best]};
  return DT_OK;
}

static dt_status label_shard(predict_state *p, const dt_batch *batch, int shard, int64_t first, int64_t place) {
  const int slots = p->job->program[1]->shard_capacity;
  for (int64_t i = 0; i < batch->valid[shard]; i++) {
    const double *row = p->probability + (shard * slots + i) * p->classes;
    DT_TRY(label_sample(p, row, first + batch->position[shard] + i, place + i));
  }
  return DT_OK;
}

/* Labels this rank's samples of the step that starts at `first`. */
static dt_status label_step(predict_state *p, int64_t first) {
  dt_job *job = p->job;
  const dt_program *program = job->program[1];
  DT_REQUIRE(!dt_signal_preempt(), DT_PREEMPTED, "prediction was stopped by a signal");
  DT_REQUIRE(!dt_signal_stop(), DT_INTERRUPTED, "prediction was stopped by a signal");
  for (int64_t i = 0; i < p->own_count; i++) p->own[i].index = -1;
  int64_t place = 0;
  for (int n = 0; n < job->tree->micro_batch_count; n++) {
    const dt_batch *batch;
    const dt_micro_batch_plan *plan = &job->tree->micro_batches[n];
    dt_micro_batch micro = {.first_shard = plan->first_shard, .shard_count = plan->shard_count};
    DT_TRY(dt_loader_next(p->loader, &batch));
    DT_TRY(dt_executor_run_micro_batch(job->executor[1], n, batch));
    micro.batch = batch;
    DT_TRY(job->device->ops->read_value(dt_executor_run_state(job->executor[1]), program->logits, &micro, p->probability));
    for (int s = 0; s < plan->shard_count; s++, place += program->shard_capacity)
      DT_TRY(label_shard(p, batch, s, first, place));
  }
  return DT_OK;
}

static int by_index(const void *a, const void *b) {
  int64_t x = ((const found *)a)->index, y = ((const found *)b)->index;
  return (x > y) - (x < y);
}

/* ---- CSV ---- */

/* A field of RFC 4180: in quotes where it has to be. */
static void print_text(const char *text, FILE *out) {
  if (strpbrk(text, ",\"") == NULL && text[0] != ' ') {
    fprintf(out, ",%s", text);
    return;
  }
  fputs(",\"", out);
  for (; *text != '\0'; text++) fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
  fputc('"', out);
}

/* Labels of data that the network has no class for have no name. */
static void print_name(const predict_state *p, int32_t label, FILE *out) {
  const dt_strings *names = &p->job->spec->data.classes;
  print_text(label >= 0 && label < names->count ? names->value[label] : "", out);
}

/* NULL where the data have no labels. */
static const int32_t *find_labels(const predict_state *p) {
  const dt_graph *graph = p->job->graph;
  const dt_dataset *set = p->job->eval;
  const int field = dt_dataset_find(set, graph->field[graph->node[graph->goals.loss[0].node].field].name);
  const dt_field *label = &set->fields.field[field < 0 ? 0 : field];
  return field >= 0 && label->dtype == DT_I32 && label->shape.ndim == 0 ? set->data[field].values : NULL;
}

/* Of what is no class: the numbers alone, probabilities p0, p1, ... or outputs y0, y1, .... */
static void print_row(const predict_state *p, const found *f, FILE *out) {
  for (int64_t c = 0; c < p->classes; c++) fprintf(out, ",%.9g", (double)p->every_rows[f->place * p->classes + c]);
  fputc('\n', out);
}

static void print_columns(const predict_state *p, FILE *out) {
  const char letter = p->output == DT_OUTPUT_NUMBERS ? 'y' : 'p';
  for (int64_t c = 0; p->all && c < p->classes; c++) fprintf(out, ",%c%lld", letter, (long long)c);
  fputc('\n', out);
}

static void print_header(const predict_state *p, FILE *out) {
  if (p->output != DT_OUTPUT_CLASSES) {
    fputs("index", out);
    print_columns(p, out);
    return;
  }
  const bool named = p->job->spec->data.classes.count > 0, labelled = p->truth != NULL;
  fprintf(out, "index,label,probability%s%s%s", labelled ? ",true" : "", named ? ",label_name" : "",
          named && labelled ? ",true_name" : "");
  print_columns(p, out);
}

static void print_sample(const predict_state *p, const found *f, FILE *out) {
  if (p->output != DT_OUTPUT_CLASSES) {
    fprintf(out, "%lld", (long long)f->index);
    print_row(p, f, out);
    return;
  }
  const int32_t *truth = p->truth;
  const bool named = p->job->spec->data.classes.count > 0;
  fprintf(out, "%lld,%d,%.6f", (long long)f->index, f->label, (double)f->probability);
  if (truth != NULL) fprintf(out, ",%d", truth[f->index]);
  if (named) print_name(p, f->label, out);
  if (named && truth != NULL) print_name(p, truth[f->index], out);
  if (p->all)
    print_row(p, f, out);
  else
    fputc('\n', out);
}

static dt_status print_step(predict_state *p, FILE *out) {
  int64_t count = p->own_count * p->job->comm->size;
  for (int64_t i = 0; i < count; i++) p->every[i].place = i;
  qsort(p->every, (size_t)count, sizeof *p->every, by_index);
  for (int64_t i = 0; i < count; i++) {
    if (p->every[i].index >= 0) print_sample(p, &p->every[i], out);
  }
  DT_REQUIRE(!ferror(out), DT_IO, "the predictions can't be written");
  return DT_OK;
}

/* ---- */

static dt_status gather_step(predict_state *p) {
  dt_comm *comm = p->job->comm;
  DT_TRY(comm->ops->gather(comm, p->own, (size_t)p->own_count * sizeof *p->own, p->every, 0));
  if (!p->all) return DT_OK;
  return comm->ops->gather(comm, p->own_rows, (size_t)(p->own_count * p->classes) * sizeof *p->own_rows, p->every_rows, 0);
}

static dt_status predict_loop(predict_state *p, FILE *out) {
  dt_job *job = p->job;
  int64_t batch = job->spec->train.global_batch;
  if (job->comm->rank == 0) print_header(p, out);
  for (int64_t first = 0; first < job->eval->count; first += batch) {
    DT_TRY(dt_comm_agree(job->comm, label_step(p, first)));
    DT_TRY(gather_step(p));
    DT_TRY(dt_comm_agree(job->comm, job->comm->rank == 0 ? print_step(p, out) : DT_OK));
  }
  return DT_OK;
}

static dt_status predict_set_up(predict_state *p) {
  dt_job *job = p->job;
  const dt_program *program = job->program[1];
  p->classes = dt_shape_count(&program->buffer[program->logits].shape);
  p->output = ((const dt_loss *)job->graph->node[job->graph->goals.loss[0].node].layer)->output;
  p->all = p->all || p->output != DT_OUTPUT_CLASSES;
  p->truth = find_labels(p);
  int most = (job->tree->shards + job->comm->size - 1) / job->comm->size;
  p->own_count = most * program->shard_capacity;
  const size_t own = (size_t)p->own_count, every = own * (size_t)job->comm->size, row = p->all ? (size_t)p->classes : 0;
  DT_TRY(
      dt_alloc((size_t)(program->micro_batch_shards * program->shard_capacity * p->classes), sizeof(double), &p->probability));
  DT_TRY(dt_alloc(own, sizeof(found), &p->own));
  DT_TRY(dt_alloc(every, sizeof(found), &p->every));
  DT_TRY(dt_alloc(own * row, sizeof(float), &p->own_rows));
  DT_TRY(dt_alloc(every * row, sizeof(float), &p->every_rows));
  return dt_job_loader(job, false, 0, job->eval->count, &p->loader);
}

dt_status dt_predict(const dt_config *config, dt_comm *comm, const char *checkpoint, bool all, FILE *out) {
  predict_state p = {.all = all};
  DT_TRY(dt_job_create(config, comm, DT_JOB_PREDICT, false, &p.job));
  dt_source source;
  dt_status status = dt_score_restore(p.job, checkpoint, &source);
  if (status == DT_OK) status = dt_comm_agree(comm, predict_set_up(&p));
  if (status == DT_OK) status = predict_loop(&p, out);
  dt_loader_destroy(&p.loader);
  free(p.probability);
  free(p.own);
  free(p.every);
  free(p.own_rows);
  free(p.every_rows);
  dt_job_destroy(&p.job);
  return status;
}
