/* YAML text to a tree of nodes, through libfyaml's events. This is the only file that sees libfyaml.
 *
 * Events, not documents: so that depth is bounded here, and anchors, aliases and tags are refused where they stand before
 * anything could follow them. */
#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/internal.h"

/* The parser's place: open collections from the outside in, each with the key that waits for its value. */
typedef struct reader {
  dt_config_block **blocks;
  const dt_config_text *source;
  const dt_origin *as;
  dt_config_errors *errors;
  dt_yaml *open[DT_CONFIG_DEPTH_MAX];
  const char *key[DT_CONFIG_DEPTH_MAX];
  dt_origin key_origin[DT_CONFIG_DEPTH_MAX];
  char bracket[DT_CONFIG_DEPTH_MAX]; /* '[' or '{' where one opened it, else NUL */
  int line[DT_CONFIG_DEPTH_MAX];     /* where it begins */
  int depth, documents;
  dt_origin last; /* of what was read last */
  bool broken;    /* reading stopped: the tree is not the file's */
  dt_yaml *root;
} reader;

static dt_origin origin_at(const reader *r, int line, int column) {
  if (r->as != NULL) return (dt_origin){.source = r->as->source, .column = r->as->column + (line == 1 ? column - 1 : 0)};
  return (dt_origin){.source = r->source->name, .line = line, .column = column};
}

/* libfyaml marks quoted text behind its opening quote; a user looks for the quote. */
static bool is_quoted(struct fy_event *event) {
  if (event->type != FYET_SCALAR || event->scalar.value == NULL) return false;
  enum fy_scalar_style style = fy_token_scalar_style(event->scalar.value);
  return style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
}

/* A value that is not there has no place: that of its key, or of the list it is missing from, has to do. */
static dt_origin nothing_origin(const reader *r) {
  if (r->depth == 0) return origin_at(r, 1, 1);
  int top = r->depth - 1;
  return r->key[top] != NULL ? r->key_origin[top] : r->open[top]->origin;
}

static dt_origin event_origin(const reader *r, struct fy_event *event) {
  const struct fy_mark *mark = fy_event_start_mark(event);
  if (mark == NULL) return nothing_origin(r);
  return origin_at(r, mark->line + 1, mark->column + (is_quoted(event) && mark->column > 0 ? 0 : 1));
}

dt_status dt_yaml_new(dt_config_block **blocks, dt_node_type type, dt_origin origin, dt_yaml **out) {
  DT_TRY(dt_config_alloc(blocks, 1, sizeof **out, out));
  (*out)->type = type;
  (*out)->origin = origin;
  (*out)->text = "";
  return DT_OK;
}

dt_status dt_yaml_add(dt_config_block **blocks, dt_yaml *to, const char *key, dt_origin key_origin, dt_yaml *value) {
  if (to->count == to->capacity) {
    int capacity = to->capacity > 0 ? 2 * to->capacity : 8;
    dt_yaml_entry *entry;
    DT_TRY(dt_config_alloc(blocks, (size_t)capacity, sizeof *entry, &entry));
    if (to->count > 0) memcpy(entry, to->entry, (size_t)to->count * sizeof *entry);
    to->entry = entry;
    to->capacity = capacity;
  }
  to->entry[to->count++] = (dt_yaml_entry){key, key_origin, value};
  return DT_OK;
}

dt_yaml_entry *dt_yaml_find(const dt_yaml *map, const char *key) {
  for (int i = 0; i < map->count; i++)
    if (map->entry[i].key != NULL && strcmp(map->entry[i].key, key) == 0) return &map->entry[i];
  return NULL;
}

dt_yaml_entry *dt_yaml_find_kind(const dt_yaml *map, const dt_option *beside) {
  dt_yaml_entry *found = NULL;
  for (int i = 0; map->type == DT_NODE_MAP && i < map->count; i++) {
    if (dt_option_find(beside, map->entry[i].key, strlen(map->entry[i].key)) != NULL) continue;
    if (found != NULL) return NULL;
    found = &map->entry[i];
  }
  return found;
}

bool dt_yaml_is_nothing(const dt_yaml *node) {
  return node->type == DT_NODE_SCALAR && node->plain && node->text[0] == '\0';
}

const char *dt_yaml_describe(const dt_yaml *node, char *text, size_t bytes) {
  if (dt_yaml_is_nothing(node))
    snprintf(text, bytes, "nothing");
  else if (node->type == DT_NODE_SCALAR)
    snprintf(text, bytes, node->plain ? "\"%.60s%s\"" : "the quoted text \"%.60s%s\"", node->text,
             strlen(node->text) > 60 ? "..." : "");
  else
    snprintf(text, bytes, node->type == DT_NODE_LIST ? "a list" : "a map");
  return text;
}

/* Gives a finished or just opened node its place. */
static dt_status place(reader *r, dt_yaml *node) {
  if (r->depth == 0) {
    r->root = node;
    return DT_OK;
  }
  int top = r->depth - 1;
  dt_yaml *parent = r->open[top];
  if (parent->type == DT_NODE_LIST) return dt_yaml_add(r->blocks, parent, NULL, node->origin, node);
  const char *key = r->key[top];
  r->key[top] = NULL;
  if (dt_yaml_find(parent, key) != NULL) return DT_OK; /* told when the key was read: the first counts */
  return dt_yaml_add(r->blocks, parent, key, r->key_origin[top], node);
}

static bool waits_for_key(const reader *r) {
  return r->depth > 0 && r->open[r->depth - 1]->type == DT_NODE_MAP && r->key[r->depth - 1] == NULL;
}

/* A complaint after which reading cannot sensibly go on. */
#define GIVE_UP(r, origin, ...)                           \
  do {                                                    \
    dt_config_complain((r)->errors, origin, __VA_ARGS__); \
    (r)->broken = true;                                   \
    return DT_OK;                                         \
  } while (0)

static dt_status take_key(reader *r, const char *text, dt_origin origin) {
  int top = r->depth - 1;
  if (r->open[top]->count == DT_CONFIG_LIST_MAX)
    GIVE_UP(r, origin, "found more than %d keys, expected at most that", DT_CONFIG_LIST_MAX);
  if (text[0] == '\0') dt_config_complain(r->errors, origin, "found an empty key, expected a word before the colon");
  const dt_yaml_entry *first = dt_yaml_find(r->open[top], text);
  if (first != NULL && origin.line > 0)
    dt_config_complain(r->errors, origin, "found the key \"%.60s\" twice, expected it once; the first is on line %d", text,
                       first->key_origin.line);
  else if (first != NULL)
    dt_config_complain(r->errors, origin, "found the key \"%.60s\" twice, expected it once", text);
  r->key[top] = text;
  r->key_origin[top] = origin;
  return DT_OK;
}

static dt_status take_scalar(reader *r, struct fy_event *event, dt_origin origin) {
  struct fy_token *token = event->scalar.value;
  size_t bytes = 0;
  const char *raw = token != NULL ? fy_token_get_text(token, &bytes) : "", *text;
  if (raw == NULL) bytes = 0;
  if (raw != NULL && memchr(raw, '\0', bytes) != NULL) {
    dt_config_complain(r->errors, origin, "found a NUL character, expected text without one");
    bytes = 0;
  }
  DT_TRY(dt_config_copy(r->blocks, raw, bytes, &text));
  if (waits_for_key(r)) return take_key(r, text, origin);
  dt_yaml *node;
  DT_TRY(dt_yaml_new(r->blocks, DT_NODE_SCALAR, origin, &node));
  node->text = text;
  node->plain = token == NULL || fy_token_scalar_style(token) == FYSS_PLAIN;
  return place(r, node);
}

/* The bracket at a place of the source; NUL where another character stands. */
static char bracket_at(const reader *r, int line, int column) {
  const char *text;
  size_t bytes;
  if (!dt_config_text_line(r->source, line, &text, &bytes)) return '\0';
  for (size_t i = 0; i < bytes; i++) {
    if (((unsigned char)text[i] & 0xC0) == 0x80) continue;
    if (--column == 0) return text[i] == '[' || text[i] == '{' ? text[i] : '\0';
  }
  return '\0';
}

static dt_status take_open(reader *r, dt_node_type type, dt_origin origin, struct fy_event *event) {
  if (waits_for_key(r)) GIVE_UP(r, origin, "found a %s as a key, expected a word", type == DT_NODE_LIST ? "list" : "map");
  if (r->depth == DT_CONFIG_DEPTH_MAX)
    GIVE_UP(r, origin, "found nesting deeper than %d, expected at most that", DT_CONFIG_DEPTH_MAX);
  dt_yaml *node;
  DT_TRY(dt_yaml_new(r->blocks, type, origin, &node));
  DT_TRY(place(r, node));
  const struct fy_mark *mark = fy_event_start_mark(event);
  r->line[r->depth] = mark != NULL ? mark->line + 1 : 1;
  r->bracket[r->depth] = mark != NULL ? bracket_at(r, mark->line + 1, mark->column + 1) : '\0';
  r->open[r->depth] = node;
  r->key[r->depth] = NULL;
  r->depth++;
  return DT_OK;
}

/* What YAML has and a config may not use. */
static const char *refused_feature(struct fy_event *event) {
  if (event->type == FYET_ALIAS) return "an alias (*)";
  if (event->type != FYET_SCALAR && event->type != FYET_MAPPING_START && event->type != FYET_SEQUENCE_START) return NULL;
  if (fy_event_get_anchor_token(event) != NULL) return "an anchor (&)";
  if (fy_event_get_tag_token(event) != NULL) return "a tag (!)";
  return NULL;
}

static dt_status take_event(reader *r, struct fy_event *event) {
  dt_origin origin = event_origin(r, event);
  const char *feature = refused_feature(event);
  if (feature != NULL) GIVE_UP(r, origin, "found %s, expected plain YAML without anchors, aliases and tags", feature);
  if (fy_event_start_mark(event) != NULL && r->documents == 1 && event->type != FYET_DOCUMENT_START) r->last = origin;
  switch (event->type) {
    case FYET_DOCUMENT_START:
      if (++r->documents > 1)
        GIVE_UP(r, fy_event_start_mark(event) != NULL ? origin : r->last, "found a second document, expected one");
      return DT_OK;
    case FYET_SCALAR:
      return take_scalar(r, event, origin);
    case FYET_SEQUENCE_START:
      return take_open(r, DT_NODE_LIST, origin, event);
    case FYET_MAPPING_START:
      return take_open(r, DT_NODE_MAP, origin, event);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
      r->depth--;
      return DT_OK;
    default:
      return DT_OK;
  }
}

/* The innermost collection that was opened by a bracket and not closed by the line of an error; NULL when there is none. */
static const dt_yaml *open_bracket(const reader *r, int line) {
  for (int i = r->depth - 1; i >= 0; i--)
    if (r->bracket[i] != '\0' && (r->line[i] < line || line == 0)) return r->open[i];
  return NULL;
}

static void complain_syntax(reader *r, struct fy_diag *diag) {
  enum { SAID = 512 };
  void *iterator = NULL;
  char text[SAID];
  const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &iterator);
  const char *said = error != NULL && error->msg != NULL ? error->msg : "";
  int line = error != NULL && error->line > 0 ? error->line : 1,
      column = error != NULL && error->column > 0 ? error->column : 1;
  r->broken = true;
  bool ends = strstr(said, "without a closing") != NULL;
  const dt_yaml *bracket = open_bracket(r, ends ? 0 : line);
  if (bracket != NULL)
    dt_config_complain(r->errors, bracket->origin,
                       "not YAML: found \"%c\" without its \"%c\", expected that before the next key",
                       bracket->type == DT_NODE_LIST ? '[' : '{', bracket->type == DT_NODE_LIST ? ']' : '}');
  else
    dt_config_complain(r->errors, origin_at(r, line, column), "not YAML: %s",
                       dt_syntax_text(r->source, line, said, text, sizeof text));
}

static dt_status read_events(reader *r, struct fy_parser *parser, struct fy_diag *diag) {
  dt_status status = DT_OK;
  while (!r->broken && status == DT_OK) {
    struct fy_event *event = fy_parser_parse(parser);
    if (event == NULL) {
      if (fy_parser_get_stream_error(parser)) complain_syntax(r, diag);
      return DT_OK;
    }
    status = take_event(r, event);
    fy_parser_event_free(parser, event);
  }
  return status;
}

dt_status dt_yaml_parse(dt_config_block **blocks, const dt_config_text *source, const dt_origin *as, dt_config_errors *errors,
                        dt_yaml **out, bool *out_broken) {
  reader r = {.blocks = blocks, .source = source, .as = as, .errors = errors};
  struct fy_diag_cfg diag_config;
  fy_diag_cfg_default(&diag_config);
  diag_config.fp = NULL;
  diag_config.colorize = false;
  dt_status status = DT_OK;
  struct fy_parser *parser = NULL;
  struct fy_diag *diag = fy_diag_create(&diag_config);
  if (diag == NULL) DT_RAISE_GOTO(done, DT_MEMORY, "could not create the YAML diagnostics");
  fy_diag_set_collect_errors(diag, true);
  parser = fy_parser_create(
      &(struct fy_parse_cfg){.flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE, .diag = diag});
  if (parser == NULL || fy_parser_set_string(parser, source->text, source->bytes) != 0)
    DT_RAISE_GOTO(done, DT_MEMORY, "could not create the YAML parser");
  status = read_events(&r, parser, diag);
done:
  fy_parser_destroy(parser);
  fy_diag_destroy(diag);
  *out = r.broken ? NULL : r.root;
  *out_broken = r.broken;
  return status;
}

const char *dt_config_library(void) {
  return fy_library_version();
}
