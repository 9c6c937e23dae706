/* Short forms written out: `relu` -> {relu: {}}, `linear: 10` -> {linear: {units: 10}}, `lr: 0.1` -> {peak: 0.1},
 * `epochs: 10` -> `length: 10 epochs`. Afterwards --set reaches every option by its path, however the file was written. */
#include <stdio.h>
#include <string.h>

#include "core/config_internal.h"

static dt_status desugar_value(dt_config_block **blocks, dt_yaml *node, const dt_option *option);

static bool is_override(const dt_yaml *node) {
  return node->origin.line == 0;
}

/* Turns the node into {key: what the node was}. */
static dt_status wrap(dt_config_block **blocks, dt_yaml *node, const char *key) {
  dt_yaml *inner;
  DT_TRY(dt_yaml_new(blocks, node->type, node->origin, &inner));
  *inner = *node;
  *node = (dt_yaml){.type = DT_NODE_MAP, .origin = inner->origin, .text = ""};
  return dt_yaml_add(blocks, node, key, inner->origin, inner);
}

static dt_status add_unit(dt_config_block **blocks, dt_yaml *node, const char *unit) {
  if (node->type != DT_NODE_SCALAR) return DT_OK;
  size_t bytes = strlen(node->text) + 1 + strlen(unit);
  char *text;
  DT_TRY(dt_config_alloc(blocks, bytes + 1, 1, &text));
  snprintf(text, bytes + 1, "%s %s", node->text, unit);
  node->text = text;
  return DT_OK;
}

/* Renames a short form. When the long form is there too, an override wins; two from the file stay, for the reader to refuse. */
static dt_status expand_short(dt_config_block **blocks, dt_yaml *map, int index, const dt_option *option) {
  dt_yaml_entry *entry = &map->entry[index], *other = dt_yaml_find(map, option->short_for);
  if (other != NULL && !is_override(entry->value)) return DT_OK;
  DT_TRY(add_unit(blocks, entry->value, option->unit));
  if (other == NULL) {
    entry->key = option->short_for;
    return DT_OK;
  }
  other->value = entry->value;
  other->key_origin = entry->key_origin;
  map->entry[index] = map->entry[--map->count];
  return DT_OK;
}

static dt_status desugar_map(dt_config_block **blocks, dt_yaml *map, const dt_option *table) {
  if (map->type != DT_NODE_MAP) return DT_OK;
  for (int i = map->count - 1; i >= 0; i--) {
    const dt_option *option = dt_option_find(table, map->entry[i].key, strlen(map->entry[i].key));
    if (option != NULL && option->short_for != NULL) DT_TRY(expand_short(blocks, map, i, option));
  }
  for (int i = 0; i < map->count; i++) {
    const dt_option *option = dt_option_find(table, map->entry[i].key, strlen(map->entry[i].key));
    if (option != NULL) DT_TRY(desugar_value(blocks, map->entry[i].value, option));
  }
  return DT_OK;
}

static dt_status desugar_choice(dt_config_block **blocks, dt_yaml *node, const dt_kind *const *kinds) {
  if (node->type == DT_NODE_SCALAR) {
    if (dt_kind_find(kinds, node->text, strlen(node->text)) == NULL) return DT_OK;
    dt_yaml *empty;
    DT_TRY(dt_yaml_new(blocks, DT_NODE_MAP, node->origin, &empty));
    const char *name = node->text;
    *node = (dt_yaml){.type = DT_NODE_MAP, .origin = node->origin, .text = ""};
    return dt_yaml_add(blocks, node, name, node->origin, empty);
  }
  if (node->type != DT_NODE_MAP || node->count != 1) return DT_OK;
  const dt_kind *kind = dt_kind_find(kinds, node->entry[0].key, strlen(node->entry[0].key));
  if (kind == NULL) return DT_OK;
  dt_yaml *value = node->entry[0].value;
  if (kind->positional != NULL && value->type != DT_NODE_MAP && !dt_yaml_is_nothing(value))
    DT_TRY(wrap(blocks, value, kind->positional));
  return desugar_map(blocks, value, kind->options);
}

static dt_status desugar_list(dt_config_block **blocks, dt_yaml *node, const dt_option *option) {
  if (node->type != DT_NODE_LIST) return DT_OK;
  for (int i = 0; i < node->count; i++) {
    if (option->type == DT_OPT_LIST)
      DT_TRY(desugar_choice(blocks, node->entry[i].value, *option->kinds));
    else
      for (int k = 0; node->entry[i].value->type == DT_NODE_LIST && k < node->entry[i].value->count; k++)
        DT_TRY(desugar_choice(blocks, node->entry[i].value->entry[k].value, *option->kinds));
  }
  return DT_OK;
}

static dt_status desugar_value(dt_config_block **blocks, dt_yaml *node, const dt_option *option) {
  switch (option->type) {
    case DT_OPT_MAP:
      if (option->positional != NULL && node->type == DT_NODE_SCALAR && !dt_yaml_is_nothing(node))
        DT_TRY(wrap(blocks, node, option->positional));
      return desugar_map(blocks, node, option->fields);
    case DT_OPT_ONE:
      return desugar_choice(blocks, node, *option->kinds);
    case DT_OPT_LIST:
    case DT_OPT_LISTS:
      return desugar_list(blocks, node, option);
    default:
      return DT_OK;
  }
}

dt_status dt_config_desugar(dt_config_block **blocks, dt_yaml *root, const dt_option *table) {
  return desugar_map(blocks, root, table);
}
