/* Overrides from the command line: `a.b.0.c=value`, the value read as YAML. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"

/* One step down the path. *out_place is where the value of that component hangs; NULL after a complaint. */
static dt_status descend(dt_config_block **blocks, dt_yaml *node, const char *name, dt_origin origin, dt_config_errors *errors,
                         dt_yaml ***out_place) {
  *out_place = NULL;
  if (node->type == DT_NODE_LIST) {
    char *end;
    long index = strtol(name, &end, 10);
    if (*name < '0' || *name > '9' || *end != '\0' || index >= node->count)
      dt_config_complain(errors, origin, "found \"%.60s\" for a list of %d items, expected an index below that", name,
                         node->count);
    else
      *out_place = &node->entry[index].value;
    return DT_OK;
  }
  if (node->type == DT_NODE_SCALAR) *node = (dt_yaml){.type = DT_NODE_MAP, .origin = origin, .text = ""};
  dt_yaml_entry *entry = dt_yaml_find(node, name);
  if (entry == NULL) {
    dt_yaml *empty;
    DT_TRY(dt_yaml_new(blocks, DT_NODE_SCALAR, origin, &empty));
    empty->plain = true;
    DT_TRY(dt_yaml_add(blocks, node, name, origin, empty));
    entry = &node->entry[node->count - 1];
  }
  *out_place = &entry->value;
  return DT_OK;
}

static dt_status set_path(dt_config_block **blocks, dt_yaml *root, const char *path, size_t path_bytes, dt_yaml *value,
                          dt_config_errors *errors) {
  dt_yaml *node = root, **place = NULL;
  for (const char *part = path, *end = path + path_bytes; part <= end;) {
    const char *dot = memchr(part, '.', (size_t)(end - part));
    size_t bytes = (size_t)((dot != NULL ? dot : end) - part);
    if (bytes == 0) {
      dt_config_complain(errors, value->origin, "found an empty name in the path, expected key.key=value");
      return DT_OK;
    }
    const char *name;
    DT_TRY(dt_config_copy(blocks, part, bytes, &name));
    DT_TRY(descend(blocks, node, name, value->origin, errors, &place));
    if (place == NULL) return DT_OK;
    node = *place;
    part += bytes + 1;
  }
  *place = value;
  return DT_OK;
}

dt_status dt_config_set(dt_config_block **blocks, dt_yaml *root, const char *set, dt_config_errors *errors) {
  size_t label_bytes = strlen(set) + sizeof "--set ";
  char *label;
  DT_TRY(dt_config_alloc(blocks, label_bytes, 1, &label));
  snprintf(label, label_bytes, "--set %s", set);
  dt_origin origin = {.source = label};
  const char *equals = strchr(set, '=');
  if (equals == NULL || equals == set) {
    dt_config_complain(errors, origin, "found no value, expected key.key=value");
    return DT_OK;
  }
  dt_config_text source;
  dt_yaml *value;
  bool broken;
  DT_TRY(dt_config_text_open(blocks, label, equals + 1, strlen(equals + 1), &source));
  DT_TRY(dt_yaml_parse(blocks, &source, label, errors, &value, &broken));
  if (broken) return DT_OK;
  if (value == NULL) {
    DT_TRY(dt_yaml_new(blocks, DT_NODE_SCALAR, origin, &value));
    value->plain = true;
  }
  return set_path(blocks, root, set, (size_t)(equals - set), value, errors);
}
