#include "train/job_data.h"

#include <stdlib.h>
#include <string.h>

#include "core/host_memory.h"
#include "core/numbers.h"
#include "data/sets.h"
#include "train/survey.h"

static dt_status add_bytes(const dt_job *job, dt_set set, size_t *bytes) {
  dt_data_info info;
  DT_TRY(dt_set_inspect(job->spec, set, false, &info));
  size_t more = dt_dataset_bytes(&info);
  *bytes = *bytes < SIZE_MAX - more ? *bytes + more : SIZE_MAX;
  return DT_OK;
}

/* Before anything is read, as far as headers tell. Every rank loads all of it. */
static dt_status check_data_fits(const dt_job *job, bool train, bool eval) {
  size_t bytes = 0, room, own, all;
  const int ranks = job->comm->local_size;
  const bool split = job->spec->data.split.given; /* then the whole is read, and the part copied out of it */
  if (train || split) DT_TRY(add_bytes(job, DT_SET_TRAIN, &bytes));
  if (eval || split) DT_TRY(add_bytes(job, DT_SET_EVAL, &bytes));
  if (split) DT_TRY(add_bytes(job, DT_SET_EVAL, &bytes));
  dt_host_memory(&dt_host_paths_real, &room, &all);
  dt_host_address_space(&own, &all);
  room = room / (size_t)ranks < own ? room / (size_t)ranks : own;
  DT_REQUIRE(bytes <= room, DT_MEMORY,
             "data: found samples of %zu bytes, expected at most the %zu that are free for each of %d "
             "rank%s on this host",
             bytes, room, ranks, dt_plural(ranks));
  return DT_OK;
}

/* Labels that are changed must be some that the network is trained by. */
static dt_status check_label_noise(const dt_job *job) {
  const dt_graph *graph = job->graph;
  bool reads = job->spec->data.label_noise == 0;
  for (int f = 0; f < graph->field_count; f++) reads |= strcmp(graph->field[f].name, "label") == 0;
  DT_REQUIRE(reads, DT_USAGE, "data.label_noise: found no loss that compares with the field label, whose classes it changes");
  return DT_OK;
}

/* The network's inputs take the types that its first data set has; a second one must have the same. */
static dt_status take_data(dt_job *job, const dt_dataset *set) {
  dt_graph *graph = job->graph;
  const int inputs = dt_graph_input_fields(graph);
  DT_TRY(dt_dataset_check(set, graph->field, job->kind == DT_JOB_PREDICT ? inputs : graph->field_count, inputs));
  for (int f = 0; f < inputs && set != job->train && job->train != NULL; f++) {
    const dt_dtype found = set->fields.field[dt_dataset_find(set, graph->field[f].name)].dtype;
    DT_REQUIRE(found == graph->field[f].dtype, DT_DATA, "%s: found field %s of %s, expected %s as data.train has", set->source,
               graph->field[f].name, dt_dtype_name(found), dt_dtype_name(graph->field[f].dtype));
  }
  dt_graph_take_fields(graph, &set->fields);
  return DT_OK;
}

/* The name of a class of `names` that `others` lacks; NULL where it has all. Each name ends, and the list with an empty one. */
static const char *find_odd_class(const char *names, const char *others) {
  for (const char *name = names; *name != '\0'; name += strlen(name) + 1) {
    const char *other = others;
    while (*other != '\0' && strcmp(name, other) != 0) other += strlen(other) + 1;
    if (*other == '\0') return name;
  }
  return NULL;
}

/* Labels that count each set's own classes mean the same in both only where the classes are the same. */
static dt_status compare_classes(const dt_dataset *train, const dt_dataset *eval) {
  if (train == NULL || eval == NULL || train->classes == NULL || eval->classes == NULL) return DT_OK;
  const char *more = find_odd_class(eval->classes, train->classes), *less = find_odd_class(train->classes, eval->classes);
  DT_REQUIRE(more == NULL && less == NULL, DT_DATA,
             "%s: found %s class %.100s, which %s has%s, expected the same classes in both; data.classes lists them all",
             eval->source, more != NULL ? "a" : "no", more != NULL ? more : less, train->source, more != NULL ? " not" : "");
  return DT_OK;
}

/* Of a set that is scored alone, with the training set's classes, as far as that can be found. */
static dt_status compare_with_training(const dt_job *job) {
  const dt_choice *train = &job->spec->data.train;
  dt_dataset *set;
  if (job->train != NULL || job->eval->classes == NULL || train->kind == NULL) return DT_OK;
  if (dt_sets_load(job->spec, &set, NULL) != DT_OK) {
    dt_error_clear();
    return DT_OK;
  }
  const dt_status status = compare_classes(set, job->eval);
  dt_dataset_destroy(&set);
  return status;
}

/* An EVAL job on the training set scores what dt_sets_load calls the training set. */
dt_status dt_job_load_data(dt_job *job, bool on_train) {
  const dt_spec *spec = job->spec;
  const bool trains = job->kind == DT_JOB_TRAIN;
  DT_REQUIRE(trains || on_train || dt_set_is_there(spec, DT_SET_EVAL), DT_USAGE, "data.eval is missing in the config%s",
             job->kind == DT_JOB_EVAL ? "; --on train scores the training set" : ": predict labels its samples");
  if (trains) DT_TRY(check_label_noise(job));
  DT_TRY(check_data_fits(job, trains || on_train, !on_train));
  if (on_train) {
    DT_TRY(dt_sets_load(spec, &job->eval, NULL));
  } else {
    DT_TRY(dt_sets_load(spec, trains ? &job->train : NULL, &job->eval));
  }
  if (job->train != NULL) DT_TRY(take_data(job, job->train));
  if (job->eval != NULL) DT_TRY(take_data(job, job->eval));
  if (job->eval != NULL && !on_train) DT_TRY(compare_with_training(job));
  return compare_classes(job->train, job->eval);
}

/* Whether a field in a store has to be read as a whole before training: for what is broken, or for its statistics. */
static bool needs_survey(const dt_job *job, const dt_dataset *set, int f) {
  const dt_graph *graph = job->graph;
  if (set->data[f].store == NULL) return false;
  for (int i = 0; i < graph->input_count && set == job->train; i++) {
    if (dt_job_measures(job, i) && strcmp(graph->field[graph->node[i].field].name, set->fields.field[f].name) == 0) return true;
  }
  return set->data[f].store->skips;
}

void dt_job_print_data(const dt_job *job, FILE *out) {
  if (job->train != NULL)
    fprintf(out, "data.train: %s, hash %016llx\n", job->train->source, (unsigned long long)job->train->hash);
  if (job->eval != NULL) fprintf(out, "data.eval: %s, hash %016llx\n", job->eval->source, (unsigned long long)job->eval->hash);
}

/* Every rank has or has not: the config says so. */
static bool has_store(const dt_dataset *set) {
  bool any = false;
  for (int f = 0; set != NULL && f < set->fields.count; f++) any |= set->data[f].store != NULL;
  return any;
}

/* Before ranks add up what each has read of its share. */
static dt_status agree_on_data(dt_job *job) {
  char *text = NULL;
  size_t bytes;
  FILE *memory = open_memstream(&text, &bytes);
  if (memory != NULL) dt_job_print_data(job, memory);
  const bool printed = memory != NULL && fclose(memory) == 0;
  dt_status status = printed ? DT_OK : dt_error_set(DT_MEMORY, __FILE__, __LINE__, "no memory for the agreement");
  status = dt_comm_agree(job->comm, status);
  if (status == DT_OK) status = dt_comm_agree_text(job->comm, "data", text);
  free(text);
  return status;
}

dt_status dt_job_survey_data(dt_job *job) {
  dt_dataset *sets[] = {job->train, job->eval};
  if (!has_store(job->train) && !has_store(job->eval)) return DT_OK;
  DT_TRY(agree_on_data(job));
  for (int s = 0; s < 2; s++) {
    for (int f = 0; sets[s] != NULL && f < sets[s]->fields.count; f++) {
      if (needs_survey(job, sets[s], f)) DT_TRY(dt_survey_dataset(job->comm, sets[s], f, job->threads));
    }
  }
  return DT_OK;
}

/* Samples that stores read stay in memory where all of them fit into a quarter of what is free for this rank: that is no need
 * of the run's, and in no plan. */
void dt_job_keep_samples(const dt_job *job) {
  dt_dataset *sets[] = {job->train, job->eval};
  size_t room, own, all;
  dt_host_memory(&dt_host_paths_real, &room, &all);
  dt_host_address_space(&own, &all);
  room = room / (size_t)job->comm->local_size < own ? room / (size_t)job->comm->local_size : own;
  room /= 4;
  for (int s = 0; s < 2; s++) {
    for (int f = 0; sets[s] != NULL && f < sets[s]->fields.count; f++) {
      dt_store *store = sets[s]->data[f].store;
      if (store == NULL || !store->may_keep || store->kept != NULL || (size_t)store->count > room / store->bytes) continue;
      room -= (size_t)store->count * store->bytes;
      dt_store_keep(store);
    }
  }
}
