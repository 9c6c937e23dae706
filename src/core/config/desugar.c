/* Short forms written out: `relu` -> {relu: {}}, `linear: 10` -> {linear: {units: 10}}, `lr: 0.1` -> {peak: 0.1},
 * `epochs: 10` -> `length: 10 epochs`. Afterwards --set reaches every option by its path, however the file was written. */
#include <stdio.h>
#include <string.h>

#include "core/config/internal.h"

static dt_status desugar_value(dt_config_block **blocks, dt_yaml *node, const dt_option *option);
static dt_status desugar_attr(dt_config_block **blocks, dt_yaml *value, const dt_kind *kind);

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

/* `epochs: 2 epochs` says the unit already. */
static bool ends_with_unit(const char *text, const char *unit) {
  size_t bytes = strlen(text), tail = strlen(unit);
  return bytes > tail && strcmp(text + bytes - tail, unit) == 0;
}

static dt_status add_unit(dt_config_block **blocks, dt_yaml *node, const char *unit) {
  if (node->type != DT_NODE_SCALAR || ends_with_unit(node->text, unit)) return DT_OK;
  size_t bytes = strlen(node->text) + 1 + strlen(unit);
  char *text;
  DT_TRY(dt_config_alloc(blocks, bytes + 1, 1, &text));
  snprintf(text, bytes + 1, "%s %s", node->text, unit);
  node->text = text;
  return DT_OK;
}

/* Into the form of what it is short for. */
static dt_status lengthen(dt_config_block **blocks, dt_yaml *node, const dt_option *option, const dt_option *target) {
  if (target->type == DT_OPT_NAMED) return wrap(blocks, node, option->name);
  return add_unit(blocks, node, option->unit);
}

/* Renames a short form. When the long form is there too, an override wins; two from the file stay, for the reader to refuse. */
static dt_status expand_short(dt_config_block **blocks, dt_yaml *map, int index, const dt_option *option,
                              const dt_option *target) {
  dt_yaml_entry *entry = &map->entry[index], *other = dt_yaml_find(map, option->short_for);
  if (other != NULL && !is_override(entry->value)) return DT_OK;
  DT_TRY(lengthen(blocks, entry->value, option, target));
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
    if (option == NULL || option->short_for == NULL) continue;
    DT_TRY(expand_short(blocks, map, i, option, dt_option_find(table, option->short_for, strlen(option->short_for))));
  }
  for (int i = 0; i < map->count; i++) {
    const dt_option *option = dt_option_find(table, map->entry[i].key, strlen(map->entry[i].key));
    if (option != NULL) DT_TRY(desugar_value(blocks, map->entry[i].value, option));
  }
  return DT_OK;
}

static dt_status desugar_choice(dt_config_block **blocks, dt_yaml *node, const dt_option *option) {
  const dt_kind *const *kinds = *option->kinds;
  if (node->type == DT_NODE_SCALAR) {
    if (dt_kind_find(kinds, node->text, strlen(node->text)) == NULL) return DT_OK;
    dt_yaml *empty;
    DT_TRY(dt_yaml_new(blocks, DT_NODE_MAP, node->origin, &empty));
    const char *name = node->text;
    *node = (dt_yaml){.type = DT_NODE_MAP, .origin = node->origin, .text = ""};
    return dt_yaml_add(blocks, node, name, node->origin, empty);
  }
  const dt_yaml_entry *entry = dt_yaml_find_kind(node, option->beside);
  const dt_kind *kind = entry != NULL ? dt_kind_find(kinds, entry->key, strlen(entry->key)) : NULL;
  if (kind == NULL) return DT_OK;
  return desugar_attr(blocks, entry->value, kind);
}

/* Turns the node into a list of what the node was. */
static dt_status wrap_in_list(dt_config_block **blocks, dt_yaml *node) {
  dt_yaml *inner;
  DT_TRY(dt_yaml_new(blocks, node->type, node->origin, &inner));
  *inner = *node;
  *node = (dt_yaml){.type = DT_NODE_LIST, .origin = inner->origin, .text = ""};
  return dt_yaml_add(blocks, node, NULL, inner->origin, inner);
}

/* What may stand for a list of one: a kind by its name, or with its options. */
static bool is_single(const dt_yaml *node, const dt_kind *const *kinds) {
  if (node->type == DT_NODE_MAP) return node->count == 1;
  return node->type == DT_NODE_SCALAR && dt_kind_find(kinds, node->text, strlen(node->text)) != NULL;
}

static dt_status desugar_list(dt_config_block **blocks, dt_yaml *node, const dt_option *option) {
  if (option->type == DT_OPT_LIST && is_single(node, *option->kinds)) DT_TRY(wrap_in_list(blocks, node));
  if (node->type != DT_NODE_LIST) return DT_OK;
  for (int i = 0; i < node->count; i++) {
    if (option->type == DT_OPT_LIST)
      DT_TRY(desugar_choice(blocks, node->entry[i].value, option));
    else
      for (int k = 0; node->entry[i].value->type == DT_NODE_LIST && k < node->entry[i].value->count; k++)
        DT_TRY(desugar_choice(blocks, node->entry[i].value->entry[k].value, option));
  }
  return DT_OK;
}

static dt_status put_scalar(dt_config_block **blocks, dt_yaml *map, const char *key, const char *text, dt_origin origin) {
  dt_yaml *scalar;
  dt_yaml_entry *entry = dt_yaml_find(map, key);
  DT_TRY(dt_yaml_new(blocks, DT_NODE_SCALAR, origin, &scalar));
  scalar->text = text;
  scalar->plain = true;
  if (entry == NULL) return dt_yaml_add(blocks, map, key, origin, scalar);
  entry->value = scalar;
  return DT_OK;
}

/* `{accuracy: 0.9}` -> {metric: accuracy, value: 0.9}: the one entry whose key is no field. */
static dt_status expand_pair(dt_config_block **blocks, dt_yaml *map, const dt_option *option) {
  int found = -1, unknown = 0;
  for (int i = 0; i < map->count; i++) {
    if (dt_option_find(option->fields, map->entry[i].key, strlen(map->entry[i].key)) != NULL) continue;
    found = i;
    unknown++;
  }
  if (unknown != 1 || map->entry[found].value->type != DT_NODE_SCALAR) return DT_OK;
  const dt_yaml_entry pair = map->entry[found];
  map->entry[found] = map->entry[--map->count];
  DT_TRY(put_scalar(blocks, map, option->pair[0], pair.key, pair.key_origin));
  return put_scalar(blocks, map, option->pair[1], pair.value->text, pair.value->origin);
}

/* The options of a kind, or the value of its main one. */
static dt_status desugar_attr(dt_config_block **blocks, dt_yaml *value, const dt_kind *kind) {
  if (kind->positional != NULL && value->type != DT_NODE_MAP && !dt_yaml_is_nothing(value))
    DT_TRY(wrap(blocks, value, kind->positional));
  return desugar_map(blocks, value, kind->options);
}

static dt_status desugar_named(dt_config_block **blocks, dt_yaml *node, const dt_option *option) {
  for (int i = 0; node->type == DT_NODE_MAP && i < node->count; i++)
    DT_TRY(desugar_attr(blocks, node->entry[i].value, (*option->kinds)[0]));
  return DT_OK;
}

/* Whether it is the value of the main option: a scalar, or a list where that takes lists. */
static bool stands_for(const dt_option *option, const dt_yaml *node) {
  if (option->positional == NULL || node->type == DT_NODE_MAP || dt_yaml_is_nothing(node)) return false;
  const dt_option *main = dt_option_find(option->fields, option->positional, strlen(option->positional));
  return node->type == DT_NODE_SCALAR || main->type == DT_OPT_STRINGS || main->type == DT_OPT_REALS ||
         main->type == DT_OPT_INTS;
}

static dt_status desugar_value(dt_config_block **blocks, dt_yaml *node, const dt_option *option) {
  switch (option->type) {
    case DT_OPT_MAP:
    case DT_OPT_OTHERS:
      if (stands_for(option, node)) DT_TRY(wrap(blocks, node, option->positional));
      if (option->pair[0] != NULL && node->type == DT_NODE_MAP) DT_TRY(expand_pair(blocks, node, option));
      return desugar_map(blocks, node, option->fields);
    case DT_OPT_ONE:
      return desugar_choice(blocks, node, option);
    case DT_OPT_LIST:
    case DT_OPT_LISTS:
      return desugar_list(blocks, node, option);
    case DT_OPT_NAMED:
      return desugar_named(blocks, node, option);
    default:
      return DT_OK;
  }
}

dt_status dt_config_desugar(dt_config_block **blocks, dt_yaml *root, const dt_option *table) {
  return desugar_map(blocks, root, table);
}
