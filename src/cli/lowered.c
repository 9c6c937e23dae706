#include "cli/lowered.h"

#include "core/job.h"

dt_status dt_lowered_create(const dt_config *config, int ranks, const char *model, bool plans, dt_lowered *out) {
  dt_spec spec = *dt_config_spec(config);
  int threads;
  char missing[DT_MISSING_TEXT];
  *out = (dt_lowered){.device = NULL};
  DT_REQUIRE(model == NULL || spec.device == DT_DEVICE_AUTO || spec.device == DT_DEVICE_GPU, DT_USAGE,
             "--gpu %s: found another device asked for, expected gpu or auto; leave --device out", model);
  if (model != NULL) spec.device = DT_DEVICE_GPU;
  if (!plans) spec.plans = "off";
  DT_TRY(dt_device_create(&spec, 0, 1, model, &threads, missing, &out->device));
  DT_TRY(dt_graph_create(config, &out->graph));
  DT_TRY(dt_tree_create((int)spec.train.shards, ranks, 0, dt_job_pass_shards(&spec, out->device), &out->tree));
  DT_TRY(dt_program_create(out->graph, &spec, out->device, DT_PROGRAM_TRAIN, out->tree->pass_shards, &out->train));
  if (spec.data.eval.kind == NULL) return DT_OK;
  return dt_program_create(out->graph, &spec, out->device, DT_PROGRAM_EVAL, out->tree->pass_shards, &out->eval);
}

void dt_lowered_destroy(dt_lowered *lowered) {
  dt_program_destroy(&lowered->eval);
  dt_program_destroy(&lowered->train);
  dt_tree_destroy(&lowered->tree);
  dt_graph_destroy(&lowered->graph);
  if (lowered->device != NULL) lowered->device->ops->destroy(&lowered->device);
}
