/* Overrides from the command line: `a.b.c=value`, the value read as YAML. An override says what changes, so what it does not
 * name stays: a map is merged into the one that is there, a bare value goes to the main option of what is there, and null
 * removes. Only a kind replaced by another kind loses its options, and that is told (dt_spec.replaced).
 *
 * Overrides find their way by the option tables, so a path may leave out the kind that is there (optimizer.momentum) and may
 * name layers as describe prints them (model.layers.conv2.filters). The tree is in full form before each (config_desugar.c). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/internal.h"
#include "core/layers/layer.h"
#include "core/text.h"

enum { PATH_BYTES = 512, TEXT_BYTES = 512 };

typedef struct setter {
  dt_config *config;
  dt_config_errors *errors;
  const char *label;     /* the override as it was written */
  char path[PATH_BYTES]; /* of the option in hand, for messages */
  dt_origin value;       /* of the value that is being put in */
} setter;

/* A place in the tree, and what may stand there. */
typedef enum place_type { PLACE_FIELDS, PLACE_CHOICE, PLACE_LIST, PLACE_LISTS, PLACE_NAMED, PLACE_OTHER } place_type;
typedef struct place {
  place_type type;
  dt_yaml *node;            /* NULL: there is no such place, or a complaint said so */
  const dt_option *table;   /* FIELDS: their rows; NULL = none */
  const char *positional;   /* FIELDS: the one that a bare value stands for; NULL = none */
  const char *default_text; /* CHOICE: the kind that is meant where none is given; NULL = none */
  const dt_kind *const *kinds;
  const dt_option *beside; /* CHOICE, LIST, LISTS: what may stand beside a kind */
} place;

static dt_status put(setter *s, place at, dt_yaml *value);
static dt_status step(setter *s, place at, const char *name, dt_origin origin, bool create, place *out);

/* --- places --- */

static size_t enter(setter *s, const char *name) {
  size_t before = strlen(s->path);
  snprintf(s->path + before, sizeof s->path - before, "%s%s", before > 0 ? "." : "", name);
  return before;
}

static place place_of_option(dt_yaml *node, const dt_option *option) {
  switch (option != NULL ? option->type : DT_OPT_STRING) {
    case DT_OPT_MAP:
    case DT_OPT_OTHERS:
      return (place){.type = PLACE_FIELDS, .node = node, .table = option->fields, .positional = option->positional};
    case DT_OPT_ONE:
      return (place){.type = PLACE_CHOICE,
                     .node = node,
                     .kinds = *option->kinds,
                     .beside = option->beside,
                     .default_text = option->default_text};
    case DT_OPT_LIST:
      return (place){.type = PLACE_LIST, .node = node, .kinds = *option->kinds, .beside = option->beside};
    case DT_OPT_LISTS:
      return (place){.type = PLACE_LISTS, .node = node, .kinds = *option->kinds, .beside = option->beside};
    case DT_OPT_NAMED:
      return (place){.type = PLACE_NAMED, .node = node, .kinds = *option->kinds};
    default:
      return (place){.type = PLACE_OTHER, .node = node};
  }
}

static place place_of_kind(dt_yaml *node, const dt_kind *kind) {
  return (place){.type = PLACE_FIELDS, .node = node, .table = kind->options, .positional = kind->positional};
}

/* The kind that stands at a choice, its options being *out_attr; NULL when there is none that is known. */
static const dt_kind *present_kind(const place *at, dt_yaml **out_attr) {
  const dt_yaml_entry *entry = dt_yaml_find_kind(at->node, at->beside);
  if (entry == NULL) return NULL;
  *out_attr = entry->value;
  return dt_kind_find(at->kinds, entry->key, strlen(entry->key));
}

static bool is_beside(const place *at, const char *name) {
  return dt_option_find(at->beside, name, strlen(name)) != NULL;
}

/* What stands beside the kind, as a place of its own. */
static place place_beside(const place *at) {
  return (place){.type = PLACE_FIELDS, .node = at->node, .table = at->beside};
}

static dt_status add_nothing(setter *s, dt_yaml *map, const char *key, dt_origin origin, dt_yaml **out) {
  DT_TRY(dt_yaml_new(&s->config->blocks, DT_NODE_SCALAR, origin, out));
  (*out)->plain = true;
  return dt_yaml_add(&s->config->blocks, map, key, origin, *out);
}

/* --- telling what was lost --- */

static dt_status note_replaced(setter *s, const char *kind, const dt_yaml *attr) {
  char lost[TEXT_BYTES] = "";
  for (int i = 0; attr->type == DT_NODE_MAP && i < attr->count; i++) {
    size_t used = strlen(lost);
    snprintf(lost + used, sizeof lost - used, "%s%s", used == 0 ? "" : ", ", attr->entry[i].key);
  }
  if (lost[0] == '\0') return DT_OK;
  dt_strings *list = &s->config->spec.replaced;
  const char **grown, *copy;
  char text[2 * TEXT_BYTES];
  snprintf(text, sizeof text, "%.200s replaces %s and its %s", s->label, kind, lost);
  DT_TRY(dt_config_copy(&s->config->blocks, text, strlen(text), &copy));
  DT_TRY(dt_config_alloc(&s->config->blocks, (size_t)list->count + 1, sizeof *grown, &grown));
  if (list->count > 0) memcpy(grown, list->value, (size_t)list->count * sizeof *grown);
  grown[list->count] = copy;
  *list = (dt_strings){grown, list->count + 1};
  return DT_OK;
}

/* Makes the choice {kind: {}}; what stands beside the kind stays. */
static dt_status replace_kind(setter *s, place *at, const dt_kind *kind, dt_origin origin, dt_yaml **out_attr) {
  dt_yaml *attr;
  const dt_kind *before = present_kind(at, &attr);
  if (before != NULL) DT_TRY(note_replaced(s, before->name, attr));
  const dt_yaml old = *at->node;
  *at->node = (dt_yaml){.type = DT_NODE_MAP, .origin = origin, .text = ""};
  DT_TRY(dt_yaml_new(&s->config->blocks, DT_NODE_MAP, origin, out_attr));
  DT_TRY(dt_yaml_add(&s->config->blocks, at->node, kind->name, origin, *out_attr));
  for (int i = 0; old.type == DT_NODE_MAP && i < old.count; i++) {
    const dt_yaml_entry *entry = &old.entry[i];
    if (!is_beside(at, entry->key)) continue;
    DT_TRY(dt_yaml_add(&s->config->blocks, at->node, entry->key, entry->key_origin, entry->value));
  }
  return DT_OK;
}

/* --- one step down a path --- */

/* The value of a map's key. Where it is missing: made with nothing in it, and at.node a map, if `create`; else NULL. */
static dt_status step_key(setter *s, place at, const char *name, dt_origin origin, bool create, dt_yaml **out) {
  *out = NULL;
  if (at.node->type != DT_NODE_MAP && !create) return DT_OK;
  if (at.node->type != DT_NODE_MAP) *at.node = (dt_yaml){.type = DT_NODE_MAP, .origin = origin, .text = ""};
  const dt_yaml_entry *entry = dt_yaml_find(at.node, name);
  if (entry == NULL && create) return add_nothing(s, at.node, name, origin, out);
  if (entry != NULL) *out = entry->value;
  return DT_OK;
}

static dt_status step_named(setter *s, place at, const char *name, dt_origin origin, bool create, place *out) {
  dt_yaml *node;
  DT_TRY(step_key(s, at, name, origin, create, &node));
  if (node != NULL) *out = place_of_kind(node, at.kinds[0]);
  return DT_OK;
}

/* The main option of the item whose name is that of the short form. */
static dt_status step_short(setter *s, place at, const dt_option *option, dt_origin origin, bool create, place *out) {
  place named, item;
  DT_TRY(step(s, at, option->short_for, origin, create, &named));
  if (named.node == NULL) return DT_OK;
  DT_TRY(step(s, named, option->name, origin, create, &item));
  return item.node != NULL ? step(s, item, item.positional, origin, create, out) : DT_OK;
}

static bool is_short_for_named(const place *at, const dt_option *option) {
  if (option == NULL || option->short_for == NULL) return false;
  return dt_option_find(at->table, option->short_for, strlen(option->short_for))->type == DT_OPT_NAMED;
}

static dt_status step_field(setter *s, place at, const char *name, dt_origin origin, bool create, place *out) {
  const dt_option *option = dt_option_find(at.table, name, strlen(name));
  if (is_short_for_named(&at, option)) return step_short(s, at, option, origin, create, out);
  dt_yaml *node;
  DT_TRY(step_key(s, at, name, origin, create || option == NULL, &node)); /* an unknown key is for the reader to refuse */
  if (node != NULL) *out = place_of_option(node, option);
  return DT_OK;
}

static const char *stem_of(const place *at, const dt_yaml *item) {
  const dt_yaml_entry *entry = at->kinds != NULL ? dt_yaml_find_kind(item, at->beside) : NULL;
  if (entry == NULL) return NULL;
  const dt_kind *kind = dt_kind_find(at->kinds, entry->key, strlen(entry->key));
  return kind == NULL ? NULL : at->kinds == dt_layer_kinds ? dt_layer_stem(kind) : kind->name;
}

/* The name that an item was given beside its kind; NULL when it was given none. */
static const char *given_name(const place *at, const dt_yaml *item) {
  if (!is_beside(at, "name") || item->type != DT_NODE_MAP) return NULL;
  const dt_yaml_entry *entry = dt_yaml_find(item, "name");
  return entry != NULL && entry->value->type == DT_NODE_SCALAR ? entry->value->text : NULL;
}

/* The name of an item as describe prints it: the one it was given, or its kind's stem and its number among the items of that
 * kind; of a list, b1, b2... */
static const char *item_name(const place *at, int index, char *text, size_t bytes) {
  text[0] = '\0';
  if (at->type == PLACE_LISTS) {
    snprintf(text, bytes, "b%d", index + 1);
    return text;
  }
  const char *stem = stem_of(at, at->node->entry[index].value), *given = given_name(at, at->node->entry[index].value);
  int ordinal = 0;
  if (given != NULL) {
    snprintf(text, bytes, "%s", given);
    return text;
  }
  for (int i = 0; stem != NULL && i <= index; i++) {
    const char *other = stem_of(at, at->node->entry[i].value);
    ordinal += other != NULL && strcmp(other, stem) == 0;
  }
  if (stem != NULL) snprintf(text, bytes, "%s%d", stem, ordinal);
  return text;
}

static int find_item(const place *at, const char *name) {
  char *end, text[TEXT_BYTES];
  if (*name >= '0' && *name <= '9') {
    long index = strtol(name, &end, 10);
    return *end == '\0' && index < at->node->count ? (int)index : -1;
  }
  for (int i = 0; i < at->node->count; i++)
    if (strcmp(item_name(at, i, text, sizeof text), name) == 0) return i;
  return -1;
}

typedef struct item_names {
  const place *at;
  char text[TEXT_BYTES];
} item_names;

static const char *next_item_name(const void *context, int index) {
  item_names *names = (item_names *)(uintptr_t)context;
  return index < names->at->node->count ? item_name(names->at, index, names->text, sizeof names->text) : NULL;
}

static void complain_item(setter *s, const place *at, const char *name, dt_origin origin) {
  item_names names = {.at = at};
  char all[TEXT_BYTES] = "", hint[TEXT_BYTES], one[TEXT_BYTES];
  enum { NAMES_SHOWN = 12 };
  for (int i = 0; i < at->node->count && i < NAMES_SHOWN; i++) {
    size_t used = strlen(all);
    snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? ": " : ", ", item_name(at, i, one, sizeof one));
  }
  if (at->node->count > NAMES_SHOWN) snprintf(all + strlen(all), sizeof all - strlen(all), ", ...");
  dt_config_complain(s->errors, origin,
                     "%s: found \"%.60s\" for a list of %d item%s, expected an index below that or a name%s%s", s->path, name,
                     at->node->count, at->node->count == 1 ? "" : "s", all,
                     dt_did_you_mean(dt_name_nearest(name, next_item_name, &names), hint, sizeof hint));
}

static dt_status step_item(setter *s, place at, const char *name, dt_origin origin, place *out) {
  int index = find_item(&at, name);
  if (index < 0) {
    complain_item(s, &at, name, origin);
    return DT_OK;
  }
  static const place_type item_type[] = {[PLACE_LISTS] = PLACE_LIST, [PLACE_LIST] = PLACE_CHOICE, [PLACE_OTHER] = PLACE_OTHER};
  *out = (place){.type = item_type[at.type], .node = at.node->entry[index].value, .kinds = at.kinds, .beside = at.beside};
  return DT_OK;
}

/* "; or a key of the sgd that is there: momentum, nesterov, weight_decay". */
static const char *keys_text(const place *at, const dt_kind *kind, char *text, size_t bytes) {
  text[0] = '\0';
  for (const dt_option *option = kind != NULL ? kind->options : NULL; option != NULL && option->name != NULL; option++) {
    size_t used = strlen(text);
    if (used == 0)
      snprintf(text, bytes, "; or a key of the %s that is there: %s", kind->name, option->name);
    else
      snprintf(text + used, bytes - used, ", %s", option->name);
  }
  for (const dt_option *option = kind != NULL ? at->beside : NULL; option != NULL && option->name != NULL; option++) {
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", option == at->beside ? "; or a key beside it: " : ", ", option->name);
  }
  return text;
}

static void complain_choice(setter *s, const place *at, const dt_kind *present, const char *found, dt_origin origin) {
  char expected[TEXT_BYTES], keys[TEXT_BYTES], hint[TEXT_BYTES];
  dt_option one = {.type = DT_OPT_ONE, .kinds = &at->kinds};
  dt_kind_hint(found, at->kinds, hint, sizeof hint);
  if (hint[0] == '\0' && present != NULL && present->options != NULL)
    dt_key_hint(found, present->name, present->options, hint, sizeof hint);
  if (hint[0] == '\0' && present != NULL && at->beside != NULL)
    dt_key_hint(found, present->name, at->beside, hint, sizeof hint);
  dt_config_complain(s->errors, origin, "%s: found \"%.60s\", expected %s%s%s", s->path, found,
                     dt_value_expected(&one, expected, sizeof expected), keys_text(at, present, keys, sizeof keys), hint);
}

/* Where a kind consists of layers, their names follow its own. */
static const dt_option *inner_list(const dt_kind *kind) {
  if (kind->positional == NULL) return NULL;
  const dt_option *option = dt_option_find(kind->options, kind->positional, strlen(kind->positional));
  return option->type == DT_OPT_LIST || option->type == DT_OPT_LISTS ? option : NULL;
}

/* By the name of a kind; or through the kind that is there, to one of its options or of its layers. Where a name is both, the
 * option of the kind that is there is meant: data.eval.images of idx is its file, {images: ...} the format. */
static dt_status step_choice(setter *s, place at, const char *name, dt_origin origin, bool create, place *out) {
  dt_yaml *attr;
  const dt_kind *kind = dt_kind_find(at.kinds, name, strlen(name)), *present = present_kind(&at, &attr);
  if (present == NULL && kind == NULL && create && dt_yaml_is_nothing(at.node) && at.default_text != NULL &&
      at.default_text[0] != '\0') {
    present = dt_kind_find(at.kinds, at.default_text, strlen(at.default_text));
    DT_TRY(replace_kind(s, &at, present, origin, &attr));
  }
  if (present != NULL && kind != present && dt_option_find(present->options, name, strlen(name)) != NULL) kind = NULL;
  if (kind != NULL && kind != present) {
    if (!create) return DT_OK;
    DT_TRY(replace_kind(s, &at, kind, origin, &attr));
  } else if (kind == NULL && present == NULL) {
    complain_choice(s, &at, NULL, name, origin);
    return DT_OK;
  }
  if (create) attr->origin = s->value; /* what is wrong with the kind now, the override may have done */
  if (kind != NULL) {
    *out = place_of_kind(attr, kind);
    return DT_OK;
  }
  if (dt_option_find(present->options, name, strlen(name)) != NULL)
    return step_field(s, place_of_kind(attr, present), name, origin, create, out);
  if (is_beside(&at, name)) return step_field(s, place_beside(&at), name, origin, create, out);
  const dt_option *list = inner_list(present);
  dt_yaml_entry *inner = list != NULL && attr->type == DT_NODE_MAP ? dt_yaml_find(attr, list->name) : NULL;
  if (inner != NULL && inner->value->type == DT_NODE_LIST)
    return step_item(s, place_of_option(inner->value, list), name, origin, out);
  complain_choice(s, &at, present, name, origin);
  return DT_OK;
}

/* out->node stays NULL where there is nothing and nothing is to be created, and after a complaint. */
static dt_status step(setter *s, place at, const char *name, dt_origin origin, bool create, place *out) {
  *out = (place){.node = NULL};
  if (at.type == PLACE_CHOICE) return step_choice(s, at, name, origin, create, out);
  if (at.type == PLACE_NAMED) return step_named(s, at, name, origin, create, out);
  if (at.node->type == DT_NODE_LIST && at.type != PLACE_FIELDS) return step_item(s, at, name, origin, out);
  return step_field(s, at, name, origin, create, out);
}

/* --- null: taking away --- */

static bool is_null(const dt_yaml *value) {
  return value->type == DT_NODE_SCALAR && value->plain && (strcmp(value->text, "null") == 0 || strcmp(value->text, "~") == 0);
}

static bool is_required(const dt_option *option) {
  if (option->default_text != NULL || option->short_for != NULL) return false;
  if (option->type != DT_OPT_MAP) return true;
  for (const dt_option *field = option->fields; field->name != NULL; field++)
    if (is_required(field)) return true;
  return false;
}

static void remove_entry(dt_yaml *from, int index) {
  memmove(&from->entry[index], &from->entry[index + 1], (size_t)(from->count - index - 1) * sizeof *from->entry);
  from->count--;
}

static dt_status remove_field(setter *s, place at, const char *name, dt_yaml *value) {
  const dt_option *option = dt_option_find(at.table, name, strlen(name));
  if (option != NULL && option->short_for != NULL) {
    name = option->short_for;
    option = dt_option_find(at.table, name, strlen(name));
  }
  if (option != NULL && is_required(option)) {
    dt_config_complain(s->errors, value->origin, "%s: found null, expected a value: the key is required", s->path);
    return DT_OK;
  }
  if (at.node->type != DT_NODE_MAP && option != NULL) return DT_OK;
  dt_yaml_entry *entry = dt_yaml_find(at.node, name);
  if (entry != NULL) remove_entry(at.node, (int)(entry - at.node->entry));
  if (option != NULL) return DT_OK;
  place unknown;
  return step_field(s, at, name, value->origin, true, &unknown); /* for the reader to refuse */
}

static dt_status take_away(setter *s, place at, const char *name, dt_yaml *value) {
  if (at.node->type == DT_NODE_LIST && at.type != PLACE_FIELDS && at.type != PLACE_CHOICE && at.type != PLACE_NAMED) {
    int index = find_item(&at, name);
    if (index < 0)
      complain_item(s, &at, name, value->origin);
    else
      remove_entry(at.node, index);
    return DT_OK;
  }
  if (at.type == PLACE_NAMED) {
    dt_yaml_entry *entry = at.node->type == DT_NODE_MAP ? dt_yaml_find(at.node, name) : NULL;
    if (entry != NULL) remove_entry(at.node, (int)(entry - at.node->entry));
    return DT_OK;
  }
  if (at.type != PLACE_CHOICE) return remove_field(s, at, name, value);
  dt_yaml *attr;
  const dt_kind *present = present_kind(&at, &attr);
  if (present == NULL) return DT_OK;
  if (dt_kind_find(at.kinds, name, strlen(name)) != NULL) {
    dt_config_complain(s->errors, value->origin,
                       "%s: found null for a kind, expected its options, or null for what has the kind", s->path);
    return DT_OK;
  }
  const dt_option *list = inner_list(present);
  dt_yaml_entry *inner = list != NULL && attr->type == DT_NODE_MAP ? dt_yaml_find(attr, list->name) : NULL;
  bool is_option = dt_option_find(present->options, name, strlen(name)) != NULL;
  if (!is_option && is_beside(&at, name)) return remove_field(s, place_beside(&at), name, value);
  attr->origin = value->origin;
  if (!is_option && inner != NULL) return take_away(s, place_of_option(inner->value, list), name, value);
  return remove_field(s, place_of_kind(attr, present), name, value);
}

/* --- putting a value in its place --- */

static dt_status put_entry(setter *s, place at, const char *name, dt_origin origin, dt_yaml *value) {
  size_t before = enter(s, name);
  place next;
  dt_status status = DT_OK;
  s->value = value->origin;
  if (is_null(value)) {
    status = take_away(s, at, name, value);
  } else {
    status = step(s, at, name, origin, true, &next);
    if (status == DT_OK && next.node != NULL) status = put(s, next, value);
  }
  s->path[before] = '\0';
  return status;
}

static dt_status merge(setter *s, place at, dt_yaml *map) {
  for (int i = 0; i < map->count; i++)
    DT_TRY(put_entry(s, at, map->entry[i].key, map->entry[i].key_origin, map->entry[i].value));
  return DT_OK;
}

static dt_status put_fields(setter *s, place at, dt_yaml *value) {
  if (value->type == DT_NODE_MAP) {
    if (at.node->type != DT_NODE_MAP) *at.node = (dt_yaml){.type = DT_NODE_MAP, .origin = value->origin, .text = ""};
    return merge(s, at, value);
  }
  if (at.positional != NULL) return put_entry(s, at, at.positional, value->origin, value);
  *at.node = *value;
  return DT_OK;
}

/* Whether the map has options of the kind that is there, or what may stand beside it, and nothing else. */
static bool are_options(const place *at, const dt_kind *kind, const dt_yaml *map) {
  for (int i = 0; i < map->count; i++) {
    const char *key = map->entry[i].key;
    if (dt_option_find(kind->options, key, strlen(key)) == NULL && !is_beside(at, key)) return false;
  }
  return map->count > 0;
}

/* Puts what the map has beside its kind beside the one that is there. */
static dt_status merge_beside(setter *s, const place *at, const dt_yaml *map) {
  for (int i = 0; map->type == DT_NODE_MAP && i < map->count; i++) {
    const dt_yaml_entry *entry = &map->entry[i];
    if (is_beside(at, entry->key)) DT_TRY(put_entry(s, place_beside(at), entry->key, entry->key_origin, entry->value));
  }
  return DT_OK;
}

/* Options of the kind go to the kind, others beside it. */
static dt_status merge_into_kind(setter *s, const place *at, place kind, const dt_yaml *map) {
  for (int i = 0; i < map->count; i++) {
    const dt_yaml_entry *entry = &map->entry[i];
    bool is_option = dt_option_find(kind.table, entry->key, strlen(entry->key)) != NULL;
    DT_TRY(put_entry(s, is_option ? kind : place_beside(at), entry->key, entry->key_origin, entry->value));
  }
  return DT_OK;
}

/* Words for nothing that are no null. */
static bool is_none(const dt_yaml *value) {
  static const char *const words[] = {"none", "None", "off", "false", "Null", "NULL"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (value->type == DT_NODE_SCALAR && value->plain && strcmp(value->text, words[i]) == 0) return true;
  return false;
}

static dt_status put_choice(setter *s, place at, dt_yaml *value) {
  dt_yaml *attr;
  const dt_kind *present = present_kind(&at, &attr);
  const dt_yaml_entry *entry = dt_yaml_find_kind(value, at.beside);
  const char *name = value->type == DT_NODE_SCALAR ? value->text : entry != NULL ? entry->key : "";
  const dt_kind *kind = dt_kind_find(at.kinds, name, strlen(name));
  if (kind != NULL) {
    dt_yaml *options = entry != NULL ? entry->value : NULL;
    dt_origin origin = options != NULL ? entry->key_origin : value->origin;
    if (kind != present) DT_TRY(replace_kind(s, &at, kind, origin, &attr));
    attr->origin = origin;
    if (options != NULL && !dt_yaml_is_nothing(options) && !is_null(options))
      DT_TRY(put(s, place_of_kind(attr, kind), options));
    return merge_beside(s, &at, value);
  }
  if (is_none(value)) {
    dt_config_complain(s->errors, value->origin, "%s: found \"%s\", expected a value, or null to take it out", s->path,
                       value->text);
    return DT_OK;
  }
  if (present != NULL && value->type == DT_NODE_MAP && are_options(&at, present, value)) {
    attr->origin = value->origin;
    return merge_into_kind(s, &at, place_of_kind(attr, present), value);
  }
  bool meant_as_kind = value->type == DT_NODE_SCALAR && dt_name_nearest_kind(value->text, at.kinds) != NULL;
  if (present != NULL && present->positional != NULL && value->type != DT_NODE_MAP && !meant_as_kind) {
    attr->origin = value->origin;
    return put_fields(s, place_of_kind(attr, present), value);
  }
  if (present == NULL || value->type != DT_NODE_SCALAR) {
    *at.node = *value; /* for the reader to take or to refuse */
    return DT_OK;
  }
  complain_choice(s, &at, present, value->text, value->origin);
  return DT_OK;
}

static dt_status put(setter *s, place at, dt_yaml *value) {
  if (dt_yaml_is_nothing(value)) {
    dt_config_complain(s->errors, value->origin, "%s: found nothing, expected a value, or null to take it out", s->path);
    return DT_OK;
  }
  if (at.type == PLACE_FIELDS) return put_fields(s, at, value);
  if (at.type == PLACE_CHOICE) return put_choice(s, at, value);
  if (at.node->type == DT_NODE_LIST && value->type == DT_NODE_MAP) return merge(s, at, value);
  if (at.type == PLACE_NAMED && at.node->type == DT_NODE_MAP && value->type == DT_NODE_MAP) return merge(s, at, value);
  *at.node = *value;
  return DT_OK;
}

/* --- the path of one override --- */

static dt_status walk_path(setter *s, dt_yaml *root, const char *path, size_t path_bytes, dt_yaml *value) {
  place at = place_of_option(root, &(dt_option){.type = DT_OPT_MAP, .fields = dt_spec_options});
  for (const char *part = path, *end = path + path_bytes;;) {
    const char *dot = memchr(part, '.', (size_t)(end - part)), *name;
    size_t bytes = (size_t)((dot != NULL ? dot : end) - part);
    dt_origin origin = {.source = s->label, .column = dt_text_columns(s->label, (size_t)(part - s->label)) + 1};
    if (bytes == 0) {
      dt_config_complain(s->errors, origin, "found an empty name in the path, expected key.key=value");
      return DT_OK;
    }
    DT_TRY(dt_config_copy(&s->config->blocks, part, bytes, &name));
    if (dot == NULL) return put_entry(s, at, name, origin, value);
    enter(s, name);
    place next;
    DT_TRY(step(s, at, name, origin, !is_null(value), &next));
    if (next.node == NULL) return DT_OK;
    at = next;
    part = dot + 1;
  }
}

/* Where a comment begins: # at the start or behind a space, outside quotes. NULL without one. */
static const char *find_comment(const char *text) {
  char quote = '\0', before = ' ';
  for (const char *p = text; *p != '\0'; before = *p++) {
    if (quote == '"' && *p == '\\' && p[1] != '\0')
      p++;
    else if (quote != '\0')
      quote = *p == quote ? '\0' : quote;
    else if ((*p == '"' || *p == '\'') && strchr(" [{,:", before) != NULL)
      quote = *p;
    else if (*p == '#' && before == ' ')
      return p;
  }
  return NULL;
}

/* What YAML would read as something that is no value, and drop. */
static bool is_value(const char *text, dt_origin origin, dt_config_errors *errors) {
  const char *comment = find_comment(text);
  if (comment != NULL) {
    origin.column += dt_text_columns(text, (size_t)(comment - text));
    dt_config_complain(errors, origin, "found # behind a space, which begins a comment, expected a value with # in quotes");
  } else if (text[0] == '%') {
    dt_config_complain(errors, origin, "found a value that begins with %%, expected it in quotes");
  }
  return comment == NULL && text[0] != '%';
}

dt_status dt_config_set(dt_config *config, dt_yaml *root, const char *set, dt_config_errors *errors) {
  static const char option[] = "--set ";
  bool labelled = strncmp(set, "--", 2) == 0;
  size_t label_bytes = strlen(set) + sizeof option;
  char *label;
  DT_TRY(dt_config_alloc(&config->blocks, label_bytes, 1, &label));
  snprintf(label, label_bytes, "%s%s", labelled ? "" : option, set);
  const char *path = label + (labelled ? 2 : sizeof option - 1), *equals = strchr(path, '=');
  dt_origin origin = {.source = label, .column = dt_text_columns(label, (size_t)(path - label)) + 1};
  if (equals == NULL || equals == path) {
    dt_config_complain(errors, origin,
                       equals == NULL ? "found no value, expected key.key=value" : "found no key, expected key.key=value");
    return DT_OK;
  }
  origin.column = dt_text_columns(label, (size_t)(equals + 1 - label)) + 1;
  if (!is_value(equals + 1, origin, errors)) return DT_OK;
  dt_config_text source;
  dt_yaml *value;
  bool broken;
  DT_TRY(dt_config_text_open(&config->blocks, label, equals + 1, strlen(equals + 1), &source));
  DT_TRY(dt_yaml_parse(&config->blocks, &source, &origin, errors, &value, &broken));
  if (broken) return DT_OK;
  if (value == NULL) {
    DT_TRY(dt_yaml_new(&config->blocks, DT_NODE_SCALAR, origin, &value));
    value->plain = true;
  }
  setter s = {.config = config, .errors = errors, .label = label, .value = value->origin};
  return walk_path(&s, root, path, (size_t)(equals - path), value);
}
