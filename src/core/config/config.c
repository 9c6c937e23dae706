/* From a file to a checked spec. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/internal.h"

/* The tree with its short forms written out and the overrides in it. An empty file is an empty map. */
static dt_status read_tree(dt_config *config, const char *const *sets, int set_count, dt_config_errors *errors, dt_yaml **out) {
  bool broken;
  DT_TRY(dt_yaml_parse(&config->blocks, &config->source, NULL, errors, out, &broken));
  if (broken) return dt_config_errors_raise(errors);
  dt_origin start = {.source = config->source.name, .line = 1, .column = 1};
  if (*out == NULL || dt_yaml_is_nothing(*out)) DT_TRY(dt_yaml_new(&config->blocks, DT_NODE_MAP, start, out));
  if ((*out)->type != DT_NODE_MAP) {
    char found[128];
    dt_config_complain(errors, (*out)->origin, "found %s, expected a map of keys", dt_yaml_describe(*out, found, sizeof found));
    return dt_config_errors_raise(errors);
  }
  DT_TRY(dt_config_desugar(&config->blocks, *out, dt_spec_options));
  for (int i = 0; i < set_count; i++) {
    DT_TRY(dt_config_set(config, *out, sets[i], errors));
    DT_TRY(dt_config_desugar(&config->blocks, *out, dt_spec_options));
  }
  return DT_OK;
}

static dt_status fill_spec(dt_config *config, const char *const *sets, int set_count, dt_config_errors *errors) {
  dt_yaml *root;
  DT_TRY(read_tree(config, sets, set_count, errors, &root));
  DT_TRY(dt_config_read(config, dt_spec_options, root, &config->spec, errors));
  dt_spec_check_names(config, errors);
  if (errors->count == 0) dt_spec_check(config, errors);
  return dt_config_errors_raise(errors);
}

static dt_status parse_source(dt_config *config, const char *const *sets, int set_count) {
  dt_config_errors *errors;
  DT_TRY(dt_alloc(1, sizeof *errors, &errors));
  errors->source = &config->source;
  dt_status status = fill_spec(config, sets, set_count, errors);
  free(errors);
  return status;
}

dt_status dt_config_load(const char *path, const char *const *sets, int set_count, dt_config **out) {
  dt_config *config;
  dt_status status;
  DT_TRY(dt_alloc(1, sizeof *config, &config));
  DT_TRY_GOTO(failed, dt_config_text_load(&config->blocks, path, &config->source));
  DT_TRY_GOTO(failed, parse_source(config, sets, set_count));
  *out = config;
  return DT_OK;
failed:
  dt_config_destroy(&config);
  return status;
}

dt_status dt_config_parse(const char *name, const char *text, size_t bytes, const char *const *sets, int set_count,
                          dt_config **out) {
  dt_config *config;
  dt_status status;
  DT_TRY(dt_alloc(1, sizeof *config, &config));
  DT_TRY_GOTO(failed, dt_config_text_open(&config->blocks, name, text, bytes, &config->source));
  DT_TRY_GOTO(failed, parse_source(config, sets, set_count));
  *out = config;
  return DT_OK;
failed:
  dt_config_destroy(&config);
  return status;
}

void dt_config_destroy(dt_config **config) {
  if (*config == NULL) return;
  dt_config_free(&(*config)->blocks);
  free(*config);
  *config = NULL;
}

const dt_spec *dt_config_spec(const dt_config *config) {
  return &config->spec;
}

dt_status dt_config_error_at(const dt_config *config, dt_origin origin, const char *format, ...) {
  dt_config_errors *errors;
  DT_TRY(dt_alloc(1, sizeof *errors, &errors));
  errors->source = &config->source;
  char message[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  dt_config_complain(errors, origin, "%s", message);
  dt_status status = dt_config_errors_raise(errors);
  free(errors);
  return status;
}
