#include "cli/lowered.h"

#include "data/sets.h"
#include "train/devices.h"
#include "train/job.h"

/* Files that are not there, or are not what they should be, are a run's trouble: then it is planned by what the format
 * declares. */
static void take_fields(const dt_spec *spec, dt_set set, dt_graph *graph) {
  dt_data_info info;
  if (dt_set_inspect(spec, set, false, &info) == DT_OK) dt_graph_take_fields(graph, &info.fields);
  dt_error_clear();
}

dt_status dt_lowered_create(const dt_config *config, dt_comm *comm, int ranks, const char *model, bool plans, dt_lowered *out) {
  dt_spec spec = *dt_config_spec(config);
  int threads;
  char missing[DT_MISSING_TEXT];
  *out = (dt_lowered){.device = NULL};
  DT_REQUIRE(model == NULL || spec.device == DT_DEVICE_AUTO || spec.device == DT_DEVICE_GPU, DT_USAGE,
             "--gpu %s: found another device asked for, expected gpu or auto; leave --device out", model);
  if (model != NULL) spec.device = DT_DEVICE_GPU;
  if (!plans) spec.plans = "off";
  DT_TRY(dt_device_create(&spec, comm, model, &threads, missing, &out->device));
  DT_TRY(dt_graph_create(config, &out->graph));
  take_fields(&spec, DT_SET_TRAIN, out->graph);
  take_fields(&spec, DT_SET_EVAL, out->graph);
  DT_TRY(dt_job_check_shards(config, out->graph, NULL, 0));
  DT_TRY(dt_tree_create((int)spec.train.shards, ranks, 0, dt_job_micro_batch_shards(&spec, out->device), &out->tree));
  DT_TRY(dt_program_create(out->graph, &spec, out->device, DT_PROGRAM_TRAIN, out->tree->micro_batch_shards, &out->train));
  if (!dt_set_is_there(&spec, DT_SET_EVAL)) return DT_OK;
  return dt_program_create(out->graph, &spec, out->device, DT_PROGRAM_EVAL, out->tree->micro_batch_shards, &out->eval);
}

void dt_lowered_destroy(dt_lowered *lowered) {
  dt_program_destroy(&lowered->eval);
  dt_program_destroy(&lowered->train);
  dt_tree_destroy(&lowered->tree);
  dt_graph_destroy(&lowered->graph);
  if (lowered->device != NULL) lowered->device->ops->destroy(&lowered->device);
}
