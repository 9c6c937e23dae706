/* The tree into a spec, by the option tables: finds every unknown key, missing key and wrong value before giving up. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/internal.h"

enum { PATH_BYTES = 512, TEXT_BYTES = 512 };

typedef struct reader {
  dt_config *config;
  dt_config_errors *errors;
  char path[PATH_BYTES];
} reader;

static dt_status read_map(reader *r, const dt_option *table, const dt_yaml *map, dt_origin where, void *into);
static dt_status read_option(reader *r, const dt_option *option, const dt_yaml *node, void *into);

/* The path is a stack: enter returns what leave takes to go back. */
static size_t enter(reader *r, const char *name) {
  size_t before = strlen(r->path);
  snprintf(r->path + before, sizeof r->path - before, "%s%s", before > 0 ? "." : "", name);
  return before;
}

static size_t enter_index(reader *r, int index) {
  char text[16];
  snprintf(text, sizeof text, "%d", index);
  return enter(r, text);
}

static void leave(reader *r, size_t before) {
  r->path[before] = '\0';
}

static dt_status note_origin(dt_config *config, const void *value, dt_origin origin) {
  if (config->origin_count == config->origin_capacity) {
    int capacity = config->origin_capacity > 0 ? 2 * config->origin_capacity : 128;
    dt_value_origin *grown;
    DT_TRY(dt_config_alloc(&config->blocks, (size_t)capacity, sizeof *grown, &grown));
    if (config->origin_count > 0) memcpy(grown, config->origin, (size_t)config->origin_count * sizeof *grown);
    config->origin = grown;
    config->origin_capacity = capacity;
  }
  config->origin[config->origin_count++] = (dt_value_origin){value, origin};
  return DT_OK;
}

static void complain_value(reader *r, const dt_option *option, const dt_yaml *node) {
  char found[TEXT_BYTES], expected[TEXT_BYTES], hint[TEXT_BYTES];
  hint[0] = '\0';
  if (option->type == DT_OPT_ENUM && node->type == DT_NODE_SCALAR)
    dt_choice_hint(node->text, r->path, option->choices, hint, sizeof hint);
  dt_config_complain(r->errors, node->origin, "%s: found %s, expected %s%s", r->path,
                     dt_yaml_describe(node, found, sizeof found),
                     dt_value_expected_for(option, node, expected, sizeof expected), hint);
}

/* The type of one item of a list of scalars. */
static dt_option item_option(const dt_option *option) {
  dt_option item = *option;
  item.type = option->type == DT_OPT_INTS ? DT_OPT_INT : option->type == DT_OPT_REALS ? DT_OPT_REAL : DT_OPT_STRING;
  return item;
}

static size_t item_bytes(const dt_option *option) {
  return option->type == DT_OPT_INTS ? sizeof(int64_t) : option->type == DT_OPT_REALS ? sizeof(double) : sizeof(char *);
}

static void *first_item(const dt_option *option, void *into) {
  if (option->type == DT_OPT_INTS) return ((dt_ints *)into)->value;
  if (option->type == DT_OPT_REALS) return ((dt_reals *)into)->value;
  return ((dt_strings *)into)->value;
}

static dt_status new_items(reader *r, const dt_option *option, int count, void *into) {
  void *value;
  DT_TRY(dt_config_alloc(&r->config->blocks, (size_t)count, item_bytes(option), &value));
  if (option->type == DT_OPT_INTS)
    *(dt_ints *)into = (dt_ints){value, count};
  else if (option->type == DT_OPT_REALS)
    *(dt_reals *)into = (dt_reals){value, count};
  else
    *(dt_strings *)into = (dt_strings){value, count};
  return DT_OK;
}

static bool is_too_long(reader *r, const dt_yaml *list, int most) {
  if (list->count <= most) return false;
  dt_config_complain(r->errors, list->origin, "%s: found %d items, expected at most %d", r->path, list->count, most);
  return true;
}

static dt_status read_items(reader *r, const dt_option *option, const dt_yaml *node, void *into) {
  dt_option item = item_option(option);
  dt_yaml_entry single = {.value = (dt_yaml *)node};
  const dt_yaml_entry *entry = node->type == DT_NODE_LIST ? node->entry : &single;
  int count = node->type == DT_NODE_LIST ? node->count : 1;
  if (node->type == DT_NODE_LIST && is_too_long(r, node, DT_CONFIG_LIST_MAX)) return DT_OK;
  if (node->type == DT_NODE_MAP || (node->type == DT_NODE_LIST && count == 0 && option->default_text == NULL)) {
    complain_value(r, option, node);
    return DT_OK;
  }
  DT_TRY(new_items(r, option, count, into));
  for (int i = 0; i < count; i++) {
    char *value = (char *)first_item(option, into) + (size_t)i * item_bytes(option);
    if (!dt_value_read(&item, entry[i].value, value)) complain_value(r, option, entry[i].value);
  }
  return note_origin(r->config, into, node->origin);
}

static void complain_kind(reader *r, const dt_kind *const *kinds, const dt_option *option, const char *name, dt_origin origin) {
  char expected[TEXT_BYTES], hint[TEXT_BYTES];
  dt_option one = *option;
  one.type = DT_OPT_ONE;
  dt_config_complain(r->errors, origin, "%s: found \"%.60s\", expected %s%s", r->path, name,
                     dt_value_expected(&one, expected, sizeof expected), dt_kind_hint(name, kinds, hint, sizeof hint));
}

/* Checks what single options cannot say; its error text becomes one of ours. */
static dt_status check_choice(reader *r, const dt_choice *choice) {
  if (choice->kind->check == NULL) return DT_OK;
  dt_status status = choice->kind->check(choice->attr);
  if (status != DT_USAGE) return status;
  char text[TEXT_BYTES];
  snprintf(text, sizeof text, "%s", dt_error_text());
  dt_error_clear();
  dt_config_complain(r->errors, choice->origin, "%s: %s", r->path, text);
  return DT_OK;
}

static dt_status read_attr(reader *r, const dt_yaml *value, dt_choice *choice) {
  const dt_kind *kind = choice->kind;
  if (kind->options == NULL) {
    char found[TEXT_BYTES];
    if (!dt_yaml_is_nothing(value) && (value->type != DT_NODE_MAP || value->count > 0))
      dt_config_complain(r->errors, value->origin, "%s: found %s, expected nothing, since %s has no options", r->path,
                         dt_yaml_describe(value, found, sizeof found), kind->name);
    return DT_OK;
  }
  int complaints = r->errors->count;
  DT_TRY(dt_config_alloc(&r->config->blocks, 1, kind->attr_bytes, &choice->attr));
  DT_TRY(read_map(r, kind->options, value, choice->origin, choice->attr));
  return r->errors->count == complaints ? check_choice(r, choice) : DT_OK;
}

static const char *key_list(const dt_option *table, char *text, size_t bytes) {
  text[0] = '\0';
  for (const dt_option *option = table; option->name != NULL; option++) {
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", used == 0 ? "" : option[1].name == NULL ? " or " : ", ", option->name);
  }
  return text;
}

/* What is beside a kind that is there, but may not. */
static void complain_beside(reader *r, const dt_option *option, const dt_kind *kind, const dt_yaml_entry *entry) {
  char keys[TEXT_BYTES], hint[TEXT_BYTES];
  dt_config_complain(r->errors, entry->key_origin, "%s.%.60s: found an unknown key beside %s, expected %s%s", r->path,
                     entry->key, kind->name, key_list(option->beside, keys, sizeof keys),
                     dt_key_hint(entry->key, r->path, option->beside, hint, sizeof hint));
}

/* No kind, or several, of which one may be known and the others be meant for keys beside it. */
static void complain_no_kind(reader *r, const dt_option *option, const dt_yaml *map) {
  const dt_kind *kind = NULL;
  int kinds = 0, known = 0;
  for (int i = 0; i < map->count; i++) {
    const char *key = map->entry[i].key;
    if (dt_option_find(option->beside, key, strlen(key)) != NULL) continue;
    kinds++;
    const dt_kind *found = dt_kind_find(*option->kinds, key, strlen(key));
    if (found == NULL) continue;
    known++;
    kind = found;
  }
  if (option->beside == NULL || known != 1)
    dt_config_complain(r->errors, map->origin, "%s: found a map of %d kinds, expected one", r->path, kinds);
  for (int i = 0; option->beside != NULL && known == 1 && i < map->count; i++) {
    const char *key = map->entry[i].key;
    if (dt_option_find(option->beside, key, strlen(key)) == NULL && dt_kind_find(*option->kinds, key, strlen(key)) == NULL)
      complain_beside(r, option, kind, &map->entry[i]);
  }
}

/* What stands beside the kind, which is taken out of a copy of the map. */
static dt_status read_beside(reader *r, const dt_option *option, const dt_yaml *map, const dt_yaml_entry *kind,
                             dt_choice *choice) {
  if (option->beside == NULL) return DT_OK;
  dt_yaml rest = *map;
  rest.count = 0;
  DT_TRY(dt_config_alloc(&r->config->blocks, (size_t)map->count, sizeof *rest.entry, &rest.entry));
  for (int i = 0; i < map->count; i++) {
    if (&map->entry[i] != kind) rest.entry[rest.count++] = map->entry[i];
  }
  DT_TRY(dt_config_alloc(&r->config->blocks, 1, option->beside_bytes, &choice->beside));
  return read_map(r, option->beside, &rest, choice->origin, choice->beside);
}

static dt_status read_choice(reader *r, const dt_option *option, const dt_yaml *node, dt_choice *out) {
  const dt_kind *const *kinds = *option->kinds;
  if (node->type == DT_NODE_SCALAR && !dt_yaml_is_nothing(node)) {
    complain_kind(r, kinds, option, node->text, node->origin);
    return DT_OK;
  }
  const dt_yaml_entry *entry = dt_yaml_find_kind(node, option->beside);
  if (entry == NULL) {
    dt_option one = *option;
    one.type = DT_OPT_ONE;
    if (node->type == DT_NODE_MAP)
      complain_no_kind(r, option, node);
    else
      complain_value(r, &one, node);
    return DT_OK;
  }
  const dt_kind *kind = dt_kind_find(kinds, entry->key, strlen(entry->key));
  if (kind == NULL) {
    complain_kind(r, kinds, option, entry->key, entry->key_origin);
    return DT_OK;
  }
  bool overridden = entry->value->origin.line == 0;
  *out = (dt_choice){
      .kind = kind, .origin = overridden ? entry->value->origin : entry->key_origin, .kind_origin = entry->key_origin};
  size_t before = enter(r, kind->name);
  dt_status status = read_attr(r, entry->value, out);
  leave(r, before);
  DT_TRY(status);
  return read_beside(r, option, node, entry, out);
}

static dt_status read_choices(reader *r, const dt_option *option, const dt_yaml *node, dt_choices *out) {
  int most = option->max > 0 ? (int)option->max : DT_CONFIG_LIST_MAX;
  if (node->type != DT_NODE_LIST) {
    dt_option list = *option;
    list.type = DT_OPT_LIST;
    complain_value(r, &list, node);
    return DT_OK;
  }
  if (is_too_long(r, node, most)) return DT_OK;
  DT_TRY(note_origin(r->config, out, node->origin));
  DT_TRY(dt_config_alloc(&r->config->blocks, (size_t)node->count, sizeof *out->item, &out->item));
  out->count = node->count;
  for (int i = 0; i < node->count; i++) {
    size_t before = enter_index(r, i);
    dt_status status = read_choice(r, option, node->entry[i].value, &out->item[i]);
    leave(r, before);
    DT_TRY(status);
  }
  return DT_OK;
}

static dt_status read_lists(reader *r, const dt_option *option, const dt_yaml *node, dt_choice_lists *out) {
  if (node->type != DT_NODE_LIST) {
    complain_value(r, option, node);
    return DT_OK;
  }
  if (is_too_long(r, node, DT_CONFIG_LIST_MAX)) return DT_OK;
  DT_TRY(dt_config_alloc(&r->config->blocks, (size_t)node->count, sizeof *out->list, &out->list));
  out->count = node->count;
  for (int i = 0; i < node->count; i++) {
    size_t before = enter_index(r, i);
    dt_status status = read_choices(r, option, node->entry[i].value, &out->list[i]);
    leave(r, before);
    DT_TRY(status);
  }
  return DT_OK;
}

static bool is_own_name(const char *name) {
  const char *const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", *const others = "0123456789_-";
  if (name[0] == '\0' || strchr(letters, name[0]) == NULL || strlen(name) > DT_NAMED_BYTES) return false;
  for (; *name != '\0'; name++) {
    if (strchr(letters, *name) == NULL && strchr(others, *name) == NULL) return false;
  }
  return true;
}

static dt_status read_named_item(reader *r, const dt_kind *kind, const dt_yaml_entry *entry, const char **name,
                                 dt_choice *out) {
  if (!is_own_name(entry->key)) {
    dt_config_complain(r->errors, entry->key_origin,
                       "%s: found the name \"%.60s\", expected at most %d letters, digits, _ and -, a letter first", r->path,
                       entry->key, DT_NAMED_BYTES);
    return DT_OK;
  }
  bool overridden = entry->value->origin.line == 0;
  *name = entry->key;
  *out = (dt_choice){
      .kind = kind, .origin = overridden ? entry->value->origin : entry->key_origin, .kind_origin = entry->key_origin};
  size_t before = enter(r, entry->key);
  dt_status status = read_attr(r, entry->value, out);
  leave(r, before);
  return status;
}

static dt_status read_named(reader *r, const dt_option *option, const dt_yaml *node, dt_named *out) {
  if (node->type != DT_NODE_MAP || (node->count == 0 && option->default_text == NULL)) {
    complain_value(r, option, node);
    return DT_OK;
  }
  if (is_too_long(r, node, option->max > 0 ? (int)option->max : DT_CONFIG_LIST_MAX)) return DT_OK;
  DT_TRY(note_origin(r->config, out, node->origin));
  DT_TRY(dt_config_alloc(&r->config->blocks, (size_t)node->count, sizeof *out->item, &out->item));
  DT_TRY(dt_config_alloc(&r->config->blocks, (size_t)node->count, sizeof *out->name, &out->name));
  out->count = node->count;
  for (int i = 0; i < node->count; i++) {
    DT_TRY(read_named_item(r, (*option->kinds)[0], &node->entry[i], &out->name[i], &out->item[i]));
  }
  return DT_OK;
}

static dt_status read_option(reader *r, const dt_option *option, const dt_yaml *node, void *into) {
  switch (option->type) {
    case DT_OPT_INTS:
    case DT_OPT_REALS:
    case DT_OPT_STRINGS:
      return read_items(r, option, node, into);
    case DT_OPT_MAP:
      if (option->has_given) *(bool *)into = true;
      return read_map(r, option->fields, node, node->origin, into);
    case DT_OPT_ONE:
      return read_choice(r, option, node, into);
    case DT_OPT_LIST:
      return read_choices(r, option, node, into);
    case DT_OPT_LISTS:
      return read_lists(r, option, node, into);
    case DT_OPT_NAMED:
      return read_named(r, option, node, into);
    default:
      break;
  }
  if (!dt_value_read(option, node, into)) complain_value(r, option, node);
  return note_origin(r->config, into, node->origin);
}

/* A default of several numbers, as "[0.75, 1.5]". */
static dt_status read_default_numbers(reader *r, const dt_option *option, dt_origin origin, void *into) {
  enum { NUMBERS = 4, DIGITS = 24 };
  char text[NUMBERS][DIGITS];
  dt_yaml scalar[NUMBERS];
  dt_yaml_entry item[NUMBERS];
  dt_yaml list = {.type = DT_NODE_LIST, .origin = origin, .entry = item};
  for (const char *at = option->default_text + 1; *at != '\0'; at += strspn(at, ", ]"), list.count++) {
    const size_t bytes = strcspn(at, ",]");
    DT_ASSERT(list.count < NUMBERS && bytes < DIGITS);
    snprintf(text[list.count], DIGITS, "%.*s", (int)bytes, at);
    at += bytes;
    scalar[list.count] = (dt_yaml){.type = DT_NODE_SCALAR, .origin = origin, .text = text[list.count], .plain = true};
    item[list.count] = (dt_yaml_entry){.key_origin = origin, .value = &scalar[list.count]};
  }
  return read_option(r, option, &list, into);
}

/* Reads a default as if it stood in the file; "[]" is the empty list, and a kind's name a list
 * of one. */
static dt_status read_default(reader *r, const dt_option *option, dt_origin where, void *into) {
  if (strcmp(option->default_text, "[]") == 0) return DT_OK;
  dt_yaml scalar = {.type = DT_NODE_SCALAR, .origin = {.source = "default"}, .text = option->default_text, .plain = true};
  dt_yaml empty = {.type = DT_NODE_MAP, .origin = scalar.origin};
  dt_yaml_entry entry = {.key = option->default_text, .key_origin = scalar.origin, .value = &empty};
  dt_yaml choice = {.type = DT_NODE_MAP, .origin = scalar.origin, .entry = &entry, .count = 1};
  dt_yaml_entry item = {.key_origin = scalar.origin, .value = &choice};
  dt_yaml list = {.type = DT_NODE_LIST, .origin = scalar.origin, .entry = &item, .count = 1};
  int complaints = r->errors->count, origins = r->config->origin_count;
  const dt_yaml *node = option->type == DT_OPT_ONE ? &choice : option->type == DT_OPT_LIST ? &list : &scalar;
  DT_TRY(option->default_text[0] == '[' ? read_default_numbers(r, option, scalar.origin, into)
                                        : read_option(r, option, node, into));
  r->config->origin_count = origins;
  DT_ASSERT(r->errors->count == complaints);
  return DT_OK;
}

static dt_status read_absent(reader *r, const dt_option *option, dt_origin where, void *into) {
  if (option->default_text == NULL && option->type == DT_OPT_MAP) return read_map(r, option->fields, NULL, where, into);
  if (option->default_text == NULL) {
    char expected[TEXT_BYTES];
    dt_config_complain(r->errors, where, "%s: found nothing, expected %s", r->path,
                       dt_value_expected(option, expected, sizeof expected));
    return DT_OK;
  }
  if (option->default_text[0] != '\0') return read_default(r, option, where, into);
  if (option->type == DT_OPT_STRING) *(const char **)into = "";
  return DT_OK;
}

static void complain_unknown_keys(reader *r, const dt_option *table, const dt_yaml *map) {
  for (int i = 0; i < map->count; i++) {
    const dt_yaml_entry *entry = &map->entry[i];
    const dt_option *option = dt_option_find(table, entry->key, strlen(entry->key));
    char keys[TEXT_BYTES], hint[TEXT_BYTES];
    const char *dot = r->path[0] != '\0' ? "." : "";
    if (entry->key[0] == '\0') continue; /* told by the parser */
    if (option == NULL)
      dt_config_complain(r->errors, entry->key_origin, "%s%s%.60s: found an unknown key, expected %s%s", r->path, dot,
                         entry->key, key_list(table, keys, sizeof keys),
                         dt_key_hint(entry->key, r->path, table, hint, sizeof hint));
    else if (option->short_for != NULL)
      dt_config_complain(r->errors, entry->key_origin, "%s%s%s: found both \"%s\" and \"%s\", expected one of them", r->path,
                         dot, entry->key, entry->key, option->short_for);
  }
}

/* Every key that no other row has. */
static dt_status read_others(reader *r, const dt_option *option, const dt_option *table, const dt_yaml *map, dt_others *out) {
  if (map == NULL) return DT_OK;
  DT_TRY(dt_config_alloc(&r->config->blocks, (size_t)map->count, sizeof *out->item, &out->item));
  for (int i = 0; i < map->count; i++) {
    const dt_yaml_entry *entry = &map->entry[i];
    if (entry->key[0] == '\0' || dt_option_find(table, entry->key, strlen(entry->key)) != option) continue;
    dt_other *item = &out->item[out->count++];
    *item = (dt_other){.name = entry->key, .origin = entry->key_origin};
    DT_TRY(dt_config_alloc(&r->config->blocks, 1, option->item_bytes, &item->value));
    size_t before = enter(r, entry->key);
    dt_status status = read_map(r, option->fields, entry->value, entry->key_origin, item->value);
    leave(r, before);
    DT_TRY(status);
  }
  return DT_OK;
}

static dt_status read_row(reader *r, const dt_option *option, const dt_yaml *map, dt_origin where, void *value) {
  const dt_yaml_entry *entry = map != NULL ? dt_yaml_find(map, option->name) : NULL;
  size_t before = enter(r, option->name);
  dt_status status = entry != NULL ? read_option(r, option, entry->value, value) : read_absent(r, option, where, value);
  leave(r, before);
  return status;
}

static dt_status read_map(reader *r, const dt_option *table, const dt_yaml *map, dt_origin where, void *into) {
  if (map != NULL && dt_yaml_is_nothing(map)) map = NULL;
  if (map != NULL && map->type != DT_NODE_MAP) {
    char found[TEXT_BYTES];
    dt_config_complain(r->errors, map->origin, "%s: found %s, expected a map", r->path,
                       dt_yaml_describe(map, found, sizeof found));
    return DT_OK;
  }
  if (map != NULL) complain_unknown_keys(r, table, map);
  for (const dt_option *option = table; option->name != NULL; option++) {
    void *value = (char *)into + option->offset;
    if (option->short_for != NULL) continue;
    DT_TRY(option->type == DT_OPT_OTHERS ? read_others(r, option, table, map, value) : read_row(r, option, map, where, value));
  }
  return DT_OK;
}

static int compare_origins(const void *a, const void *b) {
  const char *x = ((const dt_value_origin *)a)->value, *y = ((const dt_value_origin *)b)->value;
  return (x > y) - (x < y);
}

dt_status dt_config_read(dt_config *config, const dt_option *table, const dt_yaml *root, void *into, dt_config_errors *errors) {
  reader r = {.config = config, .errors = errors};
  DT_TRY(read_map(&r, table, root, (dt_origin){.source = config->source.name, .line = 1, .column = 1}, into));
  if (config->origin_count > 0) qsort(config->origin, (size_t)config->origin_count, sizeof *config->origin, compare_origins);
  return DT_OK;
}

dt_origin dt_config_origin(const dt_config *config, const void *value) {
  const dt_value_origin wanted = {.value = value};
  const dt_value_origin *found = NULL;
  if (config->origin_count > 0)
    found = bsearch(&wanted, config->origin, (size_t)config->origin_count, sizeof wanted, compare_origins);
  return found != NULL ? found->origin : (dt_origin){.source = "default"};
}
